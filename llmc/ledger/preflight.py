"""What a run may cost, before it is started: ``dry_run=true``.

An estimate, and said to be one: tokens are counted at a number of bytes each, and whether a document goes to the cloud at all
is decided later. Prices and what is left of budgets are as they are now.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from llmc import money, period
from llmc.errors import InputError
from llmc.ledger import Filter, Ledger, budget, default_path
from llmc.price import Prices, Tokens

if TYPE_CHECKING:
    from llmc.schema import RunConfig


@dataclass(frozen=True, slots=True)
class Asked:
    """What a provider would be asked for one document."""

    provider: str
    model: str
    prompt_tokens: int
    answer_tokens: int
    most_answer_tokens: int
    attempts: int
    """The most it is asked for one document."""


def preflight(config: "RunConfig", documents: int, asked: Asked) -> str:
    """One sentence: the cost if every document goes there, and the budgets that would not last."""
    prices, now = Prices(config.price), budget.now()
    once = prices.cost(asked.provider, (asked.model,), Tokens(asked.prompt_tokens, asked.answer_tokens), now)
    most = prices.at_most(asked.provider, asked.model, asked.prompt_tokens, asked.most_answer_tokens, now)
    whom = f"{asked.provider}/{asked.model}"
    if once.pico is None or most is None:
        return f"{whom}: no price is known ({once.price.price_source})"
    first, last = once.pico * documents, most * documents * asked.attempts
    flag = f", not at the {once.price.variant} price, which is not known" if once.price.variant_matched is False else ""
    said = (
        f"{whom}: about {_fine(first)} if every document goes there once, at most {_fine(last)} with "
        f"{asked.attempts} attempts each (estimated tokens, {once.price.price_source}{flag})"
    )
    return "; ".join([said, *_short(config, asked.model, first)])


def _fine(pico: int) -> str:
    """Small amounts to a hundredth of a cent."""
    return money.text(pico) if pico >= money.PICO_PER_USD else f"${money.usd(pico):.4f}"


def _short(config: "RunConfig", model: str, cost_pico: int) -> Iterator[str]:
    """The budgets that have less left."""
    for limit in budget.limits(config.budget):
        if limit.unit == "usd":
            used = 0 if limit.scope == "run" else _used(config, limit, model)
            if used + cost_pico > limit.amount:
                already = f" ({money.text(used)} of it used)" if used else ""
                yield f"{limit.name}={money.usd(limit.amount):f}{already} would stop it"


def _used(config: "RunConfig", limit: budget.Limit, model: str) -> int:
    when = period.containing(limit.period, budget.now(), period.zone(config.timezone))
    where = Filter(
        start_us=when.start_us,
        end_us=when.end_us,
        project=config.project if limit.scope == "project" else None,
        model=model if limit.scope == "model" else None,
    )
    try:
        with Ledger.read(Path(config.ledger).expanduser() if config.ledger else default_path()) as ledger:
            return sum(group.cloud_pico for group in ledger.totals(where))
    except InputError:  # nothing was ever spent
        return 0
