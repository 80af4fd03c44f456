"""engine=openai: a model that somebody else serves over OpenAI's interface; who, says ``provider=``.

Every document it is asked for leaves this machine. The key comes from the environment variable that the provider's YAML names,
and is never shown, not even where a server quotes it.

No two of these servers know the same parameters. What one refuses by name (400) is asked without it from then on: the answer's
form is bound to a schema with lengths, without them, to any JSON object, or only asked for in words, in this order.
"""

import json
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from llmc.engine import Generation, Health, Message, Placement
from llmc.engine._http import OpenAIServer, is_loopback
from llmc.errors import EngineDenied, EngineError, LlmcError, UsageError
from llmc.schema import ProviderConfig, RunConfig

CHAT = "/v1/chat/completions"
FORMATS = ("schema", "loose_schema", "json_object", "text")
TOKEN_FIELDS = ("max_tokens", "max_completion_tokens")
BYTES_PER_TOKEN = 4  # English and code; there is no tokenizer to ask, so every count here is an estimate
MESSAGE_TOKENS = 4  # of the chat template, for each message
IN_WORDS = "\nAnswer with one JSON object of this JSON Schema, and nothing else: {schema}"


@dataclass(frozen=True, slots=True)
class Dialect:
    """What this server takes."""

    answer_format: str
    tokens_field: str
    other_tokens_field: bool = True
    """It has not been tried yet."""
    temperature: bool = True
    seed: bool = True

    def without(self, message: str) -> "Dialect | None":
        """The nearest one that does not have what the message complains of; None when it complains of something else."""
        if "temperature" in message:
            return replace(self, temperature=False) if self.temperature else None
        if self.tokens_field in message and self.other_tokens_field:
            other = next(f for f in TOKEN_FIELDS if f != self.tokens_field)
            return replace(self, tokens_field=other, other_tokens_field=False)
        if re.search(r"response_format|schema|maxLength|minLength|maxItems", message) and self.answer_format != FORMATS[-1]:
            return replace(self, answer_format=FORMATS[FORMATS.index(self.answer_format) + 1])
        if "seed" in message and self.seed:
            return replace(self, seed=False)
        return None


class OpenAI(OpenAIServer):
    """One model of one provider. Entering it only looks whether the key is there."""

    name = "openai"
    local = False

    def __init__(self, provider: ProviderConfig, *, slots: int, timeout_seconds: float, offline: bool) -> None:
        super().__init__(provider.base_url.rstrip("/").removesuffix("/v1"), timeout_seconds=timeout_seconds, offline=offline)
        self.provider = provider
        self.model = provider.model
        self.model_digest = f"{provider.name}:{provider.model}"  # weights are not shown: the name is all there is
        self.slots = slots
        self.slot_context_tokens = provider.context_tokens
        self._key = ""
        self._dialect = Dialect(provider.answer_format, provider.max_tokens_field)

    def command(self) -> list[str]:
        return []

    def __enter__(self) -> Self:
        if self.provider.key_env:
            self._key = os.environ.get(self.provider.key_env, "").strip()
            if not self._key:
                raise EngineDenied(
                    f"{self.provider.name} needs a key and the environment variable {self.provider.key_env} is not set",
                    hint=f"export {self.provider.key_env}=…",
                )
            self._headers = {**self._headers, "Authorization": f"Bearer {self._key}"}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None: ...

    async def health(self) -> Health:
        found = await self._probe("/v1/models")
        return replace(found, reason=self._safe(found.reason))

    async def placement(self) -> Placement:
        return Placement(None)

    async def count_tokens(self, text: str) -> int:
        return -(-len(text.encode("utf-8", "surrogatepass")) // BYTES_PER_TOKEN)

    async def count_prompt_tokens(self, messages: Sequence[Message]) -> int:
        return sum([MESSAGE_TOKENS + await self.count_tokens(message.content) for message in messages])

    async def _answer(self, method: str, path: str, json: Any = None, timeout: float | None = None) -> httpx.Response:  # noqa: ANN401
        try:
            return await super()._answer(method, path, json, timeout)
        except LlmcError as error:
            error.message = self._safe(error.message)
            error.args = (error.message,)
            if isinstance(error, EngineDenied) and not error.hint and self.provider.key_env:
                error.hint = f"is {self.provider.key_env} right, and is there credit left at {self.provider.name}?"
            raise

    def _safe(self, message: str) -> str:
        return message.replace(self._key, "…") if self._key else message

    async def generate(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        schema: dict[str, Any] | None = None,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> Generation:
        while True:
            dialect = self._dialect
            body = self._said_in(dialect, messages, max_tokens, schema, temperature, seed)
            started = time.perf_counter()
            try:
                answer = await self._answer("POST", CHAT, body)
            except EngineError as error:
                if type(error) is not EngineError or not re.search(r" answered 4(00|22): ", error.message):
                    raise
                simpler = dialect.without(error.message)
                if simpler is None:
                    raise
                if self._dialect == dialect:  # else another request has learnt it meanwhile
                    self._dialect = simpler
                continue
            return self._read(answer, time.perf_counter() - started, dialect)

    def _said_in(
        self,
        dialect: Dialect,
        messages: Sequence[Message],
        max_tokens: int,
        schema: dict[str, Any] | None,
        temperature: float,
        seed: int,
    ) -> dict[str, Any]:
        body = self._body(messages, max_tokens=max_tokens, schema=schema, temperature=temperature, seed=seed)
        del body["max_tokens"]
        body |= {"model": self.model, dialect.tokens_field: max_tokens + self.provider.reasoning_tokens, **self.provider.extra}
        if not dialect.temperature:
            del body["temperature"]
        if not dialect.seed:
            del body["seed"]
        if schema is None or dialect.answer_format == "schema":
            return body
        if dialect.answer_format == "loose_schema":
            body["response_format"]["json_schema"]["schema"] = _loose(schema)
            return body
        # In words, without lengths: the same for every document, so that a prefix cache holds it.
        body["messages"][0]["content"] += IN_WORDS.format(schema=json.dumps(_loose(schema)))
        del body["response_format"]
        if dialect.answer_format == "json_object":
            body["response_format"] = {"type": "json_object"}
        return body

    def _read(self, answer: httpx.Response, seconds: float, dialect: Dialect) -> Generation:
        made = self._generation(answer, seconds)
        with self._shape():
            usage = self._json(answer, CHAT)["usage"]
            cost = usage.get("cost")
            written = (usage.get("prompt_tokens_details") or {}).get("cache_write_tokens")
            text = made.text
            if dialect.answer_format == "text" and (found := re.search(r"\{.*\}", text, re.DOTALL)):
                text = found[0]  # it comes wrapped in a fence or a greeting
            return replace(
                made,
                text=text,
                cost_usd=None if cost is None else Decimal(str(cost)),
                cache_write_tokens=int(written or 0),
            )


def _loose(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema without lengths, which the strict mode of some servers refuses."""
    lengths = ("minLength", "maxLength", "minItems", "maxItems")
    return {k: _loose(v) if isinstance(v, dict) else v for k, v in schema.items() if k not in lengths}


def create(config: RunConfig, *, weights: Path | None, model_digest: str) -> OpenAI:
    check(config)
    return OpenAI(
        config.provider,
        slots=config.profile.concurrency,
        timeout_seconds=config.engine.request_timeout_seconds,
        offline=config.profile.offline,
    )


def check(config: RunConfig) -> None:
    """UsageError for a provider that means nothing, or that the profile does not allow."""
    provider = config.provider
    if not provider.base_url or not provider.model:
        raise UsageError(
            f"provider={provider.name} has no address or no model", hint="provider.base_url=https://… provider.model=NAME"
        )
    url = httpx.URL(provider.base_url)
    if url.scheme not in ("http", "https") or not url.host:
        raise UsageError(f"provider.base_url={provider.base_url} is not an http or https address")
    if url.userinfo:  # an address is shown in errors and receipts
        raise UsageError(
            "provider.base_url holds a name or a password", hint="provider.key_env=VARIABLE names where the key is"
        )
    if provider.answer_format not in FORMATS:
        raise UsageError(f"provider.answer_format={provider.answer_format} is none of {', '.join(FORMATS)}")
    if provider.max_tokens_field not in TOKEN_FIELDS:
        raise UsageError(f"provider.max_tokens_field={provider.max_tokens_field} is none of {', '.join(TOKEN_FIELDS)}")
    if config.profile.offline and not is_loopback(url.host):
        raise UsageError(
            f"profile={config.profile.name} opens no connection to {url.host}",
            hint="profile=hybrid or profile=cloud may leave this machine",
        )
