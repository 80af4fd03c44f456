"""llmc diff: what became of the views between two archives. Needs no engine and no network."""

from llmc.archive import Archive
from llmc.diff import Diff, compare
from llmc.errors import UsageError
from llmc.schema import RunConfig
from llmc.target.read import open_archive


def diff(config: RunConfig) -> Diff:
    """``archive=`` is the one before, ``other=`` the one after; ``id=`` narrows it to some documents."""
    if config.archive and not config.other:
        raise UsageError("no archive to compare it with", hint=f"llmc diff archive={config.archive} other=after.llmc")
    before = open_archive(config)
    return compare(before, Archive.open(str(config.other)), config.id)
