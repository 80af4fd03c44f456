"""What events would cost by the prices of now: a second opinion beside the first, which stays.

Useful after giving a model a price it had none for, or after an update of the price list. Each event is priced for its own
time, where the source knows that. What a provider itself charged is not up for opinion.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING

from llmc import period
from llmc.energy import Tariff
from llmc.ledger import Ledger
from llmc.ledger.query import EVERYTHING, Filter
from llmc.ledger.rows import Event
from llmc.price import Cost, Prices, Tokens

if TYPE_CHECKING:
    from llmc.schema import PowerConfig, PriceConfig

BATCH = 1000  # events priced between two commits


@dataclass(frozen=True, slots=True)
class Repriced:
    """What a repricing found; ``repricing_id`` names it where costs are asked for."""

    repricing_id: str
    events: int
    """Looked at."""
    changed: int
    """Given another cost, or one where there was none."""
    before_pico: int
    after_pico: int
    unknown_before: int
    unknown_after: int
    variant_unmatched: int
    """Priced as standard now, though a variant (batch, flex) is asked for."""


def reprice(
    ledger: Ledger,
    prices: "PriceConfig",
    power: "PowerConfig",
    at: datetime,
    *,
    where: Filter = EVERYTHING,
    dry_run: bool = False,
) -> Repriced:
    """Add a repricing; with ``dry_run`` only say what it would be."""
    name = f"{at:%Y%m%dT%H%M%SZ}"
    priced, tariff = Prices(prices), Tariff.of(power)
    events = changed = before = after = unknown_before = unknown_after = unmatched = 0
    for batch in _batches(ledger.events(where)):
        found: list[tuple[Event, Cost]] = []
        for event in batch:
            cost = _again(event, priced, tariff)
            events += 1
            before += event.cost_pico or 0
            after += cost.pico or 0
            unknown_before += event.cost_pico is None
            unknown_after += cost.pico is None
            unmatched += cost.price.variant_matched is False
            if cost.pico != event.cost_pico:
                found.append((event, cost))
        changed += len(found)
        if dry_run or not found:
            continue
        with ledger.transaction() as connection:
            for event, cost in found:
                connection.execute(
                    "INSERT INTO repricings SELECT ?, event, ?, ?, ? FROM events WHERE event_id = ?",
                    (name, period.microseconds(at), cost.pico, ledger.price_key(connection, cost.price), event.event_id),
                )
    return Repriced(name, events, changed, before, after, unknown_before, unknown_after, unmatched)


def _again(event: Event, prices: Prices, tariff: Tariff) -> Cost:
    source = event.price.cost_source
    if event.backend_kind == "local" and source in ("energy", "unknown"):
        return Cost(*tariff.cost(event.energy_joules))
    if source not in ("override", "list", "unknown") or event.prompt_tokens is None or event.output_tokens is None:
        return Cost(event.cost_pico, event.price)
    names = (event.served_model, event.model) if event.served_model else (event.model,)
    tokens = Tokens(event.prompt_tokens, event.output_tokens, event.cache_read_tokens, event.cache_write_tokens)
    try:
        return prices.cost(event.provider, names, tokens, period.instant(event.at_us))
    except ValueError:  # token counts that contradict each other stay without a price
        return Cost(event.cost_pico, event.price)


def _batches(events: Iterator[Event]) -> Iterator[list[Event]]:
    while batch := list(islice(events, BATCH)):
        yield batch
