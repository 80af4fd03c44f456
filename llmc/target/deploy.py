"""llmc deploy: start the model and prove that it answers: HTTP ready, our model listed, one token generated.

The embedded engine lives as long as the llmc that started it: ``llmc deploy`` alone is the proof, ``llmc compress`` goes on to
use it.
"""

import asyncio
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from llmc import engine as engines
from llmc.engine import Engine, Generation, Health, Message, Placement
from llmc.errors import EngineError, EngineUnavailable
from llmc.model import weights
from llmc.model.sources import Pulled
from llmc.schema import RunConfig


class Deployed:
    """An engine that proves itself when it is entered, and what its start showed."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
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
        self.engine.__enter__()
        loaded = time.perf_counter()
        try:
            asyncio.run(self._prove())
        except EngineError as error:
            self.__exit__()
            raise EngineUnavailable(f"{self.model} started but does not answer: {error.message}", hint=error.hint) from error
        except BaseException:
            self.__exit__()
            raise
        self.report = {
            "engine": self.name,
            "model": self.model,
            "model_sha256": self.model_digest,
            "slots": self.slots,
            "slot_context_tokens": self.slot_context_tokens,
            "load_seconds": round(loaded - started, 2),
            "first_token_seconds": round(time.perf_counter() - loaded, 2),
        }
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        self.engine.__exit__(kind, error, trace)

    async def _prove(self) -> None:
        try:
            listed = await self.models()
            if self.model not in listed:
                raise EngineUnavailable(f"it serves {', '.join(listed)}")
            if self.local:  # elsewhere a token costs money
                await self.generate([Message("user", "Say yes.")], max_tokens=1)
        finally:
            await self.aclose()

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


def deploy(config: RunConfig, pull: Pulled | str) -> Deployed | str:
    """The engine of a configuration, not started yet: entering it starts it. With ``dry_run`` the command it would run."""
    if isinstance(pull, Pulled):
        file, digest = Path(pull.path), pull.sha256
    else:
        wanted = weights(config)
        file, digest = wanted.path, wanted.file.sha256 or ""
    engine = engines.load(config, weights=file, model_digest=digest)
    return shlex.join(engine.command()) if config.dry_run else Deployed(engine)
