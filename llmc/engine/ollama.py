"""engine=ollama: the user's own Ollama server, wherever OLLAMA_HOST says it is. It is used and never stopped.

Every request names the context (``num_ctx``), so the server's default never cuts a prompt, and asks to be refused rather than
cut. How many requests it computes at once is its own OLLAMA_NUM_PARALLEL, which it does not tell: others wait in its queue.
Ollama has no route that counts tokens. What it read is exact and comes with each answer; before that, tokens are estimated from
the bytes a token had in the answers so far.
"""

import asyncio
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from llmc.engine import Generation, Health, Message, Placement
from llmc.engine._ollama import Installed, OllamaServer, address, full_name
from llmc.errors import EngineError, EngineUnavailable, LlmcError, UsageError
from llmc.schema import RunConfig

BYTES_PER_TOKEN = 4.0  # English prose, until an answer has shown what it is here
TEMPLATE_TOKENS = 8  # a chat template's words around one message


class Ollama:
    """A model of an Ollama server."""

    name = "ollama"
    local = True

    def __init__(
        self,
        server: OllamaServer,
        tag: str,
        *,
        slots: int,
        slot_context_tokens: int,
        backend: str,
        offline: bool,
        load_timeout_seconds: float,
        model_digest: str = "",
    ) -> None:
        self.server = server
        self.model = full_name(tag)
        self.model_digest = model_digest
        self.slots = slots
        self.slot_context_tokens = slot_context_tokens
        self._backend = backend
        self._offline = offline
        self._load_timeout_seconds = load_timeout_seconds
        self._bytes = self._tokens = 0

    def command(self) -> list[str]:
        """Nothing: the server is the user's."""
        return []

    def __enter__(self) -> Self:
        asyncio.run(self._load())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        """The model stays loaded for as long as the server's keep_alive says."""

    async def _load(self) -> None:
        try:
            await reach(self.server)
            found = await self._found()
            trained = await self.server.trained_context_tokens(self.model)
            self.slot_context_tokens = min(self.slot_context_tokens, trained or self.slot_context_tokens)
            await self.server.load(self.model, self._options(), self._load_timeout_seconds)
            self.model, self.model_digest = found.name, found.digest
        finally:
            await self.aclose()

    async def _found(self) -> Installed:
        found = await self.server.find(self.model)
        if found is None:
            raise EngineUnavailable(
                f"{self.server.url} does not have {self.model}",
                hint=f"llmc pull with the same options, or: ollama pull {self.model}",
            )
        if found.remote_host and self._offline:
            raise LlmcError(
                f"{self.model} is computed at {found.remote_host}: profile=local opens no connection to another machine",
                hint="profile=hybrid or profile=cloud may leave this machine",
            )
        return found

    def _options(self) -> dict[str, Any]:
        return {"num_ctx": self.slot_context_tokens, **({"num_gpu": 0} if self._backend == "cpu" else {})}

    async def aclose(self) -> None:
        await self.server.aclose()

    async def health(self) -> Health:
        return await self.server.health()

    async def placement(self) -> Placement:
        """What ``/api/ps`` says: the share of the model, its KV cache included, that is in video memory."""
        running = await self.server.running(self.model)
        if running is None:
            return Placement(None, f"{self.model} is not loaded")
        share = running.vram_bytes / running.bytes if running.bytes else None
        evidence = f"/api/ps: size_vram {running.vram_bytes:,} of size {running.bytes:,}, context {running.context_tokens:,}"
        return Placement(share, evidence, {"total": running.bytes})

    async def models(self) -> list[str]:
        return [each.name for each in await self.server.installed()]

    async def generate(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        schema: dict[str, Any] | None = None,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> Generation:
        answer = await self.server.chat(
            self.model,
            messages,
            max_tokens=max_tokens,
            schema=schema,
            temperature=temperature,
            seed=seed,
            options=self._options(),
        )
        if answer.prompt_tokens:
            self._bytes += sum(len(m.content.encode()) for m in messages)
            self._tokens += max(1, answer.prompt_tokens - TEMPLATE_TOKENS * len(messages))
        return answer

    async def count_tokens(self, text: str) -> int:
        """Estimated: from the bytes per token of the answers so far."""
        ratio = self._bytes / self._tokens if self._tokens else BYTES_PER_TOKEN
        return -(-len(text.encode()) // ratio).__ceil__()

    async def count_prompt_tokens(self, messages: Sequence[Message]) -> int:
        return sum([await self.count_tokens(m.content) + TEMPLATE_TOKENS for m in messages])


async def reach(server: OllamaServer) -> str:
    """The server's version; EngineUnavailable, with how to start it, when it does not answer."""
    try:
        return await server.version()
    except EngineError as error:
        hint = "ollama serve" if shutil.which("ollama") else "install it: https://ollama.com/download, or set OLLAMA_HOST"
        raise EngineUnavailable(f"no Ollama server: {error.message}", hint=hint) from error


def quantisation(config: RunConfig) -> str:
    """What ``quant=`` means here, as llama.cpp calls it: without one, the first of the model's tags."""
    return config.quant.gguf or next(iter(config.model.ollama), "")


def tag(config: RunConfig) -> str:
    """The model's name in Ollama's library; UsageError when it is not there in this quantisation."""
    tags, quant = config.model.ollama, quantisation(config)
    if quant not in tags:
        what = f"{config.model.name} as {quant.upper()}" if quant else config.model.name
        options = ", ".join(f"quant={each}" for each in tags)
        raise UsageError(
            f"no tag of Ollama's library is known for {what}" + (f"; there is {options}" if options else ""),
            hint=f"name one: +model.ollama.{quant or 'q4_k_m'}=TAG" + ("" if quant else " quant=q4_k_m"),
        )
    return tags[quant]


def connect(config: RunConfig) -> OllamaServer:
    """A client of the user's server; under an offline profile it reaches this machine only."""
    return OllamaServer(
        config.engine.url or address(os.environ),
        timeout_seconds=config.engine.request_timeout_seconds,
        offline=config.profile.offline,
    )


def client(url: str, key: str, timeout_seconds: float, offline: bool) -> OllamaServer:
    """To speak with a server that is on record."""
    return OllamaServer(url, key=key, timeout_seconds=timeout_seconds, offline=offline)


def create(config: RunConfig, *, weights: Path | None, model_digest: str) -> Ollama:
    return Ollama(
        connect(config),
        tag(config),
        slots=config.profile.concurrency,
        slot_context_tokens=min(config.profile.slot_context_tokens, config.model.context_tokens),
        backend=config.backend.name,
        offline=config.profile.offline,
        load_timeout_seconds=config.engine.start_timeout_seconds,
        model_digest=model_digest,
    )
