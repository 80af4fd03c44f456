"""llmc stop: end servers that llmc started, with all their processes, and see that they are gone."""

from dataclasses import dataclass

from llmc.engine import records
from llmc.engine.records import Record
from llmc.errors import UsageError
from llmc.schema import RunConfig
from llmc.target.status import chosen


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of one server."""

    name: str
    outcome: str
    """``stopped``; ``was gone``: it had ended before; ``left running``: llmc did not start it."""
    processes: int
    """How many were ended."""


@dataclass(slots=True)
class Stopped:
    servers: list[Ended]


def stop(config: RunConfig) -> Stopped | str:
    """All that ``name=`` means; without a name the one there is. Several need to be named."""
    found = chosen(config.name)
    if config.name is None and len(found) > 1:
        names = ", ".join(r.name for r in found)
        raise UsageError(f"there are {len(found)} servers: {names}", hint="llmc stop name=…, or name='*' for all")
    if config.dry_run:
        return "; ".join(_would(record) for record in found) or "nothing: no server is on record"
    return Stopped([_stop(record) for record in found])


def _would(record: Record) -> str:
    if not record.ours:
        return f"forget {record.name}, and leave it running"
    numbers = " ".join(str(p.pid) for p in records.processes(record))
    return f"end {record.name} (process {numbers})" if numbers else f"forget {record.name}, which has ended"


def _stop(record: Record) -> Ended:
    count = records.end(record)
    records.forget(record)
    return Ended(record.name, "left running" if not record.ours else "stopped" if count else "was gone", count)
