"""engine=ollama: the user's own Ollama server, wherever OLLAMA_HOST says it is, used and never stopped; or, where none runs and
``ollama`` is installed, one that llmc starts and ends, with the models that the user has.

Every request names the context (``num_ctx``), so the server's default never cuts a prompt, and asks to be refused rather than
cut. How many requests the user's server computes at once is its own OLLAMA_NUM_PARALLEL, which it does not tell: others wait in
its queue. Ollama has no route that counts tokens: see :meth:`OllamaServer.count_tokens`.
"""

import asyncio
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from llmc.engine import Placement
from llmc.engine._http import ModelServer, is_loopback
from llmc.engine._ollama import DEFAULT_PORT, OllamaServer, address, full_name
from llmc.engine.records import Record
from llmc.engine.served import Served, once
from llmc.errors import EngineError, EngineUnavailable, LlmcError, UsageError
from llmc.machine import advice
from llmc.model import Weights, weights
from llmc.model.sources import here
from llmc.schema import RunConfig

KV_TYPES = ("f16", "q8_0", "q4_0")
DOWNLOAD = "install it: https://ollama.com/download, or set OLLAMA_HOST"


class Ollama(Served):
    """A model of an Ollama server."""

    name = "ollama"
    program = "ollama"
    usual_port = DEFAULT_PORT
    key_variable = ""

    def __init__(self, config: RunConfig, *, weights: Path | None, model_digest: str) -> None:
        super().__init__(config, weights=None, model_digest=model_digest)
        self.model = self._name()
        # Shared with every client: a request with another context would have the model loaded again.
        self._options = {"num_ctx": self.slot_context_tokens, **({"num_gpu": 0} if config.backend.name == "cpu" else {})}

    def _name(self) -> str:
        return full_name(tag(self.config))

    def install_hint(self) -> str:
        return DOWNLOAD

    def arguments(self, program: str, port: int, inside: str = "") -> list[str]:
        kv_cache_type = self.config.engine.kv_cache_type
        if kv_cache_type not in KV_TYPES:
            raise UsageError(f"engine.kv_cache_type={kv_cache_type} is none of {', '.join(KV_TYPES)}")
        return [program, "serve"]

    def environment(self, port: int) -> dict[str, str]:
        engine, backend = self.config.engine, self.config.backend.name
        set_here = {
            "OLLAMA_HOST": f"127.0.0.1:{port}",
            "OLLAMA_NUM_PARALLEL": str(self.slots),
            "OLLAMA_KEEP_ALIVE": "-1",  # the model stays as long as the server
            "OLLAMA_NOPRUNE": "1",  # what another server is pulling into the same store is not ours to delete
        }
        flash = {"on": "1", "off": "0"}.get(engine.flash_attention, "")
        if engine.kv_cache_type != "f16":
            set_here["OLLAMA_KV_CACHE_TYPE"] = engine.kv_cache_type
            flash = flash or "1"  # without it the type has no effect
        if flash:
            set_here["OLLAMA_FLASH_ATTENTION"] = flash
        if backend in ("rocm", "cuda"):
            set_here["OLLAMA_VULKAN"] = "0"
        if backend == "vulkan":
            set_here["OLLAMA_LLM_LIBRARY"] = "vulkan"
        if self.config.profile.offline:
            set_here["OLLAMA_NO_CLOUD"] = "1"
        return set_here

    def command(self) -> list[str]:
        """Nothing when there is a server already."""
        return [] if self.config.engine.url or self._answering() else super().command()

    @property
    def usual_url(self) -> str:
        return address(os.environ)

    def _answering(self) -> bool:
        """Whether there is a server where the user's is; EngineUnavailable when there is none and none can be started."""
        url = self.usual_url
        health = asyncio.run(once(self.client(url, ""), OllamaServer.health))
        if not health.ok and (shutil.which(self.config.engine.binary or self.program) is None or not _is_here(url)):
            raise EngineUnavailable(f"no Ollama server: {health.reason}", hint=DOWNLOAD)
        return health.ok

    def _found(self) -> bool:
        if self._answering():
            self._adopt(self.usual_url)
        return self._server is not None

    def _running(self) -> Record | None:
        found = super()._running()
        return found if found and found.ours else None  # the user's own is where OLLAMA_HOST says now

    def _is_ours(self, listed: str) -> bool:
        return listed.lower() == self.model.lower()

    def client(self, url: str, key: str) -> OllamaServer:
        made = client(url, key, self.config.engine.request_timeout_seconds, self.config.profile.offline)
        made.model_id, made.options = self.model, self._options
        return made

    async def ready(self, server: ModelServer) -> None:
        """It has the model, and has loaded it."""
        assert isinstance(server, OllamaServer)
        await reach(server)
        found = await server.find(self.model)
        if found is None:
            raise EngineUnavailable(
                f"{server.url} does not have {self.model}",
                hint=advice.command(self.config, {}, target="pull")
                + ("" if own_file(self.config) else f", or: ollama pull {self.model}"),
            )
        if found.remote_host and self.config.profile.offline:
            raise LlmcError(
                f"{self.model} is computed at {found.remote_host}: profile=local opens no connection to another machine",
                hint="profile=hybrid or profile=cloud may leave this machine",
            )
        self.model, self.model_digest = found.name, found.digest
        server.model_id = found.name
        trained = await server.trained_context_tokens(self.model)
        self.slot_context_tokens = min(self.slot_context_tokens, trained or self.slot_context_tokens)
        self._options["num_ctx"] = self.slot_context_tokens
        await server.load(self.model, self._options, self.config.engine.start_timeout_seconds)
        if self.record is not None:
            self.record.model_digest, self.record.slot_context_tokens = self.model_digest, self.slot_context_tokens

    async def measure(self, server: ModelServer) -> str:
        return self.model_digest

    async def placement(self) -> Placement:
        """What ``/api/ps`` says: the share of the model, its KV cache included, that is in video memory."""
        server = self.server
        assert isinstance(server, OllamaServer)
        running = await server.running(self.model)
        if running is None:
            return Placement(None, f"{self.model} is not loaded")
        share = running.vram_bytes / running.bytes if running.bytes else None
        evidence = f"/api/ps: size_vram {running.vram_bytes:,} of size {running.bytes:,}, context {running.context_tokens:,}"
        return Placement(share, evidence, {"total": running.bytes})


class _Bare(Ollama):
    """The server without a model: to pull one."""

    def _name(self) -> str:
        return ""  # a file of one's own has none yet

    async def ready(self, server: ModelServer) -> None:
        """It answers: that is all that is wanted."""

    async def placement(self) -> Placement:
        return Placement(None)

    def _require_backend(self, placement: Placement) -> None:
        """Nothing is computed."""


@contextmanager
def serving(config: RunConfig) -> Iterator[OllamaServer]:
    """A server to pull with: the user's, one that llmc has started, else one for as long as this takes."""
    with _Bare(config, weights=None, model_digest="") as engine:
        server = engine.server
        assert isinstance(server, OllamaServer)
        yield server


def own_file(config: RunConfig) -> Weights | None:
    """A GGUF file that is to be served instead of what Ollama's library has."""
    return weights(config) if config.model.path or config.model.url else None


def starts(config: RunConfig) -> bool:
    """Whether a server would have to be started to pull with."""
    return bool(_Bare(config, weights=None, model_digest="").command())


def _is_here(url: str) -> bool:
    return is_loopback(httpx.URL(url).host)


async def reach(server: OllamaServer) -> str:
    """The server's version; EngineUnavailable, with how to start it, when it does not answer."""
    try:
        return await server.version()
    except EngineError as error:
        hint = "ollama serve" if shutil.which("ollama") else DOWNLOAD
        raise EngineUnavailable(f"no Ollama server: {error.message}", hint=hint) from error


def quantisation(config: RunConfig) -> str:
    """What ``quant=`` means here, as llama.cpp calls it: without one, the first of the model's tags."""
    return config.quant.gguf or next(iter(config.model.ollama), "")


def tag(config: RunConfig) -> str:
    """The model's name for Ollama: in its library, or of a file of one's own, which is called by its sha256.

    UsageError when the library does not have it in this quantisation.
    """
    if own := own_file(config):
        found = here(own)
        if found is None and not config.dry_run:
            raise EngineUnavailable(f"{own.path} has not been given to Ollama", hint=advice.command(config, {}, target="pull"))
        return f"llmc-{config.model.name}:{found.sha256[:12] if found else 'its-sha256'}"
    tags, quant = config.model.ollama, quantisation(config)
    if quant not in tags:
        what = f"{config.model.name} as {quant.upper()}" if quant else config.model.name
        options = ", ".join(f"quant={each}" for each in tags)
        raise UsageError(
            f"no tag of Ollama's library is known for {what}" + (f"; there is {options}" if options else ""),
            hint=f"name one: +model.ollama.{quant or 'q4_k_m'}=TAG" + ("" if quant else " quant=q4_k_m"),
        )
    return tags[quant]


def client(url: str, key: str, timeout_seconds: float, offline: bool) -> OllamaServer:
    """To speak with a server that is on record."""
    return OllamaServer(url, key=key, timeout_seconds=timeout_seconds, offline=offline)


def create(config: RunConfig, *, weights: Path | None, model_digest: str) -> Ollama:
    return Ollama(config, weights=None, model_digest=model_digest)
