"""Limits that hold: the most a call may cost is set aside before it is sent, and what it did cost takes its place after.

Both happen in one ``BEGIN IMMEDIATE`` transaction, so jobs side by side never spend the same dollar, and the sum of what is
spent and what is set aside never passes a limit. Sums are kept up from event to event (the ledger is append-only and numbered),
so asking costs the same after a million calls as after ten. ``usd`` counts what providers bill, not electricity.
"""

import json
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from llmc import money, period
from llmc.errors import BudgetExceeded, UsageError
from llmc.ledger.rows import Run

if TYPE_CHECKING:
    from llmc.schema import BudgetConfig, LimitConfig

Clock = Callable[[], datetime]
SCOPES = ("run", "day", "week", "month", "project", "model")
UNITS = ("usd", "requests", "tokens")


def now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Limit:
    """One number that is not exceeded."""

    scope: str
    """``run``, ``day``, ``week``, ``month``, ``project``, ``model``."""
    unit: str
    """``usd`` (``amount`` is in pico-dollars), ``requests``, ``tokens``."""
    amount: int
    period: str
    """``all`` for a run; else when it begins anew."""

    @property
    def name(self) -> str:
        """As it is configured: ``budget.day.usd``."""
        return f"budget.{self.scope}.{self.unit}"

    @property
    def setting(self) -> str:
        """With its number: ``budget.day.usd=5``."""
        return f"{self.name}={format(money.usd(self.amount), 'f') if self.unit == 'usd' else self.amount}"

    def text(self, amount: int) -> str:
        if self.unit == "usd":
            return f"${money.usd(amount):f}" if 0 < abs(amount) < money.PICO_PER_USD // 100 else money.text(amount)
        return f"{amount:,}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a call needs."""

    event_id: str
    model: str
    local: bool
    cost_pico: int | None
    """The most it may cost; None: not known."""
    tokens: int
    call: str
    """JSON, to record the call should its process die."""


@dataclass(frozen=True, slots=True)
class Warned:
    """A threshold that was crossed."""

    budget: str
    period: str
    share: float
    used: str
    limit: str

    @property
    def message(self) -> str:
        return (
            f"{self.budget} {self.period}: {self.used} of {self.limit} used ({self.share:.0%} is where a warning was asked for)"
        )


def limits(config: "BudgetConfig") -> tuple[Limit, ...]:
    """The limits that are set. UsageError for one that makes no sense."""
    for name, value, allowed in (
        ("calls", config.calls, ("all", "cloud")),
        ("lost_calls", config.lost_calls, ("count", "free")),
        ("unknown_price", config.unknown_price, ("refuse", "allow")),
    ):
        if value not in allowed:
            raise UsageError(f"budget.{name}={value} is none of {', '.join(allowed)}")
    for share in config.warn_at:
        if not 0 < share <= 1:
            raise UsageError(f"budget.warn_at: {share} is not a share between 0 and 1", hint="budget.warn_at=[0.5,0.8]")
    return tuple(limit for scope in SCOPES for limit in _of(scope, getattr(config, scope)))


def _of(scope: str, config: "LimitConfig") -> Iterator[Limit]:
    when = {"run": "all", "project": config.period, "model": config.period}.get(scope, scope)
    if when not in period.KINDS:
        raise UsageError(f"budget.{scope}.period={when} is none of {', '.join(period.KINDS)}")
    for unit in UNITS:
        value = getattr(config, unit)
        if value is None:
            continue
        try:
            amount = money.pico(value) if unit == "usd" else int(value)
        except ValueError as error:
            raise UsageError(f"budget.{scope}.{unit}: {error}", hint=f"budget.{scope}.{unit}=5.00") from error
        if amount < 0:
            raise UsageError(f"budget.{scope}.{unit}={value} is below 0")
        yield Limit(scope, unit, amount, when)


class Budgets:
    """The limits of one run, and how much of each is used."""

    def __init__(self, config: "BudgetConfig", run: Run, tz: tzinfo, clock: Clock = now) -> None:
        self.limits = limits(config)
        self._config, self._run, self._tz, self._clock = config, run, tz, clock
        self._seen: dict[tuple[Limit, str, int], tuple[int, int]] = {}
        """By limit, scope and period's start: the last event that is in the sum, and the sum."""

    def used(self, connection: sqlite3.Connection, limit: Limit, model: str) -> int:
        """How much of a limit is gone, or set aside for calls under way, before the run itself has begun."""
        if limit.scope == "run":
            return 0
        when = period.containing(limit.period, self._clock(), self._tz)
        return self._used(connection, -1, limit, model, when) + self._held(connection, -1, limit, model)

    def check(self, connection: sqlite3.Connection, run_key: int, wanted: Wanted) -> None:
        """Inside a transaction: BudgetExceeded, naming the limit, if the call might exceed one."""
        for limit in self.limits:
            needed = self._needed(limit, wanted)
            if needed is None:
                continue
            when = period.containing(limit.period, self._clock(), self._tz)
            used = self._used(connection, run_key, limit, wanted.model, when)
            held = self._held(connection, run_key, limit, wanted.model)
            if used + held + needed > limit.amount:
                raise BudgetExceeded(_refusal(limit, when, used, held, needed, wanted, self._run), hint=_hint(limit))

    def warnings(self, connection: sqlite3.Connection, run_key: int, model: str) -> list[Warned]:
        """Inside a transaction: the thresholds that were crossed since anybody was told."""
        found = []
        for limit in self.limits if self._config.warn_at else ():
            when = period.containing(limit.period, self._clock(), self._tz)
            used = self._used(connection, run_key, limit, model, when)
            crossed = [s for s in sorted(self._config.warn_at) if limit.amount and used >= Decimal(str(s)) * limit.amount]
            told = f"{limit.name}={limit.amount} {self._subject(limit, model)}"
            fresh = [
                share
                for share in crossed
                if connection.execute("INSERT OR IGNORE INTO warned VALUES (?, ?, ?)", (told, when.start_us, share)).rowcount
            ]
            if fresh:
                label = when.label if limit.scope != "run" else "of this run"
                found.append(Warned(limit.name, label, fresh[-1], limit.text(used), limit.text(limit.amount)))
        return found

    def _needed(self, limit: Limit, wanted: Wanted) -> int | None:
        """How much of a limit the call may use; None when the limit is not about it."""
        if limit.unit == "usd":
            if wanted.local:
                return None
            if wanted.cost_pico is None:
                if self._config.unknown_price == "allow":
                    return None
                raise BudgetExceeded(
                    f"{limit.name} cannot be kept: no price is known for {wanted.model}",
                    hint="give it one in price.overrides, or budget.unknown_price=allow to leave it out of the count",
                )
            return wanted.cost_pico
        if wanted.local and self._config.calls == "cloud":
            return None
        return 1 if limit.unit == "requests" else wanted.tokens

    def _subject(self, limit: Limit, model: str) -> str:
        return {"run": self._run.run_id, "project": self._run.project, "model": model}.get(limit.scope, "")

    def _used(self, connection: sqlite3.Connection, run_key: int, limit: Limit, model: str, when: period.Period) -> int:
        """What recorded events used of a limit: those that are new since it was last asked are added to what was known."""
        key = (limit, self._subject(limit, model), when.start_us)
        newest = int(connection.execute("SELECT COALESCE(MAX(event), 0) FROM events").fetchone()[0])
        seen, amount = self._seen.get(key, (0, 0))
        if newest > seen:
            condition, values = self._condition(limit, run_key, model)
            # The unary plus keeps SQLite off an index: the new ones are the last few rows.
            recent = f"e.event > :seen AND {'+' if seen else ''}e.at_us >= :a AND {'+' if seen else ''}e.at_us < :b"
            counted = self._amount(limit.unit)
            found = connection.execute(
                f"SELECT COALESCE(SUM({counted}), 0) FROM events e JOIN runs r ON r.run = e.run WHERE {recent} AND {condition}",
                {"seen": seen, "a": when.start_us, "b": when.end_us, **values},
            )
            amount += int(found.fetchone()[0])
            for old in [k for k in self._seen if k[:2] == key[:2]]:
                del self._seen[old]  # of a period that is over
            self._seen[key] = (newest, amount)
        return amount

    def _held(self, connection: sqlite3.Connection, run_key: int, limit: Limit, model: str) -> int:
        """What calls under way may still use of it."""
        condition, values = self._condition(limit, run_key, model)
        counted = {"usd": "e.cost_pico", "requests": "1", "tokens": "e.tokens"}[limit.unit]
        only = " AND NOT e.local" if limit.unit == "usd" or self._config.calls == "cloud" else ""
        found = connection.execute(
            f"SELECT COALESCE(SUM({counted}), 0) FROM reservations e JOIN runs r ON r.run = e.run WHERE {condition}{only}",
            values,
        )
        return int(found.fetchone()[0])

    def _condition(self, limit: Limit, run_key: int, model: str) -> tuple[str, dict[str, object]]:
        if limit.scope == "run":
            return "e.run = :run", {"run": run_key}
        if limit.scope == "project":
            return "r.project = :project", {"project": self._run.project}
        if limit.scope == "model":
            return "e.model = :model", {"model": model}
        return "1", {}

    def _amount(self, unit: str) -> str:
        """SQL: how much of a limit an event used. What is not known counts as what was set aside for it."""
        asked = "e.status <> 'cached'"
        if self._config.lost_calls == "free":
            asked = "e.status NOT IN ('cached', 'lost')"
        if unit == "usd" or self._config.calls == "cloud":
            asked += " AND e.backend_kind = 'cloud'"
        counted = {
            "usd": "COALESCE(e.cost_pico, e.reserved_pico, 0)",
            "requests": "1",
            "tokens": "COALESCE(e.prompt_tokens + e.output_tokens, e.reserved_tokens, 0)",
        }[unit]
        return f"CASE WHEN {asked} THEN {counted} ELSE 0 END"


def _refusal(limit: Limit, when: period.Period, used: int, held: int, needed: int, wanted: Wanted, run: Run) -> str:
    whose = {"project": f" of project {run.project}", "model": f" of {wanted.model}", "run": " of this run"}.get(
        limit.scope, ""
    )
    label = "" if when.kind == "all" else f" ({when.label})"
    parts = [f"{limit.text(used)} used"]
    if held:
        parts.append(f"{limit.text(held)} set aside for calls under way")
    if limit.unit != "requests":
        parts.append(f"the next call may take {limit.text(needed)}")
    return f"{limit.setting}{whose}{label} is reached: {', '.join(parts)}"


def _hint(limit: Limit) -> str:
    later = "" if limit.period == "all" else f", or wait for the next {limit.period}"
    return f"raise {limit.name}{later}; llmc cost shows what was spent"


def reserve(connection: sqlite3.Connection, run_key: int, wanted: Wanted, at_us: int, owner: tuple[str, int, float]) -> None:
    """Inside a transaction, after :meth:`Budgets.check`."""
    host, pid, started = owner
    connection.execute(
        "INSERT OR IGNORE INTO reservations (event_id, run, at_us, host, pid, process_started, call, model, local, cost_pico,"
        " tokens) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            wanted.event_id, run_key, at_us, host, pid, started, wanted.call, wanted.model, wanted.local, wanted.cost_pico,
            wanted.tokens,
        ),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Orphan:
    """A reservation whose process died."""

    event_id: str
    run_id: str
    call: dict[str, Any]
    cost_pico: int | None
    tokens: int


def reservations(connection: sqlite3.Connection) -> Iterator[tuple[Orphan, int, tuple[str, int, float]]]:
    """All calls under way, with when they were reserved and by which process."""
    for row in connection.execute(
        "SELECT v.event_id, r.run_id, v.call, v.cost_pico, v.tokens, v.at_us, v.host, v.pid, v.process_started"
        " FROM reservations v JOIN runs r ON r.run = v.run"
    ).fetchall():
        yield Orphan(row[0], row[1], json.loads(row[2]), row[3], row[4]), row[5], (row[6], row[7], row[8])
