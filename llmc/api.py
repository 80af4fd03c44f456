"""The library: what the command line does, as functions that take paths and objects and print nothing."""

from collections.abc import Sequence
from pathlib import Path

from llmc import codec as codecs
from llmc import pipeline
from llmc.archive import Archive
from llmc.codec import Codec
from llmc.documents import Selection
from llmc.engine import Engine
from llmc.errors import UsageError
from llmc.fidelity import Policy
from llmc.files import Restored, restore_files
from llmc.pipeline import Summary
from llmc.route.tier import Tier
from llmc.schema import ViewConfig
from llmc.view.ladder import Ladder


def compress(
    input: str | Path,
    output: str | Path,
    *,
    view: str | ViewConfig = "extract",
    codec: str | Codec = "zstd",
    engine: Engine | None = None,
    policy: Policy | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    hidden: bool = False,
    input_format: str = "auto",
    field: str = "text",
    id_field: str = "id",
    seed: int = 1,
    force: bool = False,
    max_failures: int | None = None,
) -> Summary:
    """Store a file, folder, glob or JSON Lines file in the archive ``output``, which is made if it is not there.

    What is stored already is skipped, so the same call resumes an interrupted one. ``view="gist"`` needs an ``engine`` that has
    been entered; without one, gists become extracts. Raises a :class:`llmc.LlmcError`; a single document that cannot be read is
    listed in ``Summary.failed`` instead.
    """
    settings = ViewConfig(name=view, needs_engine=view == "gist") if isinstance(view, str) else view
    if settings.name not in ("gist", "extract", "none"):
        raise UsageError(f"view {settings.name!r} is none of gist, extract, none")
    ladder = Ladder(
        settings,
        policy or Policy(),
        [Tier.of(engine)] if engine else [],
        seed=seed,
        why_no_model="no engine was given",
    )
    return pipeline.compress(
        Selection(str(input), include, exclude, hidden, input_format, id_field),
        Path(output).expanduser(),
        codecs.load(codec) if isinstance(codec, str) else codec,
        ladder,
        json_field=field,
        max_failures=max_failures,
        force=force,
    )


def restore(archive: str | Path | Archive, output: str | Path, *, id: str | None = None, force: bool = False) -> Restored:
    """Write the documents of an archive into the folder ``output``, byte for byte; all, or those that ``id`` names or matches.

    A file that is there with other bytes is left as it is unless ``force``; it and every document that could not be given back
    is listed in ``Restored.failed``.
    """
    opened = archive if isinstance(archive, Archive) else Archive.open(archive)
    return restore_files(opened, Path(output).expanduser(), pattern=id, force=force)
