"""Engines: the software that serves a language model. The pipeline knows only :class:`Engine`.

An engine that owns a server starts it when it is entered (``with engine:``) and stops it when it is left; what it did not
start it never stops. Every failure is an :class:`llmc.errors.EngineError`; which one says what to do about it.

``engine=NAME`` is ``conf/engine/NAME.yaml`` and the module ``llmc.engine.NAME`` with its ``create``; :func:`load` finds it.
"""

import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from llmc.errors import UsageError
from llmc.schema import RunConfig

if TYPE_CHECKING:
    from llmc.engine._http import Client


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


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a model's weights really are, by what its server says; never by what it was asked for."""

    gpu_share: float | None
    """Of the weights, 0 to 1; None when the server does not say."""
    evidence: str = ""
    """The words that prove it."""
    memory_bytes: Mapping[str, int] = field(default_factory=dict)
    """Measured: what it is for (``weights``, ``kv``, ``compute``, ``process``) and how much."""


@dataclass(frozen=True, slots=True)
class Activity:
    """What a server is doing now, from its own metrics; None for what it does not say."""

    slots_busy: int | None = None
    queued: int | None = None
    prompt_tokens_total: int | None = None
    output_tokens_total: int | None = None
    """Since it started: two samples give a rate."""
    kv_used_share: float | None = None
    loaded: bool | None = None
    """Whether the model is in memory; None for a server that always has it there."""
    vram_bytes: int | None = None
    """Of video memory, what the model and its cache hold."""


class Engine(Protocol):
    """A running model. Generation is asynchronous; up to ``slots`` requests are served at once."""

    @property
    def name(self) -> str: ...

    @property
    def local(self) -> bool:
        """It runs on this machine or network of ours. False: somebody sends a bill for every request."""
        ...

    @property
    def model(self) -> str: ...

    @property
    def model_digest(self) -> str:
        """sha256 of the weights, so that a receipt says which model it was; ``""`` when nobody says."""
        ...

    @property
    def slots(self) -> int: ...

    @property
    def slot_context_tokens(self) -> int:
        """Prompt and answer of one request must fit in this many tokens."""
        ...

    def command(self) -> list[str]:
        """What entering it would start, as it can be typed in a shell; empty when it starts nothing."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...

    async def aclose(self) -> None:
        """Close the connections of the running event loop; the engine itself goes on."""
        ...

    async def health(self) -> Health:
        """A probe over HTTP; never raises for an engine that is down."""
        ...

    async def placement(self) -> Placement:
        """Where the model is; asked after it has answered once."""
        ...

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


def load(config: RunConfig, *, weights: Path | None, model_digest: str) -> Engine:
    """The engine that a configuration means, not started yet. UsageError when there is no such engine.

    ``weights`` is the model's file or folder on this machine; None for an engine that fetches or holds its own.
    """
    made: Engine = _module(config.engine.name).create(config, weights=weights, model_digest=model_digest)
    return made


def client(name: str, url: str, key: str, *, timeout_seconds: float, offline: bool) -> "Client":
    """To speak with a server that runs already."""
    made: Client = _module(name).client(url, key, timeout_seconds, offline)
    return made


def _module(name: str) -> ModuleType:
    if name.isidentifier() and importlib.util.find_spec(f"llmc.engine.{name}") is not None:
        module = importlib.import_module(f"llmc.engine.{name}")
        if hasattr(module, "create"):
            return module
    raise UsageError(f"engine.name={name}: there is no such engine", hint="llmc deploy engine=embedded")
