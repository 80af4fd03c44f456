"""llmc deploy: start the model and prove that it works: our model listed, one token generated, on the backend asked for.

A server that ``llmc deploy`` starts stays until ``llmc stop``; one that another target needs ends with it, unless one that
stays has the model already. The embedded engine always lives as long as the llmc that started it: deploying it is the proof.
"""

import asyncio
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from llmc import engine as engines
from llmc import machine
from llmc.engine import Engine, Generation, Health, Message, Placement, records
from llmc.engine.ollama import Ollama
from llmc.engine.records import Record
from llmc.engine.served import Served
from llmc.errors import EngineError, EngineUnavailable, UsageError
from llmc.model import weights
from llmc.model.sources import Pulled
from llmc.report import progress
from llmc.schema import RunConfig
from llmc.target.export import KINDS, Exported, export


class Deployed:
    """An engine that proves itself when it is entered, and what its start showed."""

    def __init__(self, engine: Engine, config: RunConfig, *, alone: bool) -> None:
        self.engine = engine
        self.config = config
        self.alone = alone
        """``llmc deploy`` itself, not another target that needs a model for as long as it runs."""
        self.report: dict[str, Any] = {}

    @property
    def name(self) -> str:
        return self.engine.name

    @property
    def local(self) -> bool:
        return self.engine.local

    @property
    def model(self) -> str:
        return self.engine.model

    @property
    def model_digest(self) -> str:
        return self.engine.model_digest

    @property
    def slots(self) -> int:
        return self.engine.slots

    @property
    def slot_context_tokens(self) -> int:
        return self.engine.slot_context_tokens

    def command(self) -> list[str]:
        return self.engine.command()

    def __enter__(self) -> Self:
        started = time.perf_counter()
        with progress.starting(f"{self.model} on {self.config.backend.name} ({self.name})", quiet=self.config.quiet):
            self.engine.__enter__()
            loaded = time.perf_counter()
            try:
                placement = asyncio.run(self._prove())
            except BaseException as error:
                self.engine.__exit__(type(error), error, None)
                raise
        self.report = {
            "engine": self.name,
            "backend": self.config.backend.name,
            "model": self.model,
            "model_sha256": self.model_digest,
            "slots": self.slots,
            "slot_context_tokens": self.slot_context_tokens,
            "gpu_share": placement.gpu_share,
            "evidence": placement.evidence,
            "memory_bytes": {"predicted": self._predicted_bytes(), **placement.memory_bytes},
            "load_seconds": round(loaded - started, 2),
            "first_token_seconds": round(time.perf_counter() - loaded, 2),
        }
        if record := self._record():
            self.report = {
                "name": record.name,
                **self.report,
                "url": record.url,
                "pid": record.pid,
                "ours": record.ours,
                "stays": record.ours and record.owner_pid is None,
            }
        return self

    def _record(self) -> Record | None:
        """The server on record, with what its start showed; None for an engine that is no server of its own."""
        if isinstance(self.engine, Served):
            self.engine.proven(self.report)
            return self.engine.record
        if not (self.alone and isinstance(self.engine, Ollama)):
            return None
        name, url = self.config.name or self.config.model.name, self.engine.server.url
        slots, context = self.slots, self.slot_context_tokens
        record = Record(
            name, self.name, self.model, self.model_digest, self.config.backend.name, url, slots, context, ours=False
        )
        record.proof = self.report
        records.write(record)
        return record

    def _predicted_bytes(self) -> int | None:
        """What was thought before the start that it would take; None for weights that are not a file here."""
        if not self.config.engine.needs_file:
            return None
        file = weights(self.config).file
        wanted = machine.fit(
            self.config.model,
            (file.bytes, True),
            slots=self.slots,
            slot_context_tokens=self.slot_context_tokens,
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
        """It lists the model, it answers, and it computes on what was asked for."""
        backend = self.config.backend.name
        try:
            listed = await self.models()
            if self.model not in listed:
                raise EngineUnavailable(f"it serves {', '.join(listed)}")
            if self.local:  # elsewhere a token costs money
                await self.generate([Message("user", "Say yes.")], max_tokens=1)
            placement = await self.placement()
        except EngineError as error:
            raise EngineUnavailable(f"{self.model} started but does not answer: {error.message}", hint=error.hint) from error
        finally:
            await self.aclose()
        if placement.gpu_share == 0 and self.local and backend != "cpu" and not self.config.allow_cpu:
            raise EngineUnavailable(
                f"backend={backend} was asked for, but {self.model} is on the CPU: {placement.evidence}",
                hint=f"llmc doctor backend={backend}; or backend=cpu, or allow_cpu=true",
            )
        started = isinstance(self.engine, Served) and self.engine.record is not None and self.engine.record.ours
        if placement.gpu_share is None and started and backend != "cpu" and not self.config.allow_cpu:
            raise EngineUnavailable(
                f"backend={backend} was asked for, and nothing shows that {self.model} is on it: {placement.evidence}",
                hint="allow_cpu=true takes it as it is",
            )
        return placement

    async def aclose(self) -> None:
        await self.engine.aclose()

    async def health(self) -> Health:
        return await self.engine.health()

    async def placement(self) -> Placement:
        return await self.engine.placement()

    async def models(self) -> list[str]:
        return await self.engine.models()

    async def count_tokens(self, text: str) -> int:
        return await self.engine.count_tokens(text)

    async def count_prompt_tokens(self, messages: Sequence[Message]) -> int:
        return await self.engine.count_prompt_tokens(messages)

    async def generate(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        schema: dict[str, Any] | None = None,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> Generation:
        return await self.engine.generate(messages, max_tokens=max_tokens, schema=schema, temperature=temperature, seed=seed)


def deploy(config: RunConfig, pull: Pulled | str) -> Deployed | Exported | str:
    """The engine of a configuration, not started yet: entering it starts it. With ``dry_run`` the command it would run."""
    file, digest = None, ""
    if isinstance(pull, Pulled):
        file, digest = (Path(pull.path) if pull.path else None), pull.sha256
    elif config.engine.needs_file:
        wanted = weights(config)
        file, digest = wanted.path, wanted.file.sha256 or ""
    engine = engines.load(config, weights=file, model_digest=digest)
    alone = config.target._target_ == f"{__name__}.deploy"
    if isinstance(engine, Served):
        engine.keep = alone
    if config.dry_run:
        command = engine.command()
        return shlex.join(command) if command else f"use the server at {config.engine.url or 'its usual address'}"
    if config.export and alone:
        return export(config, engine)
    return Deployed(engine, config, alone=alone)


def check(config: RunConfig) -> None:
    """UsageError for what can be seen to be wrong before anything is downloaded."""
    engine = config.engine
    if config.export is not None and config.export not in KINDS:
        raise UsageError(f"export={config.export} is none of {', '.join(KINDS)}")
    if not 0 < engine.gpu_memory_fraction <= 1:
        raise UsageError(f"engine.gpu_memory_fraction={engine.gpu_memory_fraction} is not above 0 and at most 1")
    if engine.flash_attention not in ("auto", "on", "off"):
        raise UsageError(f"engine.flash_attention={engine.flash_attention} is none of auto, on, off")
    if engine.port is not None and not 1024 <= engine.port <= 65535:
        raise UsageError(f"engine.port={engine.port} is not between 1024 and 65535")
    if config.name is not None:
        records.folder(config.name)
