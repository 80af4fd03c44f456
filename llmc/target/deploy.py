"""llmc deploy: start the model and prove that it works: our model listed, one token generated, on the backend asked for.

A server that ``llmc deploy`` starts stays until ``llmc stop``; one that another target needs ends with it, unless one that
stays has the model already. The embedded engine always lives as long as the llmc that started it: deploying it is the proof.
"""

import asyncio
import shlex
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from llmc import engine as engines
from llmc import machine, schema
from llmc.engine import Engine, Message, Placement, records
from llmc.engine.served import Served
from llmc.errors import EngineError, EngineUnavailable, UsageError
from llmc.machine import advice
from llmc.machine.matrix import ENGINES
from llmc.model import weights
from llmc.model.sources import Pulled
from llmc.report import progress
from llmc.schema import RunConfig
from llmc.target.export import KINDS, Exported, export


class Deployed:
    """An engine that is started and proves itself when this is entered, and what its start showed."""

    def __init__(self, engine: Engine, config: RunConfig) -> None:
        self.engine = engine
        self.config = config
        self.report: dict[str, Any] = {}

    def __enter__(self) -> Self:
        engine = self.engine
        started = time.perf_counter()
        with progress.starting(f"{engine.model} on {self.config.backend.name} ({engine.name})", quiet=self.config.quiet):
            engine.__enter__()
            loaded = time.perf_counter()
            try:
                placement = asyncio.run(self._prove())
            except BaseException as error:
                engine.__exit__(type(error), error, None)
                raise
        self.report = {
            "engine": engine.name,
            "backend": self.config.backend.name,
            "model": engine.model,
            "model_sha256": engine.model_digest,
            "slots": engine.slots,
            "slot_context_tokens": engine.slot_context_tokens,
            "gpu_share": placement.gpu_share,
            "evidence": placement.evidence,
            "memory_bytes": {"predicted": self._predicted_bytes(), **placement.memory_bytes},
            "load_seconds": round(loaded - started, 2),
            "first_token_seconds": round(time.perf_counter() - loaded, 2),
        }
        if isinstance(engine, Served) and (record := engine.record):
            engine.proven(self.report)
            self.report = {
                "name": record.name,
                **self.report,
                "url": record.url,
                "pid": record.pid,
                "ours": record.ours,
                "stays": record.ours and record.owner_pid is None,
            }
        return self

    def _predicted_bytes(self) -> int | None:
        """What was thought before the start that it would take; None for weights that are not a file here."""
        if not self.config.engine.needs_file:
            return None
        file = weights(self.config).file
        wanted = machine.fit(
            self.config.model,
            (file.bytes, True),
            slots=self.engine.slots,
            slot_context_tokens=self.engine.slot_context_tokens,
            kv_type=self.config.engine.kv_cache_type,
            free_bytes=0,
        )
        return wanted.needed_bytes - wanted.reserve_bytes

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        self.engine.__exit__(kind, error, trace)

    async def _prove(self) -> Placement:
        """It lists the model and it answers; whether it computes on what was asked for, it has shown when it started."""
        engine = self.engine
        try:
            listed = await engine.models()
            if engine.model not in listed:
                raise EngineUnavailable(f"it serves {', '.join(listed)}")
            if engine.local:  # elsewhere a token costs money
                await engine.generate([Message("user", "Say yes.")], max_tokens=1)
            return await engine.placement()
        except EngineError as error:
            raise EngineUnavailable(f"{engine.model} started but does not answer: {error.message}", hint=error.hint) from error
        finally:
            await engine.aclose()


def deploy(config: RunConfig, pull: Pulled | str) -> Deployed | Exported | str:
    """The engine of a configuration, not started yet: entering it starts it. With ``dry_run`` the command it would run."""
    file, digest = None, ""
    if isinstance(pull, Pulled):
        file, digest = (Path(pull.path) if pull.path else None), pull.sha256
    elif config.engine.needs_file:
        wanted = weights(config)
        file, digest = wanted.path, wanted.file.sha256 or ""
    engine = engines.load(config, weights=file, model_digest=digest)
    alone = config.target._target_ == f"{__name__}.deploy"  # not for another target that needs a model as long as it runs
    if isinstance(engine, Served):
        engine.keep = alone
    if config.dry_run:
        command = engine.command()
        return shlex.join(command) if command else f"use the server at {config.engine.url or 'its usual address'}"
    if config.export and alone:
        return export(config, engine)
    return Deployed(engine, config)


def check(config: RunConfig) -> None:
    """UsageError for what can be seen to be wrong before anything is downloaded."""
    engine = config.engine
    if config.export is not None and config.export not in KINDS:
        raise UsageError(f"export={config.export} is none of {', '.join(KINDS)}")
    _reaching(config)
    if not 0 < engine.gpu_memory_fraction <= 1:
        raise UsageError(f"engine.gpu_memory_fraction={engine.gpu_memory_fraction} is not above 0 and at most 1")
    if engine.flash_attention not in ("auto", "on", "off"):
        raise UsageError(f"engine.flash_attention={engine.flash_attention} is none of auto, on, off")
    if engine.port is not None and not 1024 <= engine.port <= 65535:
        raise UsageError(f"engine.port={engine.port} is not between 1024 and 65535")
    if config.name is not None:
        records.folder(config.name)


def _reaching(config: RunConfig) -> None:
    """UsageError for a setting that would be ignored: the engine does not take it, or somebody else starts its server."""
    engine = config.engine
    name = schema.option_name("engine", engine.name)
    if name is None or engine.cloud:
        return
    usual = schema.option("engine", name)
    own = {setting for each in ENGINES for setting in schema.option("engine", each).takes}
    said = sorted(setting for setting in own if getattr(engine, setting) != getattr(usual, setting))
    takes = ("url", "key_env") if engine.url and "url" in engine.takes else engine.takes
    for setting in said:
        if setting in takes:
            continue
        where = f"engine.url={engine.url} is a server that runs already" if setting in engine.takes else f"engine={engine.name}"
        others = " or ".join(f"engine={each}" for each in ENGINES if setting in schema.option("engine", each).takes)
        without = advice.command(config, {f"engine.{setting}": ""})
        raise UsageError(f"{where}: engine.{setting} does not reach it; {others} would take it", hint=without)
