"""Engines: the software that serves a language model. The pipeline knows only :class:`Engine`.

An engine that owns a server starts it when it is entered (``with engine:``) and stops it when it is left; what it did not
start it never stops. Every failure is an :class:`llmc.errors.EngineError`; which one says what to do about it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import TracebackType
from typing import Any, Protocol, Self


@dataclass(frozen=True, slots=True)
class Message:
    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Generation:
    """One answer, and what it took; tokens as the server counted them."""

    text: str
    finish_reason: str
    """``stop``: the model ended; ``length``: it was cut at ``max_tokens``."""
    prompt_tokens: int
    cached_tokens: int
    """Of the prompt's tokens, those the server had from an earlier request."""
    output_tokens: int
    seconds: float
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    """Of the output's tokens."""
    served_model: str = ""
    """What the server says answered."""
    request_id: str = ""
    cost_usd: Decimal | None = None
    """What the server says it charges; None when it does not say."""


@dataclass(frozen=True, slots=True)
class Health:
    """What a probe found."""

    ok: bool
    latency_seconds: float
    reason: str = ""


class Engine(Protocol):
    """A running model. Generation is asynchronous; up to ``slots`` requests are served at once."""

    name: str
    model: str
    model_digest: str
    """sha256 of the weights, so that a receipt says which model it was."""
    slots: int
    slot_context_tokens: int
    """Prompt and answer of one request must fit in this many tokens."""

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...

    async def aclose(self) -> None:
        """Close the connections of the running event loop; the engine itself goes on."""
        ...

    async def health(self) -> Health: ...

    async def models(self) -> list[str]: ...

    async def generate(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        schema: dict[str, Any] | None = None,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> Generation:
        """The model's answer; with ``schema``, text that is JSON of that JSON Schema (unless it was cut)."""
        ...

    async def count_tokens(self, text: str) -> int:
        """Tokens of a text alone, by the model's own tokenizer."""
        ...

    async def count_prompt_tokens(self, messages: Sequence[Message]) -> int:
        """Tokens of a whole prompt, the chat template's included."""
        ...
