"""Our record against a provider's: their export of usage or costs, as CSV or JSON, and how far the two are apart.

Known by their columns: OpenRouter's activity (``date model usage requests prompt_tokens completion_tokens``), OpenAI's costs
and usage (``start_time``, ``results`` with ``amount`` or ``input_tokens``), and whatever has columns of like names; others are
named by hand: ``columns.usd=Betrag columns.date=Tag``. Days are UTC's, as providers bill them.

    llmc cost reconcile input=activity.csv provider=openrouter
"""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from llmc import money, period
from llmc.errors import InputError, UsageError
from llmc.ledger import Ledger
from llmc.ledger.query import Filter

COLUMNS: dict[str, tuple[str, ...]] = {
    "date": ("date", "day", "usage_date", "start_time_iso", "start_time", "timestamp", "created_at"),
    "model": ("model", "model_permaslug", "model_id", "snapshot_id", "line_item"),
    "usd": ("usd", "usage", "cost_usd", "cost", "amount_value", "amount", "total_cost", "spend"),
    "requests": ("requests", "num_model_requests", "num_requests", "n_requests", "request_count"),
    "input_tokens": ("input_tokens", "prompt_tokens", "tokens_prompt", "n_context_tokens_total"),
    "output_tokens": ("output_tokens", "completion_tokens", "tokens_completion", "n_generated_tokens_total"),
}
"""What is looked for, and the names it goes by, most telling first."""
MEASURES = ("usd", "requests", "input_tokens", "output_tokens")


@dataclass(slots=True)
class Sums:
    """None: the export does not say."""

    usd_pico: int | None = None
    requests: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None

    def add(self, name: str, value: int) -> None:
        name = "usd_pico" if name == "usd" else name
        setattr(self, name, (getattr(self, name) or 0) + value)


@dataclass(slots=True)
class Line:
    """One model, ours and theirs."""

    model: str
    ours: Sums
    theirs: Sums
    unknown_cost: int = 0
    """Calls of ours without a known cost."""

    def drift_percent(self, name: str) -> float | None:
        """How much more (+) or less (-) than the provider says we have on record; None when there is nothing to compare."""
        ours, theirs = getattr(self.ours, name), getattr(self.theirs, name)
        if theirs is None or ours is None:
            return None
        return 0.0 if ours == theirs else None if theirs == 0 else float(100 * (ours - theirs) / theirs)


@dataclass(slots=True)
class Reconciled:
    provider: str
    first_day: str
    last_day: str
    columns: dict[str, str]
    """What was read from which column."""
    total: Line
    models: list[Line] = field(default_factory=list)
    only_theirs: list[str] = field(default_factory=list)
    """Models on their bill that we have no call to on record."""
    only_ours: list[str] = field(default_factory=list)


def reconcile(ledger: Ledger, file: Path, provider: str, columns: Mapping[str, str]) -> Reconciled:
    """InputError for a file that cannot be read or has no date and no amount in it."""
    rows = list(_rows(file))
    if not rows:
        raise InputError(f"{file} has no rows")
    names = _columns(rows, columns, file)
    theirs: dict[str, Sums] = {}
    days: list[date] = []
    for number, row in enumerate(rows, 1):
        try:
            days.append(_day(row[names["date"]]))
            sums = theirs.setdefault(str(row.get(names.get("model", ""), "") or "(no model)"), Sums())
            for name in MEASURES:
                text = row.get(names.get(name, ""))
                if text not in (None, ""):
                    sums.add(name, money.pico(str(text).lstrip("$")) if name == "usd" else int(float(str(text))))
        except (KeyError, ValueError) as error:
            raise InputError(
                f"{file}, row {number}: {error}", hint="columns.usd=NAME, columns.date=NAME name its columns"
            ) from error
    first, after = min(days), max(days) + timedelta(days=1)
    start, end = (period.microseconds(datetime(d.year, d.month, d.day, tzinfo=UTC)) for d in (first, after))
    ours = _ours(ledger, start, end, provider, theirs.keys())
    lines = [Line(m, ours.get(m, (Sums(), 0))[0], s, ours.get(m, (Sums(), 0))[1]) for m, s in sorted(theirs.items())]
    missing = sorted(ours.keys() - theirs.keys())
    lines += [Line(m, ours[m][0], Sums(), ours[m][1]) for m in missing]
    total = Line("all", _sum(line.ours for line in lines), _sum(s for s in theirs.values()), sum(x.unknown_cost for x in lines))
    return Reconciled(
        provider,
        first.isoformat(),
        max(days).isoformat(),
        names,
        total,
        lines,
        only_theirs=sorted(theirs.keys() - ours.keys()),
        only_ours=missing,
    )


def _ours(ledger: Ledger, start_us: int, end_us: int, provider: str, known: Iterable[str]) -> dict[str, tuple[Sums, int]]:
    """By the name that the export knows a model by: what served it, else what was asked for."""
    names = set(known)
    found: dict[str, tuple[Sums, int]] = {}
    by = ("provider", "backend_kind", "status", "model", "served_model")
    for group in ledger.totals(Filter(start_us=start_us, end_us=end_us), by):
        whose, kind, status, model, served = group.key
        if whose != provider or kind != "cloud" or status == "cached":
            continue
        name = next((n for n in (served, model) if n in names), model)
        sums, unknown = found.get(name, (Sums(), 0))
        if group.unknown_cost < group.attempts:  # else nothing is known, which is not nothing
            sums.add("usd", group.cost_pico)
        sums.add("requests", group.attempts)
        sums.add("input_tokens", group.prompt_tokens)
        sums.add("output_tokens", group.output_tokens)
        found[name] = sums, unknown + group.unknown_cost
    return found


def _sum(parts: Iterable[Sums]) -> Sums:
    whole = Sums()
    for part in parts:
        for name in ("usd_pico", "requests", "input_tokens", "output_tokens"):
            if (value := getattr(part, name)) is not None:
                whole.add(name, value)
    return whole


def _columns(rows: list[dict[str, Any]], told: Mapping[str, str], file: Path) -> dict[str, str]:
    there = list(dict.fromkeys(key for row in rows for key in row))
    for name, column in told.items():
        if name not in COLUMNS:
            raise UsageError(f"columns.{name}: known are {', '.join(COLUMNS)}")
        if column not in there:
            raise UsageError(f"columns.{name}={column}: {file} has {', '.join(there)}")
    plain = {key.strip().lower().replace(" ", "_"): key for key in reversed(there)}
    found = {name: plain[alias] for name, names in COLUMNS.items() for alias in reversed(names) if alias in plain} | dict(told)
    if "date" not in found or not found.keys() & set(MEASURES):
        raise InputError(
            f"{file} has {', '.join(there)}: no column of them is known to be a date and an amount",
            hint="columns.date=NAME columns.usd=NAME",
        )
    return found


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} cannot be read: {error}") from error
    if text.lstrip()[:1] in ("{", "["):
        try:
            yield from _flat(json.loads(text))
        except ValueError as error:
            raise InputError(f"{file} is not JSON: {error}") from error
        return
    try:
        dialect: Any = csv.Sniffer().sniff(text[:4096], delimiters=",;\t")
    except csv.Error:
        dialect = csv.excel
    for row in csv.DictReader(text.splitlines(), dialect=dialect):
        yield {key: value for key, value in row.items() if key}


def _flat(node: Any, above: Mapping[str, Any] | None = None) -> Iterator[dict[str, Any]]:  # noqa: ANN401
    """Rows of nested JSON: lists are rows, what stands above a list holds for all its rows, ``a: {b: 1}`` is ``a_b``."""
    if isinstance(node, list):
        for each in node:
            yield from _flat(each, above)
        return
    if not isinstance(node, dict):
        return
    row = dict(above or {})
    lists = []
    for key, value in node.items():
        if isinstance(value, list) and any(isinstance(v, dict) for v in value):
            lists.append(value)
        elif isinstance(value, dict):
            row |= {f"{key}_{inner}": v for inner, v in value.items() if not isinstance(v, dict | list)}
        elif not isinstance(value, list):
            row[key] = value
    if not lists:
        yield row
    for each in lists:
        yield from _flat(each, row)


def _day(value: Any) -> date:  # noqa: ANN401
    text = str(value).strip()
    if text.replace(".", "", 1).isdigit():  # seconds since 1970, as OpenAI's start_time
        return datetime.fromtimestamp(float(text), UTC).date()
    found = datetime.fromisoformat(text)
    return (found if found.tzinfo is None else found.astimezone(UTC)).date()
