"""llmc deploy: start the model and prove that it answers: HTTP ready, our model listed, one token generated.

The embedded engine lives as long as the llmc that started it: ``llmc deploy`` alone is the proof, ``llmc compress`` goes on to
use it.
"""

import asyncio
import shlex
import time
from typing import Any, Self

from llmc.engine import Message
from llmc.engine.embedded import Embedded
from llmc.errors import EngineError, EngineUnavailable
from llmc.model import weights
from llmc.model.sources import Pulled
from llmc.schema import RunConfig


class Deployed(Embedded):
    """A running embedded engine and what its start showed."""

    report: dict[str, Any]

    def __enter__(self) -> Self:
        started = time.perf_counter()
        super().__enter__()
        loaded = time.perf_counter()
        try:
            asyncio.run(self._prove())
        except EngineError as error:
            self.__exit__()
            raise EngineUnavailable(f"{self.model} started but does not answer: {error.message}", hint=error.hint) from error
        self.report = {
            "engine": self.name,
            "model": self.model,
            "model_sha256": self.model_digest,
            "slots": self.slots,
            "slot_context_tokens": self.slot_context_tokens,
            "threads": self.threads,
            "load_seconds": round(loaded - started, 2),
            "first_token_seconds": round(time.perf_counter() - loaded, 2),
        }
        return self

    async def _prove(self) -> None:
        try:
            listed = await self.models()
            if self.model not in listed:
                raise EngineUnavailable(f"it serves {', '.join(listed)}")
            await self.generate([Message("user", "Say yes.")], max_tokens=1)
        finally:
            await self.aclose()


def deploy(config: RunConfig, pull: Pulled | str) -> Deployed | str:
    wanted = weights(config)
    engine = Deployed(
        wanted.path,
        model=config.model.name,
        model_digest=pull.sha256 if isinstance(pull, Pulled) else wanted.file.sha256 or "",
        slots=config.profile.concurrency,
        slot_context_tokens=min(config.profile.slot_context_tokens, config.model.context_tokens),
        threads=config.engine.threads,
        start_timeout_seconds=config.engine.start_timeout_seconds,
        request_timeout_seconds=config.engine.request_timeout_seconds,
        offline=config.profile.offline,
    )
    return shlex.join(engine.command()) if config.dry_run else engine
