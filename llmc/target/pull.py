"""llmc pull: the weights a configuration means, downloaded once and checked."""

from llmc import units
from llmc.model import sources, weights
from llmc.model.sources import Pulled
from llmc.report import progress
from llmc.schema import RunConfig
from llmc.target.doctor import Diagnosis


def pull(config: RunConfig, doctor: Diagnosis) -> Pulled | str:
    wanted = weights(config)
    doctor.require()
    found = None if config.force else sources.here(wanted)
    if config.dry_run:
        if found:
            return f"nothing: {wanted.name} is at {wanted.path}"
        source = wanted.file.repo or wanted.file.url or " + ".join(wanted.file.packages) or wanted.path
        return f"download {wanted.name}, {units.size(wanted.file.bytes)}, from {source} to {wanted.path}"
    if found:
        return found
    with progress.download(wanted.name, quiet=config.quiet) as on_bytes:

        def on_wait() -> None:
            progress.say(f"another llmc is downloading {wanted.name}: waiting for it", quiet=config.quiet)

        return sources.pull(wanted, force=config.force, on_bytes=on_bytes, on_wait=on_wait)
