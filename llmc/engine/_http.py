"""Every HTTP call to an engine, and the one place where httpx's errors become ours.

httpx.TimeoutException                EngineTimeout
httpx.ConnectError, other transport   EngineUnavailable
status 503                            EngineUnavailable (still loading, or out of slots)
any other status >= 400               EngineError with the server's own message
"""

import asyncio
import ipaddress
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx

from llmc.engine import Generation, Health, Message
from llmc.errors import EngineError, EngineTimeout, EngineUnavailable, LlmcError


class _Loopback(httpx.AsyncHTTPTransport):
    """A transport that reaches this machine and nothing else: what ``profile.offline`` means."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        host = request.url.host
        if host != "localhost" and not _is_loopback(host):
            raise LlmcError(
                f"profile=local opens no connection to {host}", hint="profile=hybrid or profile=cloud may leave this machine"
            )
        return await super().handle_async_request(request)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class LlamaServer:
    """The HTTP interface of llama.cpp's server: OpenAI's chat route, and its own for tokens and templates."""

    def __init__(self, url: str, *, key: str = "", timeout_seconds: float, offline: bool) -> None:
        self.url = url
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._timeout_seconds = timeout_seconds
        self._offline = offline
        self._client: httpx.AsyncClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def _request(self, method: str, path: str, json: Any = None, timeout: float | None = None) -> Any:  # noqa: ANN401
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:  # a client belongs to the loop it was made in
            limits = httpx.Limits(max_connections=None)  # the pipeline bounds how many requests are in flight
            transport = _Loopback(limits=limits, verify=False) if self._offline else httpx.AsyncHTTPTransport(limits=limits)
            # trust_env off: a proxy from the environment has no business between llmc and a server on this machine.
            self._client = httpx.AsyncClient(
                base_url=self.url, headers=self._headers, transport=transport, trust_env=not self._offline
            )
            self._loop = loop
        try:
            answer = await self._client.request(method, path, json=json, timeout=timeout or self._timeout_seconds)
        except httpx.TimeoutException as error:
            raise EngineTimeout(f"no answer from {self.url}{path} within {timeout or self._timeout_seconds:g} s") from error
        except httpx.HTTPError as error:
            raise EngineUnavailable(f"{self.url} cannot be reached: {error or type(error).__name__}") from error
        if answer.status_code == 503:
            raise EngineUnavailable(f"{self.url} is not ready: {_message(answer)}")
        if answer.status_code >= 400:
            raise EngineError(f"{self.url}{path} answered {answer.status_code}: {_message(answer)}")
        try:
            return answer.json()
        except ValueError as error:
            raise EngineError(f"{self.url}{path} answered something that is not JSON") from error

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def health(self) -> Health:
        started = time.perf_counter()
        try:
            await self._request("GET", "/health", timeout=5)
        except EngineError as error:
            return Health(False, time.perf_counter() - started, error.message)
        return Health(True, time.perf_counter() - started)

    async def models(self) -> list[str]:
        answer = await self._request("GET", "/v1/models")
        with self._shape():
            return [str(m["id"]) for m in answer["data"]]

    async def count_tokens(self, text: str) -> int:
        return await self._tokens({"content": text})

    async def count_prompt_tokens(self, messages: Sequence[Message]) -> int:
        body = {"messages": [{"role": m.role, "content": m.content} for m in messages]}
        answer = await self._request("POST", "/apply-template", body)
        with self._shape():
            whole = {"content": answer["prompt"], "add_special": True, "parse_special": True}
        return await self._tokens(whole)

    async def _tokens(self, body: dict[str, Any]) -> int:
        answer = await self._request("POST", "/tokenize", body)
        with self._shape():
            return len(answer["tokens"])

    @contextmanager
    def _shape(self) -> Iterator[None]:
        """JSON that is not of the route's form is the server's error, not a bug of ours."""
        try:
            yield
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise EngineError(f"{self.url} answered without {error}") from error

    async def generate(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        schema: dict[str, Any] | None = None,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> Generation:
        body: dict[str, Any] = {
            "messages": [{"role": m.role, "content": m.content} for m in messages],
            "max_tokens": max_tokens,
            "temperature": temperature,
            "seed": seed,
        }
        if schema is not None:
            body["response_format"] = {"type": "json_schema", "json_schema": {"name": "view", "schema": schema, "strict": True}}
        started = time.perf_counter()
        answer = await self._request("POST", "/v1/chat/completions", body)
        with self._shape():
            choice, usage = answer["choices"][0], answer["usage"]
            return Generation(
                text=choice["message"]["content"] or "",
                finish_reason=str(choice["finish_reason"]),
                prompt_tokens=int(usage["prompt_tokens"]),
                cached_tokens=int((usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)),
                output_tokens=int(usage["completion_tokens"]),
                seconds=time.perf_counter() - started,
            )


def _message(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return answer.text[:200] or answer.reason_phrase
