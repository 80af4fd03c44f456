"""llmc stop: end servers that llmc started, with all their processes, and see that they are gone."""

import asyncio
from dataclasses import dataclass

from llmc import engine as engines
from llmc.engine import records
from llmc.engine.records import Record
from llmc.errors import EngineError, UsageError
from llmc.schema import RunConfig
from llmc.target.status import chosen

RELEASE_SECONDS = 30.0  # for a request in work to be finished first


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of one server."""

    name: str
    outcome: str
    """``stopped``; ``was gone``: it had ended before; ``left running``: llmc did not start it; ``unloaded``: nor this one, but
    it has given back the model's memory (Ollama)."""
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
        raise UsageError(
            f"there are {len(found)} servers: {names}", hint=f"llmc stop name={found[0].name}, or all: llmc stop name='*'"
        )
    if config.dry_run:
        return "; ".join(_would(record) for record in found) or "nothing: no server is on record"
    return Stopped([_stop(record, config) for record in found])


def _would(record: Record) -> str:
    if not record.ours:
        return f"forget {record.name}, and leave it running"
    numbers = " ".join(str(p.pid) for p in records.processes(record))
    return f"end {record.name} (process {numbers})" if numbers else f"forget {record.name}, which has ended"


def _stop(record: Record, config: RunConfig) -> Ended:
    if not record.ours:
        outcome = "unloaded" if asyncio.run(_release(record, config)) else "left running"
        records.forget(record)
        return Ended(record.name, outcome, 0)
    count = records.end(record)
    records.forget(record)
    return Ended(record.name, "stopped" if count else "was gone", count)


async def _release(record: Record, config: RunConfig) -> bool:
    client = engines.client(
        record.engine, record.url, record.key, timeout_seconds=RELEASE_SECONDS, offline=config.profile.offline
    )
    try:
        return await client.release(record.model)
    except EngineError:  # it has ended, or has been told already
        return False
    finally:
        await client.aclose()
