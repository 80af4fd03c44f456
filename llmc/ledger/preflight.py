"""What a run may cost, before it is started: ``dry_run=true``.

An estimate, and said to be one: tokens are counted at a number of bytes each, and whether a document goes to the cloud at all
is decided later. Prices and what is left of budgets are as they are now.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from llmc import money, period
from llmc.errors import InputError
from llmc.ledger import Ledger, Run, budget, default_path
from llmc.price import Prices, Tokens

if TYPE_CHECKING:
    from llmc.schema import RunConfig


@dataclass(frozen=True, slots=True)
class Asked:
    """What a provider would be asked for one document, all tokens estimated."""

    provider: str
    model: str
    prompt_tokens: int
    """Of a request, on average: a document that is too long for one is read in several."""
    answer_tokens: int
    most_answer_tokens: int
    attempts: int
    """The most it is asked for one document."""
    more_requests: int = 0
    """For all documents together, beyond one for each, in one attempt: the further chunks of long ones."""
    probe: tuple[int, int] | None = None
    """Tokens of the request that asks what can be told from a view alone, and of its longest answer; None: none is asked."""


def preflight(config: "RunConfig", documents: int, asked: Asked) -> str:
    """One sentence: the cost if every document goes there, and the budgets that would not last."""
    prices, now = Prices(config.price), budget.now()
    once = prices.cost(asked.provider, (asked.model,), Tokens(asked.prompt_tokens, asked.answer_tokens), now)
    most = prices.at_most(asked.provider, asked.model, asked.prompt_tokens, asked.most_answer_tokens, now)
    whom = f"{asked.provider}/{asked.model}"
    if once.pico is None or most is None:
        return "; ".join([f"{whom}: no price is known ({once.price.price_source})", *_short(config, asked, documents, 0)])
    requests = documents + asked.more_requests
    probing = prices.at_most(asked.provider, asked.model, *asked.probe, now) if asked.probe else 0
    first = once.pico * requests
    last = (most * requests + (probing or 0) * documents) * asked.attempts
    flag = f", not at the {once.price.variant} price, which is not known" if once.price.variant_matched is False else ""
    more = f" (long ones in {requests} requests together)" if asked.more_requests else ""
    probes = " and their probes" if asked.probe else ""
    said = (
        f"{whom}: about {_fine(first)} if every document goes there once{more}, at most {_fine(last)} with "
        f"{asked.attempts} attempts each{probes} (estimated tokens, {once.price.price_source}{flag})"
    )
    return "; ".join([said, *_short(config, asked, documents, first)])


def _fine(pico: int) -> str:
    """Small amounts to a hundredth of a cent."""
    return money.text(pico) if pico >= money.PICO_PER_USD else f"${money.usd(pico):.4f}"


def _short(config: "RunConfig", asked: Asked, documents: int, cost_pico: int) -> Iterator[str]:
    """The budgets that have less left than asking once for every document takes."""
    needed = {"usd": cost_pico, "requests": documents, "tokens": documents * (asked.prompt_tokens + asked.answer_tokens)}
    run = Run("", config.project, "", "", "", 0)
    budgets = budget.Budgets(config.budget, run, period.zone(config.timezone))
    if not budgets.limits:
        return
    with suppress(InputError), Ledger.read(Path(config.ledger).expanduser() if config.ledger else default_path()) as ledger:
        yield from _of(budgets, needed, lambda limit: budgets.used(ledger.connection, limit, asked.model))
        return
    yield from _of(budgets, needed, lambda limit: 0)  # nothing was ever spent


def _of(budgets: budget.Budgets, needed: dict[str, int], used_of: Callable[[budget.Limit], int]) -> Iterator[str]:
    for limit in budgets.limits:
        used = used_of(limit)
        if used + needed[limit.unit] > limit.amount:
            already = f" ({limit.text(used)} of it used)" if used else ""
            yield f"{limit.setting}{already} would stop it"
