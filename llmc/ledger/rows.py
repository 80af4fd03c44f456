"""What the ledger holds, as typed rows. Counts are tokens, bytes and seconds; money is in pico-dollars (:mod:`llmc.money`)."""

from dataclasses import dataclass

STATUSES = ("ok", "failed", "cached", "lost")
COST_SOURCES = ("receipt", "override", "list", "energy", "cached", "unserved", "unknown")


@dataclass(frozen=True, slots=True)
class Run:
    run_id: str
    project: str
    target: str
    config_hash: str
    host: str
    started_us: int
    profile: str = ""
    model: str = ""
    tags: tuple[str, ...] = ()
    ended_us: int | None = None
    """None: still going, or it was killed."""
    status: str = ""
    original_bytes: int | None = None
    archive_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Price:
    """With what something was priced, and whose word that is."""

    cost_source: str
    """``receipt``: the provider's own word; ``override``: a configured price; ``list``: the price list; ``energy``: electricity
    at the configured tariff; ``cached``: nothing was sent; ``unserved``: sent in vain, nothing is charged; ``unknown``."""
    price_source: str
    """Which list and version, which contract; for ``unknown`` why."""
    provider: str = ""
    model: str = ""
    matched_model: str = ""
    rates: str = "{}"
    """JSON; dollars per million tokens or per kWh, as text."""
    variant: str = ""
    variant_matched: bool | None = None
    """None: no variant was asked for. False: it was, and the standard price was all there is."""
    checked: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """One attempt."""

    event_id: str
    run_id: str
    at_us: int
    document: str
    tier: str
    backend_kind: str
    engine: str
    provider: str
    model: str
    served_model: str
    attempt: int
    status: str
    reason: str
    prompt_tokens: int | None
    cache_read_tokens: int
    cache_write_tokens: int
    output_tokens: int | None
    reasoning_tokens: int
    seconds: float
    request_id: str
    cost_pico: int | None
    price: Price
    energy_joules: float | None = None
    energy_method: str = "none"
    energy_scope: str = ""
    energy_coverage: float = 0.0
    reserved_pico: int | None = None
    reserved_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """What became of one document in one run."""

    made_id: str
    run_id: str
    at_us: int
    document: str
    kind: str
    tier: str
    source_bytes: int
    source_tokens: int
    view_tokens: int
    refused: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Stretch:
    """Energy of a part of a run: busy (a call was under way; the same joules are on the events) and idle (none was)."""

    stretch_id: str
    run_id: str
    start_us: int
    end_us: int
    meter: str
    method: str
    scope: str
    coverage: float
    busy_seconds: float
    idle_seconds: float
    busy_joules: float | None
    idle_joules: float | None
    idle_pico: int | None
