"""Every HTTP call to an engine, and the one place where httpx's errors and foreign status codes become ours.

httpx.ConnectError, ConnectTimeout    EngineUnreachable
httpx.TimeoutException                EngineTimeout
other transport errors                EngineUnavailable
status 400, 413 about the context     ContextOverflow
status 401, 402, 403                  EngineDenied; also a 429 that says the credit is used up
status 429                            EngineBusy with ``retry_after_seconds``
status 500                            EngineFault
status 502, 503, 504, 529             EngineUnavailable (still loading, out of slots, overloaded, a gateway without a server)
any other status >= 400               EngineError with the server's own message

A client for one more kind of server subclasses :class:`Client`, or :class:`OpenAIServer` when it has OpenAI's chat route.
"""

import asyncio
import contextlib
import ipaddress
import json
import re
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from llmc.engine import Activity, Generation, Health, Message
from llmc.errors import (
    ContextOverflow,
    EngineBusy,
    EngineDenied,
    EngineError,
    EngineFault,
    EngineTimeout,
    EngineUnavailable,
    EngineUnreachable,
    LlmcError,
)
from llmc.serving import Piece

PROBE_SECONDS = 5  # a health check that takes longer is an answer of its own
# llama.cpp: exceed_context_size_error; OpenAI: context_length_exceeded; vLLM and others only say it in words.
_OVERFLOW = re.compile(
    r"exceed_context_size|context_length_exceeded|context (length|size|window)|too long|longer than the (maximum )?model", re.I
)
_NO_CREDIT = re.compile(r"insufficient_quota|billing|credit balance", re.I)


class _Loopback(httpx.AsyncHTTPTransport):
    """A transport that reaches this machine and nothing else: what ``profile.offline`` means."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        host = request.url.host
        if not is_loopback(host):
            raise LlmcError(
                f"profile=local opens no connection to {host}", hint="profile=hybrid or profile=cloud may leave this machine"
            )
        return await super().handle_async_request(request)


def is_loopback(host: str) -> bool:
    """Whether a host, as it stands in a URL, is this machine; no name is looked up."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Client:
    """Requests to one server: JSON in, JSON out, errors as ours."""

    def __init__(
        self, url: str, *, key: str = "", timeout_seconds: float, offline: bool, headers: Mapping[str, str] | None = None
    ) -> None:
        self.url = url.rstrip("/")
        self._headers = {**(headers or {}), **({"Authorization": f"Bearer {key}"} if key else {})}
        self._timeout_seconds = timeout_seconds
        self._offline = offline
        self._client: httpx.AsyncClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def _connection(self) -> httpx.AsyncClient:
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:  # a client belongs to the loop it was made in
            limits = httpx.Limits(max_connections=None)  # the pipeline bounds how many requests are in flight
            # A transport of our own also keeps a proxy from the environment from coming between llmc and this machine.
            transport: httpx.AsyncHTTPTransport | None = None
            if self._offline:
                transport = _Loopback(limits=limits, verify=False)
            elif is_loopback(httpx.URL(self.url).host):
                transport = httpx.AsyncHTTPTransport(limits=limits)
            self._client = httpx.AsyncClient(base_url=self.url, headers=self._headers, transport=transport, limits=limits)
            self._loop = loop
        return self._client

    async def _answer(self, method: str, path: str, json: Any = None, timeout: float | None = None) -> httpx.Response:  # noqa: ANN401
        """The server's answer when it is a good one, else the error that says what to do about it."""
        seconds = timeout or self._timeout_seconds
        try:
            answer = await self._connection().request(method, path, json=json, timeout=seconds)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise EngineUnreachable(f"{self.url} cannot be reached: {error or type(error).__name__}") from error
        except httpx.TimeoutException as error:
            raise EngineTimeout(f"no answer from {self.url}{path} within {seconds:g} s") from error
        except httpx.HTTPError as error:
            raise EngineUnavailable(f"{self.url} cannot be reached: {error or type(error).__name__}") from error
        if answer.status_code >= 400:
            raise refusal(answer, f"{self.url}{path}")
        return answer

    async def _request(self, method: str, path: str, json: Any = None, timeout: float | None = None) -> Any:  # noqa: ANN401
        return self._json(await self._answer(method, path, json, timeout), path)

    def _json(self, answer: httpx.Response, path: str) -> Any:  # noqa: ANN401
        try:
            return answer.json()
        except (ValueError, RecursionError) as error:
            raise EngineError(f"{self.url}{path} answered something that is not JSON") from error

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def health(self) -> Health:
        return await self._probe("/health")

    async def activity(self) -> Activity:
        """What the server is doing; this one does not say."""
        return Activity()

    async def release(self, model: str) -> bool:
        """Have a server that goes on give back a model's memory; False: it cannot."""
        return False

    async def _probe(self, path: str) -> Health:
        started = time.perf_counter()
        try:
            await self._answer("GET", path, timeout=PROBE_SECONDS)
        except EngineError as error:
            return Health(False, time.perf_counter() - started, error.message)
        return Health(True, time.perf_counter() - started)

    async def _metrics(self) -> dict[str, float]:
        """The Prometheus page: each metric's samples added up over their labels."""
        found: dict[str, float] = {}
        for line in (await self._answer("GET", "/metrics", timeout=PROBE_SECONDS)).text.splitlines():
            name, _, value = line.rpartition(" ")
            if name and not line.startswith("#"):
                with contextlib.suppress(ValueError):
                    key = name.split("{")[0]
                    found[key] = found.get(key, 0.0) + float(value)
        return found

    @contextmanager
    def _shape(self) -> Iterator[None]:
        """JSON that is not of the route's form is the server's error, not a bug of ours."""
        try:
            yield
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            raise EngineError(f"{self.url} answered without {error}") from error


class ModelServer(Client):
    """A server that has models, one of which it is asked for."""

    model_id = ""
    """What the model is called there; empty for a server that has one and does not ask."""

    async def models(self) -> list[str]:
        raise NotImplementedError

    async def generate(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        schema: dict[str, Any] | None = None,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> Generation:
        raise NotImplementedError

    async def count_tokens(self, text: str) -> int:
        raise NotImplementedError

    async def count_prompt_tokens(self, messages: Sequence[Message]) -> int:
        raise NotImplementedError


class OpenAIServer(ModelServer):
    """What every OpenAI-compatible server has: its models, and the chat route."""

    async def models(self) -> list[str]:
        answer = await self._request("GET", "/v1/models")
        with self._shape():
            return [str(m["id"]) for m in answer["data"]]

    async def generate(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        schema: dict[str, Any] | None = None,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> Generation:
        body = self._body(messages, max_tokens=max_tokens, schema=schema, temperature=temperature, seed=seed)
        started = time.perf_counter()
        answer = await self._answer("POST", "/v1/chat/completions", body)
        return self._generation(answer, time.perf_counter() - started)

    async def stream(self, prompt: str, max_tokens: int) -> AsyncIterator[Piece]:
        """The answer to a prompt as it comes, exactly ``max_tokens`` long where the server can be told so (``ignore_eos``)."""
        body = self._body([Message("user", prompt)], max_tokens=max_tokens, schema=None, temperature=0.0, seed=1)
        body |= {"stream": True, "stream_options": {"include_usage": True}, "ignore_eos": True}
        path = "/v1/chat/completions"
        try:
            async with self._connection().stream("POST", path, json=body, timeout=self._timeout_seconds) as answer:
                if answer.status_code >= 400:
                    await answer.aread()
                    raise refusal(answer, f"{self.url}{path}")
                async for line in answer.aiter_lines():
                    if line == "data: [DONE]":
                        return
                    if line.startswith("data: "):
                        yield self._piece(line[6:])
            raise EngineUnavailable(f"{self.url} broke off in the middle of an answer")  # a closed connection ends a stream too
        except httpx.TimeoutException as error:
            raise EngineTimeout(f"no answer from {self.url}{path} within {self._timeout_seconds:g} s") from error
        except httpx.HTTPError as error:
            raise EngineUnavailable(f"{self.url} cannot be reached: {error or type(error).__name__}") from error

    def _piece(self, line: str) -> Piece:
        try:
            said = json.loads(line)
        except ValueError as error:
            raise EngineError(f"{self.url} streamed something that is not JSON") from error
        with self._shape():
            if "error" in said:
                raise EngineError(f"{self.url} broke off: {said['error']}")
            text = "".join(choice["delta"].get("content") or "" for choice in said["choices"])
            usage = said.get("usage")
            if not usage:
                return Piece(text)
            cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
            return Piece(text, int(usage["prompt_tokens"]), int(cached), int(usage["completion_tokens"]))

    def _body(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        schema: dict[str, Any] | None,
        temperature: float,
        seed: int,
    ) -> dict[str, Any]:
        body: dict[str, Any] = {
            **({"model": self.model_id} if self.model_id else {}),
            "messages": plain_messages(messages),
            "max_tokens": max_tokens,
            "temperature": temperature,
            "seed": seed,
        }
        if schema is not None:
            body["response_format"] = {"type": "json_schema", "json_schema": {"name": "view", "schema": schema, "strict": True}}
        return body

    def _generation(self, answer: httpx.Response, seconds: float) -> Generation:
        said = self._json(answer, "/v1/chat/completions")
        with self._shape():
            choice, usage = said["choices"][0], said["usage"]
            text = choice["message"]["content"] or ""
            if not isinstance(text, str):
                raise TypeError(f"a text: its content is a {type(text).__name__}")
            of_prompt = usage.get("prompt_tokens_details") or {}
            of_output = usage.get("completion_tokens_details") or {}
            return Generation(
                text=text,
                finish_reason=str(choice["finish_reason"]),
                prompt_tokens=int(usage["prompt_tokens"]),
                cached_tokens=int(of_prompt.get("cached_tokens") or 0),
                output_tokens=int(usage["completion_tokens"]),
                seconds=seconds,
                reasoning_tokens=int(of_output.get("reasoning_tokens") or 0),
                served_model=str(said.get("model") or ""),
                request_id=answer.headers.get("x-request-id") or str(said.get("id") or ""),
            )


class LlamaServer(OpenAIServer):
    """llama.cpp's server: OpenAI's chat route, and its own for tokens, templates and slots."""

    async def activity(self) -> Activity:
        """Without ``--metrics`` the slots alone are known."""
        slots = await self._request("GET", "/slots", timeout=PROBE_SECONDS)
        with self._shape():
            busy = sum(bool(slot["is_processing"]) for slot in slots)
        try:
            metrics = await self._metrics()
        except EngineError:
            return Activity(slots_busy=busy)
        return Activity(
            slots_busy=busy,
            queued=int(metrics.get("llamacpp:requests_deferred", 0)),
            prompt_tokens_total=int(metrics.get("llamacpp:prompt_tokens_total", 0)),
            output_tokens_total=int(metrics.get("llamacpp:tokens_predicted_total", 0)),
        )

    async def slots(self) -> tuple[int, int, str]:
        """How many there are, the tokens of each, and the file of weights they serve."""
        said = await self._request("GET", "/props", timeout=PROBE_SECONDS)
        with self._shape():
            context_tokens = int(said["default_generation_settings"]["n_ctx"])
            return int(said["total_slots"]), context_tokens, str(said.get("model_path", ""))

    async def count_tokens(self, text: str) -> int:
        return await self._tokens({"content": text})

    async def count_prompt_tokens(self, messages: Sequence[Message]) -> int:
        answer = await self._request("POST", "/apply-template", {"messages": plain_messages(messages)})
        with self._shape():
            whole = {"content": answer["prompt"], "add_special": True, "parse_special": True}
        return await self._tokens(whole)

    async def _tokens(self, body: dict[str, Any]) -> int:
        answer = await self._request("POST", "/tokenize", body)
        with self._shape():
            return len(answer["tokens"])


def plain_messages(messages: Sequence[Message]) -> list[dict[str, str]]:
    """As OpenAI's routes take them."""
    return [{"role": m.role, "content": m.content} for m in messages]


def refusal(answer: httpx.Response, where: str) -> EngineError:
    """The error that a status >= 400 means."""
    status, message = answer.status_code, _message(answer)
    said = f"{where} answered {status}: {message}"
    if status in (401, 402, 403) or (status == 429 and _NO_CREDIT.search(answer.text)):
        return EngineDenied(said)
    if status == 429:
        return EngineBusy(said, retry_after_seconds=_retry_after(answer))
    if status in (502, 503, 504, 529):
        return EngineUnavailable(f"{where} is not ready: {message}" if status == 503 else said)
    if status == 500:
        return EngineFault(said)
    if status in (400, 413) and _OVERFLOW.search(answer.text):
        return ContextOverflow(said)
    return EngineError(said)


def _retry_after(answer: httpx.Response) -> float | None:
    """RFC 9110: seconds, or a date; a date is compared with the server's own clock when it sends one."""
    value = answer.headers.get("retry-after", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        until = parsedate_to_datetime(value).timestamp()
        now = parsedate_to_datetime(answer.headers["date"]).timestamp() if "date" in answer.headers else time.time()
    except (ValueError, TypeError):
        return None
    return max(0.0, until - now)


def _message(answer: httpx.Response) -> str:
    """The server's own words: OpenAI's and llama.cpp's ``{"error": {"message"}}``, Ollama's ``{"error": "..."}``."""
    try:
        error = answer.json()["error"]
        return str(error["message"] if isinstance(error, dict) else error)
    except (ValueError, KeyError, TypeError):
        return answer.text[:200] or answer.reason_phrase
