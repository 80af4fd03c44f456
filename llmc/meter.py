"""What asking a model cost, and who is told of it: the words that the ladder and the ledger share.

Every attempt is one :class:`Call`, reserved before the request is sent and settled after it, whatever came of it; every
document that went down the ladder is one :class:`Made`. Neither holds text (of a document, a prompt, an answer), nor a key.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Call:
    """One attempt to have an engine do something."""

    event_id: str
    """Made once for the attempt; settling it twice records it once."""
    document: str
    """The document's id in its archive; ``""`` when there is none."""
    tier: str
    """The rung that asked, as the profile names it."""
    local: bool
    """The engine runs on this machine or network of ours: it costs energy and time. False: somebody sends a bill."""
    engine: str
    provider: str
    """Whose price list holds: ``openai``, ``groq``, ...; ``""`` for a local engine."""
    model: str
    """As asked for; what served it is in the outcome."""
    attempt: int
    """1 for the first try of this tier at this document."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended, with what the server said it took; tokens are None where it did not say."""

    status: str
    """``ok``, ``failed`` (reason says how), or ``cached``: answered from our own cache, nothing was sent."""
    reason: str = ""
    prompt_tokens: int | None = None
    """All of the prompt, what came from the server's prefix cache included."""
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int | None = None
    """All of the output, reasoning included."""
    reasoning_tokens: int = 0
    seconds: float = 0.0
    cost_usd: Decimal | None = None
    """What the provider itself said it charges; None when it did not."""
    served_model: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Made:
    """What became of one document."""

    document: str
    kind: str
    """``gist``, ``extract`` or ``none``."""
    tier: str
    """The rung whose view was kept; ``""`` for a view no model wrote."""
    source_bytes: int
    source_tokens: int
    view_tokens: int
    refused: int
    """Views that the fidelity check refused on the way."""
    seconds: float


class Meter(Protocol):
    """Keeps the record, and says no when a budget would be exceeded."""

    def reserve(self, call: Call, *, prompt_tokens: int, max_output_tokens: int) -> None:
        """Set aside the most that the call may cost. Raises :class:`llmc.errors.BudgetExceeded` before anything is sent."""
        ...

    def settle(self, call: Call, outcome: Outcome) -> None:
        """Record what the call took and free what was set aside beyond it."""
        ...

    def made(self, made: Made) -> None:
        """Record what became of a document."""
        ...


class Unmetered:
    """Keeps no record and knows no budget."""

    def reserve(self, call: Call, *, prompt_tokens: int, max_output_tokens: int) -> None: ...

    def settle(self, call: Call, outcome: Outcome) -> None: ...

    def made(self, made: Made) -> None: ...
