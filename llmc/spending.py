"""What was spent in a period, read from the ledger: one fine-grained question to SQLite, rolled up here by anything asked for.

Sums are of whole pico-dollars and whole tokens, so the parts of any division are exactly the total. What is not known stays
apart: an :class:`Amount` is the known part, how much is missing from it, and on whose word it rests.

    spending = read(ledger, window("month", now, zone), Filter(project="notes"))
    for group in spending.by("model"):
        print(group.key, group.cost.pico, group.cost.unknown)
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, tzinfo
from typing import Any

from llmc import period
from llmc.errors import UsageError
from llmc.ledger import DocumentTotals, EnergyTotals, Filter, Ledger, Totals, UnknownPrice
from llmc.ledger.query import GROUPS
from llmc.period import Period

KINDS = ("run", *period.KINDS)
HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
DIMENSIONS = (
    "period", "profile", "tier", "backend_kind", "engine", "provider", "model", "served_model", "status", "attempt",
    "cost_source", "price_source", "variant", "energy_method", "project",
)  # fmt: skip
"""What the one question groups by; anything else that is asked for joins them."""
_SUMMED = (
    "attempts", "ok", "failed", "cached", "lost", "prompt_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens",
    "reasoning_tokens", "without_tokens", "seconds", "cost_pico", "receipt_pico", "failed_pico", "cloud_pico", "unknown_cost",
    "unknown_at_most_pico", "variant_unmatched", "energy_joules", "energy_estimated_joules", "without_energy",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Amount:
    """Money, as far as it is known."""

    pico: int
    """The known part, in pico-dollars."""
    basis: str
    """``measured`` (receipts, sensors), ``list price`` (counted tokens times a dated price), ``estimated``, or ``unknown``."""
    unknown: int = 0
    """Attempts whose cost is not in it: the whole is at least this."""

    @property
    def known(self) -> bool:
        """Something of it is known, if only that there was nothing to pay."""
        return self.basis != "unknown"


ORDER = ("measured", "list price", "estimated", "unknown")  # a sum is as good as the worst of its parts


def basis_of(group: Totals, cost_source: str) -> str:
    """On whose word the cost of events with this source rests."""
    if cost_source in ("list", "override"):
        return "list price"
    if cost_source == "energy":
        return "estimated" if group.energy_estimated_joules else "measured"
    return "unknown" if cost_source == "unknown" else "measured"


@dataclass(frozen=True, slots=True)
class Group:
    """Sums over events that share something."""

    key: tuple[Any, ...]
    sums: Totals
    cost: Amount


@dataclass(frozen=True, slots=True)
class Spending:
    """All that the ledger says of a period."""

    window: Period
    where: Filter
    now_us: int
    runs: int
    rows: list[tuple[dict[str, Any], Totals]]
    """The answer to the one question: what each group shares, and its sums."""
    buckets: tuple[Period, ...]
    documents: DocumentTotals | None
    documents_by_tier: list[DocumentTotals]
    documents_by_profile: list[DocumentTotals]
    energy: list[EnergyTotals]
    unknown: list[UnknownPrice]
    tagged: list[tuple[dict[str, Any], Totals]] = field(default_factory=list)
    """The same by tag; an event counts once for each of its tags, and not at all without one."""

    def by(self, *names: str, where: Callable[[dict[str, Any]], bool] = lambda shared: True) -> list[Group]:
        """Rolled up by any of what it was asked for by, the dearest first."""
        rows = self.tagged if "tag" in names else self.rows
        found = roll_up(((tuple(shared[n] for n in names), shared, sums) for shared, sums in rows if where(shared)))
        return sorted(found, key=lambda g: (-g.cost.pico, -g.sums.attempts, tuple(map(str, g.key))))

    def whole(self, where: Callable[[dict[str, Any]], bool] = lambda shared: True) -> Group | None:
        """The total; None when there is nothing."""
        return next(iter(self.by(where=where)), None)

    @property
    def paid(self) -> Amount:
        """All that is on record of the period: requests, and idle electricity where it was metered."""
        whole, idle = self.whole(), self.idle
        requests = whole.cost if whole else Amount(0, "measured")
        if idle is None:
            return requests
        known = [amount.basis for amount in (requests, idle) if amount.known]
        basis = max(known, key=ORDER.index, default="unknown")
        return Amount(requests.pico + idle.pico, basis, requests.unknown + idle.unknown)

    @property
    def idle(self) -> Amount | None:
        """Electricity while runs were waiting; None when none of them had a meter."""
        metered = [e for e in self.energy if e.method != "none"]
        if not metered:
            return None
        unknown, pico = sum(e.idle_unknown for e in metered), sum(e.idle_pico for e in metered)
        basis = "estimated" if any(e.method == "configured_watts" for e in metered) else "measured"
        return Amount(pico, basis if pico or not unknown else "unknown", unknown)

    @property
    def seconds(self) -> float:
        """Of the period, those that have passed since it began or since the first thing in it, whichever came later."""
        first = min((s.first_us for _, s in self.rows if s.first_us is not None), default=self.window.start_us)
        start = max(self.window.start_us, first) if self.window.kind in ("all", "run") else self.window.start_us
        return max(0.0, (min(self.window.end_us, self.now_us) - start) / 1e6)


def sent(shared: dict[str, Any]) -> bool:
    """Of events that were asked of a model: not answered from our own cache."""
    return bool(shared["status"] != "cached")


def roll_up(rows: Iterable[tuple[tuple[Any, ...], dict[str, Any], Totals]]) -> list[Group]:
    """Sums of sums, a group per key."""
    sums: dict[tuple[Any, ...], dict[str, Any]] = {}
    last: dict[tuple[Any, ...], Totals] = {}
    bases: dict[tuple[Any, ...], str] = {}
    for key, shared, row in rows:
        into = sums.setdefault(key, dict.fromkeys(_SUMMED, 0) | {"first_us": row.first_us, "last_us": row.last_us})
        for name in _SUMMED:
            into[name] += getattr(row, name)
        into["first_us"] = min((us for us in (into["first_us"], row.first_us) if us is not None), default=None)
        into["last_us"] = max((us for us in (into["last_us"], row.last_us) if us is not None), default=None)
        last[key] = row
        basis = basis_of(row, shared["cost_source"])
        if basis != "unknown":
            bases[key] = max(bases.get(key, "measured"), basis, key=ORDER.index)
    found = []
    for key, into in sums.items():
        totals = replace(last[key], key=key, documents=0, **into)
        found.append(Group(key, totals, Amount(totals.cost_pico, bases.get(key, "unknown"), totals.unknown_cost)))
    return found


def window(kind: str, now: datetime, tz: tzinfo) -> Period:
    """``day``, ``week``, ``month``, ``all``: the one that ``now`` is in; or one by its name: 2026-11-23, 2026-W48, 2026-11."""
    if kind in period.KINDS:
        return period.containing(kind, now, tz)
    try:
        for name, pattern in (("day", "%Y-%m-%d"), ("month", "%Y-%m"), ("week", "%G-W%V-%u")):
            text = f"{kind}-1" if name == "week" else kind
            if _matches(text, pattern):
                day = datetime.strptime(text, pattern).date()
                return period.containing(name, datetime(day.year, day.month, day.day, 12, tzinfo=tz), tz)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"period={kind} is no date: {error}", hint="period=2026-11-23, 2026-W48 or 2026-11") from error
    raise UsageError(f"period={kind} is none of {', '.join(KINDS)}", hint="or one by its name: 2026-11-23, 2026-W48, 2026-11")


def _matches(text: str, pattern: str) -> bool:
    try:
        datetime.strptime(text, pattern)
    except ValueError:
        return False
    return True


def last_run(ledger: Ledger, where: Filter) -> str | None:
    """The id of the run that started last."""
    run = None
    for run in ledger.runs(where):  # noqa: B007 - they come in order
        pass
    return run.run_id if run else None


def buckets(start_us: int, end_us: int, tz: tzinfo) -> tuple[Period, ...]:
    """A stretch of time in some tens of parts: hours, days, weeks or months; none is cut at its ends."""
    days = (end_us - start_us) / DAY_US
    if days > 1.1:
        kind = "day" if days <= 62 else "week" if days <= 730 else "month"
        return tuple(period.between(kind, period.instant(start_us), period.instant(end_us), tz))
    first = start_us // HOUR_US * HOUR_US
    return tuple(
        Period("hour", period.instant(at).astimezone(tz).isoformat(timespec="minutes"), at, at + HOUR_US)
        for at in range(first, max(end_us, first + 1), HOUR_US)
    )


def read(ledger: Ledger, asked: Period, where: Filter, *, now: datetime, tz: tzinfo, by: Sequence[str] = ()) -> Spending:
    """Everything about a period; ``by``: what it is to be divided by besides :data:`DIMENSIONS`."""
    for name in by:
        if name not in GROUPS or name == "period":
            raise UsageError(f"by={name}: events cannot be divided so", hint=f"by={','.join(sorted(set(GROUPS) - {'period'}))}")
    now_us = period.microseconds(now)
    where = replace(where, start_us=asked.start_us, end_us=asked.end_us)
    if asked.kind in ("day", "week", "month"):
        start, end = asked.start_us, min(asked.end_us, max(now_us, asked.start_us + 1))
    else:
        found = next(iter(ledger.totals(where)), None)
        start, end = (found.first_us or 0, (found.last_us or 0) + 1) if found else (now_us, now_us + 1)
    parts = buckets(start, end, tz)
    names = [*DIMENSIONS, *(n for n in by if n not in DIMENSIONS and n != "tag")]
    split = replace(where, periods=parts)
    of_documents = where.model is None and where.tier is None  # a document has neither; its events do
    return Spending(
        window=asked,
        where=where,
        now_us=now_us,
        runs=sum(1 for _ in ledger.runs(where)) if of_documents else 0,
        rows=_rows(ledger, split, names),
        tagged=_rows(ledger, split, ["tag", *names]) if "tag" in by else [],
        buckets=parts,
        documents=next(iter(ledger.documents(where)), None) if of_documents else None,
        documents_by_tier=ledger.documents(where, ("tier",)) if of_documents else [],
        documents_by_profile=ledger.documents(where, ("profile",)) if of_documents else [],
        energy=ledger.energy(where) if of_documents else [],
        unknown=ledger.unknown_prices(where),
    )


def _rows(ledger: Ledger, where: Filter, names: Sequence[str]) -> list[tuple[dict[str, Any], Totals]]:
    return [(dict(zip(names, totals.key, strict=True)), totals) for totals in ledger.totals(where, names)]
