"""llmc status: the servers on record, whether each is well, what it does and what it holds; with ``watch=true`` every second.

All of it is looked at now: the processes, the server's health over HTTP, its own metrics, its log.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase

from llmc import engine as engines
from llmc import machine, report
from llmc.engine import Activity, causes, records
from llmc.engine._http import ModelServer
from llmc.engine.records import Record
from llmc.errors import EngineError, InputError
from llmc.machine import Gpu, Host, Probed, choose
from llmc.schema import RunConfig

WATCH_SECONDS = 1.0
PROBE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Vram:
    """Video memory in use now; None for what nobody tells."""

    used_bytes: int | None
    total_bytes: int | None
    source: str
    """Who says so, and of what: the model alone (Ollama), or the whole card with all that uses it."""


@dataclass(slots=True)
class Server:
    """One server, as it is now."""

    name: str
    state: str
    """``ready``; ``starting``; ``unwell``: it runs and does not answer; ``broken``: its main process is gone and others of it
    live on; ``gone``."""
    reason: str
    engine: str
    model: str
    backend: str
    url: str
    ours: bool
    pid: int | None
    processes: int
    up_seconds: int | None
    latency_seconds: float | None
    slots: int
    slot_context_tokens: int
    activity: Activity
    output_tokens_per_second: float | None
    """Since the sample before; None in the first."""
    gpu_share: float | None
    vram: Vram | None
    """None for a model on the processor."""
    resident_bytes: int
    predicted_bytes: int | None
    errors_logged: int
    next: str


@dataclass(slots=True)
class Status:
    servers: list[Server]

    @property
    def exit_code(self) -> int:
        """1 when a server is not what it should be."""
        return int(any(s.state not in ("ready", "starting") for s in self.servers))


@dataclass(slots=True)
class Watched:
    """It was shown as it came."""

    output: str = "-"


def status(config: RunConfig) -> Status | Watched:
    """Every server on record, or those that ``name=`` means."""
    if not config.watch:
        return sample(config, None)
    report.live(_samples(config), config)
    return Watched()


def chosen(name: str | None) -> list[Record]:
    """The records that a name, or a pattern with ``*``, means; all without one. InputError for a name nobody has."""
    everything = records.everything()
    found = [r for r in everything if name is None or fnmatchcase(r.name, name)]
    if not found and name is not None and "*" not in name:
        names = ", ".join(r.name for r in everything)
        raise InputError(f"no server is called {name}", hint=f"there is {names}" if names else "llmc deploy starts one")
    return found


def _vram(record: Record, activity: Activity, gpus: Sequence[Gpu]) -> Vram | None:
    if record.backend == "cpu":
        return None
    if activity.vram_bytes is not None:
        return Vram(activity.vram_bytes, None, "/api/ps, of this model")
    gpu = choose.gpu_for(Probed(gpus=tuple(gpus)), record.backend)
    if gpu is None or gpu.free_bytes is None:
        return Vram(None, None, "neither the driver nor nvidia-smi tells")
    return Vram(gpu.memory_bytes - gpu.free_bytes, gpu.memory_bytes, f"{gpu.sources[-1]}, all of {gpu.label}")


def _samples(config: RunConfig) -> Iterator[Status]:
    before: Status | None = None
    begun = time.monotonic()
    while True:
        last, begun = begun, time.monotonic()
        before = sample(config, before, begun - last)
        yield before
        time.sleep(WATCH_SECONDS)


def sample(config: RunConfig, before: Status | None, seconds: float = WATCH_SECONDS, *, host: Host | None = None) -> Status:
    """All servers at once; with a sample of so many ``seconds`` ago also their rates."""
    found = chosen(config.name)
    gpus = machine.gpus(host or Host()) if any(r.backend != "cpu" and r.engine != "ollama" for r in found) else []

    async def all_of() -> list[Server]:
        return list(await asyncio.gather(*(_look(r, config, gpus) for r in found)))

    now = Status(asyncio.run(all_of()))
    earlier = {s.name: s for s in before.servers} if before else {}
    for server in now.servers:
        last, total = earlier.get(server.name), server.activity.output_tokens_total
        if last and total is not None and last.activity.output_tokens_total is not None and last.pid == server.pid:
            server.output_tokens_per_second = max(0, total - last.activity.output_tokens_total) / seconds
    return now


async def _look(record: Record, config: RunConfig, gpus: Sequence[Gpu]) -> Server:
    records.trim(record)
    leader, running = records.leader(record), records.processes(record)
    client = engines.client(
        record.engine, record.url, record.key, timeout_seconds=PROBE_SECONDS, offline=config.profile.offline
    )
    activity, latency, healthy, why = Activity(), None, False, ""
    if leader is not None or not record.ours:
        try:
            health = await client.health()
            healthy, why, latency = health.ok, health.reason, round(health.latency_seconds, 3)
            if healthy:
                if isinstance(client, ModelServer):
                    client.model_id = record.model
                activity = await client.activity()
        except EngineError as error:
            why = error.message
        finally:
            await client.aclose()
    log = causes.text_of(record.log) if record.ours else ""
    state, why, then = _state(record, leader is not None, len(running), healthy, why, log)
    started = leader.create_time() if leader else None
    predicted = (record.proof.get("memory_bytes") or {}).get("predicted")
    return Server(
        name=record.name,
        state=state,
        reason=why,
        engine=record.engine,
        model=record.model,
        backend=record.backend,
        url=record.url,
        ours=record.ours,
        pid=record.pid if leader else None,
        processes=len(running),
        up_seconds=round(datetime.now(UTC).timestamp() - started) if started else None,
        latency_seconds=latency,
        slots=record.slots,
        slot_context_tokens=record.slot_context_tokens,
        activity=activity,
        output_tokens_per_second=None,
        gpu_share=record.proof.get("gpu_share"),
        vram=_vram(record, activity, gpus),
        resident_bytes=records.resident_bytes(record),
        predicted_bytes=predicted,
        errors_logged=causes.errors(log),
        next=then,
    )


def _state(record: Record, leads: bool, processes: int, healthy: bool, why: str, log: str) -> tuple[str, str, str]:
    """The word for it, the reason, and the command that goes on from there."""
    stop = f"llmc stop name={record.name}"
    if records.abandoned(record):
        return "broken", "the llmc that needed it is gone", stop
    if healthy:
        return "ready" if record.proof else "starting", "" if record.proof else "not proven yet", ""
    if not record.ours:
        return "unwell", why, stop
    if leads:
        return ("unwell" if record.proof else "starting"), why, f"llmc logs name={record.name}"
    if processes:
        return "broken", f"its main process is gone, {processes} of its processes live on", stop
    cause = causes.cause(log)
    said = f"it has ended: {cause.line}" if cause.kind else "it has ended"
    return "gone", said, stop
