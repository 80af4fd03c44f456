"""Ollama's own API: what it has, what it has loaded and where, pulling, answering.

Facts from ollama's source at v0.33 and from published answers of 0.12.5, 0.12.6, 0.34 and 0.40: a prompt longer than
``num_ctx`` is cut without a word unless ``truncate`` and ``shift`` are false; since 0.30 the refusal is llama.cpp's error as a
string inside ``error``. A pull that has begun fails with status 200 and a last line ``{"error"}``; while it stalls, lines that
say so go on.
"""

import asyncio
import ipaddress
import json
import os
import random
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

import httpx

from llmc.engine import Activity, Generation, Health, Message
from llmc.engine._http import PROBE_SECONDS, ModelServer, refusal
from llmc.errors import ContextOverflow, EngineBusy, EngineError, EngineUnavailable, PullError
from llmc.model.download import Limits

DEFAULT_PORT = 11434
BYTES_PER_TOKEN = 4.0  # English prose, until an answer has shown what it is here
TEMPLATE_TOKENS = 8  # a chat template's words around one message
CHUNK_BYTES = 1 << 20
LIMITS = Limits(stall_seconds=60)  # Ollama itself starts a part again after 30 s without a byte
VERIFY_SECONDS = 900  # of one silent line: 40 GB from a slow disk
_FINAL = re.compile(  # what another try of a pull cannot mend
    r"file does not exist|invalid model|insecure protocol|unauthorized|requires a newer version|no space left|permission denied"
)


def address(environment: Mapping[str, str] = os.environ) -> str:
    """Where the user's Ollama is: OLLAMA_ENDPOINT, else OLLAMA_HOST as Ollama itself reads it, else this machine.

    >>> address({}), address({"OLLAMA_HOST": "https://box"}), address({"OLLAMA_HOST": "0.0.0.0:5000"})
    ('http://127.0.0.1:11434', 'https://box:443', 'http://127.0.0.1:5000')
    """
    given = (environment.get("OLLAMA_ENDPOINT") or environment.get("OLLAMA_HOST") or "").strip().strip("\"'").strip()
    scheme, found, rest = given.partition("://")
    if not found:
        scheme, rest = "http", given
    port = {"http": 80, "https": 443}.get(scheme, DEFAULT_PORT) if found else DEFAULT_PORT
    parts = urlsplit(f"{scheme}://{rest}")
    host = parts.hostname or "127.0.0.1"
    try:
        port = parts.port or port
        if ipaddress.ip_address(host).is_unspecified:  # what a server listens on; nobody can be reached there
            host = "::1" if ":" in host else "127.0.0.1"
    except ValueError:
        pass
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}{parts.path.rstrip('/')}"


@dataclass(frozen=True, slots=True)
class Installed:
    """A model that an Ollama server has."""

    name: str
    digest: str
    """sha256 of its manifest, which names the sha256 of the weights."""
    bytes: int
    remote_host: str = ""
    """Where it is computed, when that is not where the server is (Ollama's cloud models)."""


@dataclass(frozen=True, slots=True)
class Running:
    """A model that an Ollama server has loaded."""

    name: str
    bytes: int
    vram_bytes: int
    context_tokens: int


def full_name(tag: str) -> str:
    """As Ollama lists it: a name without a tag is ``latest``."""
    return tag if ":" in tag.rpartition("/")[2] else f"{tag}:latest"


class OllamaServer(ModelServer):
    """A client of one server. A model's name is compared without regard to case, as Ollama does."""

    options: Mapping[str, Any] = MappingProxyType({})
    """What ``model_id`` is loaded with; ``num_ctx`` is needed."""
    _bytes = _tokens = 0

    async def health(self) -> Health:
        return await self._probe("/api/version")

    async def version(self) -> str:
        said = await self._request("GET", "/api/version", timeout=PROBE_SECONDS)
        with self._shape():
            return str(said["version"])

    async def installed(self) -> list[Installed]:
        said = await self._request("GET", "/api/tags", timeout=PROBE_SECONDS)
        with self._shape():
            return [
                Installed(str(m["name"]), str(m["digest"]), int(m["size"]), str(m.get("remote_host") or ""))
                for m in said["models"]
            ]

    async def models(self) -> list[str]:
        return [each.name for each in await self.installed()]

    async def activity(self) -> Activity:
        """It counts nothing; where the model is, it says."""
        found = await self.running(self.model_id) if self.model_id else None
        return Activity(loaded=found is not None, vram_bytes=found.vram_bytes if found else 0)

    async def find(self, tag: str) -> Installed | None:
        wanted = full_name(tag).lower()
        return next((each for each in await self.installed() if each.name.lower() == wanted), None)

    async def running(self, tag: str) -> Running | None:
        said = await self._request("GET", "/api/ps", timeout=PROBE_SECONDS)
        wanted = full_name(tag).lower()
        with self._shape():
            for m in said["models"]:
                if str(m["name"]).lower() == wanted:
                    return Running(m["name"], int(m["size"]), int(m.get("size_vram") or 0), int(m.get("context_length") or 0))
        return None

    async def trained_context_tokens(self, tag: str) -> int | None:
        """The longest context the model was trained for; None when the server does not say."""
        said = await self._request("POST", "/api/show", {"model": tag}, timeout=PROBE_SECONDS)
        info = said.get("model_info") or {}
        found = info.get(f"{info.get('general.architecture')}.context_length")
        return int(found) if found else None

    async def load(self, tag: str, options: Mapping[str, Any], timeout_seconds: float) -> None:
        """Into memory, with these options; a later request with others would load it again."""
        body = {"model": tag, "options": dict(options), "stream": False}
        with _clearer(self.url, tag):
            await self._request("POST", "/api/generate", body, timeout=timeout_seconds)

    async def release(self, model: str) -> bool:
        await self.unload(model)
        return True

    async def unload(self, tag: str) -> None:
        await self._request("POST", "/api/generate", {"model": tag, "keep_alive": 0, "stream": False})

    async def chat(
        self,
        tag: str,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        schema: dict[str, Any] | None,
        temperature: float,
        seed: int,
        options: Mapping[str, Any],
    ) -> Generation:
        """One answer; ``options["num_ctx"]`` as the model was loaded. ContextOverflow rather than an answer to a cut prompt."""
        context_tokens = int(options["num_ctx"])
        body: dict[str, Any] = {
            "model": tag,
            "messages": [{"role": m.role, "content": m.content} for m in messages],
            "stream": False,
            "truncate": False,
            "shift": False,
            "options": {**options, "num_predict": max_tokens, "temperature": temperature, "seed": seed},
        }
        if schema is not None:
            body["format"] = schema
        started = time.perf_counter()
        with _clearer(self.url, tag):
            said = await self._request("POST", "/api/chat", body)
        with self._shape():
            if "error" in said:
                raise EngineError(f"{self.url}/api/chat: {said['error']}")
            # Left out when it is 0: releases before 0.12 do not count a prompt that they still had.
            prompt_tokens, output_tokens = int(said.get("prompt_eval_count") or 0), int(said["eval_count"])
            reason = str(said["done_reason"])
            text = str(said["message"]["content"] or "")
        if prompt_tokens >= context_tokens:  # a release that does not know truncate
            raise ContextOverflow(f"the prompt has more than the {context_tokens} tokens of the context: {self.url} cut it")
        if prompt_tokens + output_tokens > context_tokens:  # nor shift: the answer pushed the prompt out
            reason = "length"
        return Generation(
            text=text,
            finish_reason=reason,
            prompt_tokens=prompt_tokens,
            cached_tokens=0,
            output_tokens=output_tokens,
            seconds=time.perf_counter() - started,
            served_model=str(said.get("model") or ""),
        )

    async def generate(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        schema: dict[str, Any] | None = None,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> Generation:
        answer = await self.chat(
            self.model_id,
            messages,
            max_tokens=max_tokens,
            schema=schema,
            temperature=temperature,
            seed=seed,
            options=self.options,
        )
        if answer.prompt_tokens:
            self._bytes += sum(len(m.content.encode()) for m in messages)
            self._tokens += max(1, answer.prompt_tokens - TEMPLATE_TOKENS * len(messages))
        return answer

    async def count_tokens(self, text: str) -> int:
        """Estimated, from the bytes per token of the answers so far: what was read is exact and comes with each answer."""
        ratio = self._bytes / self._tokens if self._tokens else BYTES_PER_TOKEN
        return -(-len(text.encode()) // ratio).__ceil__()

    async def count_prompt_tokens(self, messages: Sequence[Message]) -> int:
        return sum([await self.count_tokens(m.content) + TEMPLATE_TOKENS for m in messages])

    async def give(self, tag: str, file: Path, sha256: str, on_bytes: Callable[[int, int], None]) -> Installed:
        """Put a GGUF file of ours into its store under a name, without asking any library; what it has, is not sent again.

        ``POST /api/blobs/sha256:DIGEST`` takes the bytes and refuses others; ``/api/create`` makes a model of them.
        """
        blob, size = f"/api/blobs/sha256:{sha256}", file.stat().st_size
        answer = await self._connection().head(blob, timeout=PROBE_SECONDS)
        if answer.status_code == 404:

            async def pieces() -> AsyncIterator[bytes]:
                sent = 0
                with file.open("rb") as source:
                    while piece := source.read(CHUNK_BYTES):
                        yield piece
                        sent += len(piece)
                        on_bytes(sent, size)

            headers = {"Content-Length": str(size)}
            try:
                answer = await self._connection().post(blob, content=pieces(), headers=headers, timeout=VERIFY_SECONDS)
            except httpx.HTTPError as error:
                raise PullError(f"{file} could not be given to {self.url}: {error or type(error).__name__}") from error
        if answer.status_code >= 400:
            raise refusal(answer, f"{self.url}{blob}")
        body = {"model": tag, "files": {file.name: f"sha256:{sha256}"}, "stream": False}
        said = await self._request("POST", "/api/create", body, timeout=VERIFY_SECONDS)
        if said.get("status") != "success" or (found := await self.find(tag)) is None:
            raise PullError(f"{self.url} could not make a model of {file}: {said.get('error') or said}")
        return found

    async def pull(
        self, tag: str, on_bytes: Callable[[int, int], None] = lambda have, total: None, limits: Limits = LIMITS
    ) -> tuple[Installed, int]:
        """Have the server fetch a model; ``on_bytes`` is told the bytes it has and, as far as it knows, will have.

        What it has then, and the bytes it fetched for it. What came before a failure stays in the server, so a further attempt
        goes on there. PullError when it gives up.
        """
        layers: dict[str, _Layer] = {}
        fruitless, most = 0, 0
        while True:
            try:
                async for step in self._pull(tag, limits.stall_seconds):
                    layer = layers.setdefault(step["digest"], _Layer(int(step.get("completed") or 0)))
                    layer.have, layer.total = int(step.get("completed") or 0), int(step.get("total") or 0)
                    on_bytes(sum(each.have for each in layers.values()), sum(each.total for each in layers.values()))
                break
            except (_Broken, httpx.HTTPError) as error:
                have = sum(each.have for each in layers.values())
                fruitless = 1 if have > most else fruitless + 1
                most = max(have, most)
                if fruitless >= limits.attempts:
                    raise PullError(
                        f"{tag} could not be pulled by {self.url}: {error or type(error).__name__}",
                        hint="run the same command again: the server goes on where it stopped",
                    ) from error
            backoff = limits.wait_seconds * 2 ** (fruitless - 1) * random.uniform(0.5, 1.5)
            await asyncio.sleep(min(backoff, limits.max_wait_seconds))
        if (found := await self.find(tag)) is None:
            raise PullError(f"{self.url} says it has pulled {tag}, and does not list it")
        return found, sum(max(0, each.have - each.before) for each in layers.values())

    async def _pull(self, tag: str, stall_seconds: float) -> AsyncIterator[dict[str, Any]]:
        """One attempt: the steps that say how far a layer is."""
        body = {"model": tag, "stream": True}
        timeout = httpx.Timeout(PROBE_SECONDS, read=None)
        async with self._connection().stream("POST", "/api/pull", json=body, timeout=timeout) as answer:
            if answer.status_code >= 400:
                await answer.aread()
                raise refusal(answer, f"{self.url}/api/pull")
            lines = answer.aiter_lines()
            last, moved = "", time.monotonic()
            while (line := await _next(lines, VERIFY_SECONDS if "verifying" in last else stall_seconds)) is not None:
                if line == last and time.monotonic() - moved > stall_seconds:
                    raise _Broken(f"nothing has come for {stall_seconds:g} s")
                if line == last:
                    continue
                last, moved = line, time.monotonic()
                step = _step(line)
                if error := step.get("error"):
                    raise _failure(tag, str(error))
                if step.get("status") == "success":
                    return
                if step.get("digest"):
                    yield step
        raise _Broken("it ended without success")


@dataclass(slots=True)
class _Layer:
    """A part of a model, in bytes; ``before``: what the server had of it already."""

    before: int
    have: int = 0
    total: int = 0


class _Broken(Exception):
    """An attempt to pull failed in a way that may pass."""


async def _next(lines: AsyncIterator[str], seconds: float) -> str | None:
    try:
        async with asyncio.timeout(seconds):
            return await anext(lines, None)
    except TimeoutError:
        raise _Broken(f"nothing has come for {seconds:g} s") from None


def _step(line: str) -> dict[str, Any]:
    try:
        step = json.loads(line)
    except ValueError:
        step = None
    if not isinstance(step, dict):
        raise _Broken(f"it said {line[:80]!r}")
    return step


def _failure(tag: str, error: str) -> Exception:
    if not _FINAL.search(error):
        return _Broken(error)
    if "file does not exist" in error:
        return PullError(
            f"Ollama's library has no {tag}", hint=f"what it has: https://ollama.com/library/{tag.split(':')[0]}/tags"
        )
    if "no space left" in error:
        return PullError(f"{tag}: {error}", hint="free space where the server keeps its models (OLLAMA_MODELS)")
    if "newer version" in error:
        return PullError(f"{tag}: {error}", hint="update Ollama: https://ollama.com/download")
    return PullError(f"{tag}: {error}")


@contextmanager
def _clearer(url: str, tag: str) -> Iterator[None]:
    """Ollama's ways of saying no, as the errors that say what to do."""
    try:
        yield
    except ContextOverflow as error:
        sizes = re.search(r'"n_prompt_tokens":(\d+),"n_ctx":(\d+)', error.message)
        what = f"the prompt has {sizes[1]} tokens, the context {sizes[2]}" if sizes else "the prompt is longer than the context"
        raise ContextOverflow(what, hint="profile.slot_context_tokens=…") from error
    except EngineError as error:
        said = error.message
        if "maximum pending requests" in said:
            raise EngineBusy(f"{url}: its queue is full (OLLAMA_MAX_QUEUE)") from error
        if re.search(r"model '.*' not found", said):
            raise EngineUnavailable(f"{url} does not have {tag}", hint=f"ollama pull {tag}") from error
        if re.search(r"more system memory|runner|failed to load|unable to load", said):
            raise EngineUnavailable(said, hint="a smaller quant= or profile.slot_context_tokens=; its log says more") from error
        raise
