"""What ``llmc cost`` says, in words: the verdict, the tiles, the tables. The page, Markdown and terminal show the same.

Amounts carry what they are worth: ``~`` is estimated, ``>=`` leaves out what nobody knows, ``unknown`` is not a zero.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from llmc import units
from llmc.breakeven import MILLION
from llmc.report.cost_tiles import tiles
from llmc.report.cost_verdict import more, verdict
from llmc.report.cost_words import amount, dollars, joules, percent, precise, rate, tokens, when
from llmc.report.html import Section, Table, Tile
from llmc.spending import Amount, Group, Spending, sent
from llmc.worth import Comparison, Month, Value, Worth, loaded

PLAIN = ("spent", "attempts", "failed", "cached", "tokens in", "tokens out", "unknown price")


@dataclass(frozen=True, slots=True)
class Report:
    """What is said, before it is laid out."""

    title: str
    verdict: str
    more: list[str]
    tiles: list[Tile]
    sections: list[Section]
    spending: Spending
    worth: Worth
    by: tuple[str, ...] = field(default=())


def report(spending: Spending, worth: Worth, by: Sequence[str]) -> Report:
    """All of it."""
    label = {"all": "all that is on record", "run": f"run {spending.where.run_id}"}.get(
        spending.window.kind, spending.window.label
    )
    only = [f"{name} {value}" for name in ("project", "tag", "model") if (value := getattr(spending.where, name)) is not None]
    label += f" ({', '.join(only)} only)" if only else ""
    sections = _sections(spending, worth, by) if spending.rows else []
    return Report(
        title=f"What it cost: {label}",
        verdict=verdict(spending, worth.comparison),
        more=more(spending, worth),
        tiles=tiles(spending, worth),
        sections=sections,
        spending=spending,
        worth=worth,
        by=tuple(by),
    )


def _sections(spending: Spending, worth: Worth, by: Sequence[str]) -> list[Section]:
    found = [
        _spent(spending, by),
        _over_time(spending),
        *_break_even(worth.comparison),
        _elsewhere(spending, worth),
        *_value(worth.value),
        _quality(spending),
        _ways(spending),
        _attempts(spending, worth),
        _local(spending, worth.comparison),
        _unknown(spending),
        _assumptions(worth),
    ]
    return [section for section in found if section is not None]


def grouped(caption: str, names: Sequence[str], groups: Sequence[Group], note: str = "") -> Table:
    """Groups with their sums."""
    rows = [(*(_named(k) for k in g.key), *_cells(g)) for g in groups]
    return Table(caption, [*names, "spent", "basis", *PLAIN[1:]], rows, PLAIN, note)


def _named(key: object) -> str:
    return str(key) if key not in ("", None) else "(none)"


def _cells(g: Group) -> tuple[str, ...]:
    s = g.sums
    counts = (s.attempts, s.failed + s.lost, s.cached, s.prompt_tokens, s.output_tokens, s.unknown_cost)
    return amount(g.cost), g.cost.basis, *(f"{n:,}" for n in counts)


def _spent(spending: Spending, by: Sequence[str]) -> Section:
    note = "An attempt counts once for each of its tags, and not at all without one: this table does not add up to the total."
    tables = [grouped(f"Spent, by {' and '.join(by)}", by, spending.by(*by), note if "tag" in by else "")] if by else []
    for name in ("tier", "model"):
        if tuple(by) != (name,):
            tables.append(grouped(f"Spent, by {name}", (name,), spending.by(name)))
    tables.append(_in_all(spending))
    return Section("spent", "What was spent", tables=tables)


def _in_all(spending: Spending) -> Table:
    """Requests, and what the machine drew between them, which is nobody's request."""
    requests, idle, together = spending.by()[0].cost, spending.idle, spending.paid
    rows = [("requests", amount(requests), requests.basis)]
    if idle is not None:
        rows += [("idle electricity, within runs", amount(idle), idle.basis), ("together", amount(together), together.basis)]
    return Table("Spent in all", ["", "spent", "basis"], rows, ["spent"])


def _over_time(spending: Spending) -> Section:
    tiers = sorted({str(g.key[0]) for g in spending.by("tier")})
    cells = {(str(g.key[0]), str(g.key[1])): g for g in spending.by("period", "tier")}
    rows = []
    for bucket in spending.buckets:
        there = [cells.get((bucket.label, tier)) for tier in tiers]
        if any(there):
            rows.append((when(bucket.label), *(amount(g.cost) if g else "" for g in there)))
    columns = ["", *(_named(tier) for tier in tiers)]
    return Section("time", "Over time", tables=[Table("Spent over time, by tier", columns, rows, columns[1:])])


def _break_even(c: Comparison) -> list[Section]:
    if c.cloud is None or c.drivers is None:
        return []
    m, terms, guess = c.month, c.drivers.terms(), bool(c.month.local_tokens)
    estimated, partial = c.local.basis == "estimated", not c.local.complete
    rows = [] if m.assumed else [("as run", _as_run(m), "", "", amount(c.paid), "")]
    price = rate(terms.cloud_usd_per_million, estimated=guess)
    rows.append(("cloud", c.cloud.name, "$0.00", price, dollars(c.cloud_usd, estimated=guess), ""))
    if c.batch_usd is not None:
        each, text = rate(c.batch_usd * MILLION / m.tokens, estimated=guess), _above(c.batch_break_even)
        whole = dollars(c.batch_usd, estimated=guess)
        rows.append(("cloud, batch", c.cloud.name, "$0.00", each, whole, "unknown" if partial else text))
    fixed = dollars(None if c.local.hardware_usd is None else c.local.hardware_usd + (c.local.idle_usd or 0))
    marginal = rate(c.local.usd_per_million, estimated=estimated)
    whole = dollars(c.local_usd, estimated=estimated, at_least=partial)
    rows.append(("local", "this machine", fixed, marginal, whole, "unknown" if partial else _above(c.break_even)))
    if c.hybrid_usd is not None:
        added = (
            None
            if c.local.usd_per_million is None
            else c.local.usd_per_million + m.fallback_share * terms.cloud_usd_per_million
        )
        what, whole = (
            f"local first, {percent(m.fallback_share)} to the cloud as well",
            dollars(c.hybrid_usd, estimated=estimated, at_least=partial),
        )
        rows.append(
            (
                "hybrid",
                what,
                fixed,
                rate(added, estimated=estimated),
                whole,
                "unknown" if partial else _above(c.hybrid_break_even),
            )
        )
    columns = ["way", "with", "fixed, a month", "per million tokens", f"at {tokens(m.tokens)} tokens", "local wins above"]
    note = f"Per million prompt tokens, with {percent(c.drivers.output_share)} as many output tokens in the cloud."
    note += (
        f" The cloud's price is what was paid in {m.label}: receipts, prompt cache and failed attempts." if c.as_paid else ""
    )
    note += " As run: requests and idle electricity, without the hardware." if m.local_tokens else ""
    note += f" This machine can read {tokens(c.capacity)} tokens a month." if c.capacity is not None else ""
    found = [Section("breakeven", "Break-even", tables=[Table("The same month in each way", columns, rows, columns[2:], note)])]
    return [*found, *_sensitivity(c)]


def _as_run(m: Month) -> str:
    if not m.cloud_tokens or not m.local_tokens:
        return "all of it here" if m.local_tokens else "all in the cloud"
    return f"{percent(m.local_share)} read here"


def _sensitivity(c: Comparison) -> list[Section]:
    lines = [(s.driver, _above(s.when_lower), _above(s.when_higher)) for s in c.swings]
    lines = [line for line in lines if line[1] != line[2]]
    if not c.local.complete or c.break_even is None or not lines:
        return []
    caption, note = "The break-even when one of its numbers is lower or higher", "What is not listed does not move it."
    table = Table(caption, ["", "lower", "higher"], lines, ["lower", "higher"], note)
    share = c.month.fallback_share
    fell = f", with {percent(share)} falling back to the cloud" if share else ""
    text = f"Around {_above(c.hybrid_break_even)} tokens a month{fell}."
    return [Section("sensitivity", "What the break-even depends on", text, [table])]


def _above(even: Fraction | None) -> str:
    return "none" if even is None else tokens(even)


def _elsewhere(spending: Spending, worth: Worth) -> Section | None:
    if not worth.counterfactuals:
        return None
    asked = spending.whole(sent)
    rows: list[tuple[str, ...]] = []
    for c in worth.counterfactuals:
        cost = "unknown" if c.pico is None else f"{'~' if c.approximate else ''}{precise(c.pico)}"
        more = "" if c.difference_pico is None else f"{'+' if c.difference_pico > 0 else ''}{precise(c.difference_pico)}"
        rows.append(
            (c.name, c.variant or "standard", cost, more, c.why_unknown or ("approximate" if c.approximate else "exact"))
        )
    paid = amount(asked.cost) if asked else "unknown"
    note = (
        f"The same requests, failed ones too; they cost {paid}. Approximate: the tokens were counted by another model's "
        "tokenizer. Prices for long prompts are not in it."
    )
    columns = ["model", "processing", "would have cost", "more than was paid", ""]
    if not any(row[3] for row in rows):
        columns.pop(3)
        rows = [(*row[:3], row[4]) for row in rows]
    if asked and asked.sums.without_tokens:
        note += f" {asked.sums.without_tokens:,} attempts are left out: nobody said how many tokens they took."
    return Section(
        "elsewhere", "The same requests elsewhere", tables=[Table("At other prices", columns, rows, columns[2:-1], note)]
    )


def _value(v: Value | None) -> list[Section]:
    if v is None:
        return []
    if v.why_unknown:
        return [Section("value", "Is compressing worth it?", f"Unknown: {v.why_unknown}.")]
    rows = []
    for uses in value_uses(v):
        saved = v.made.usd_per_use() * uses
        net = dollars(v.made.net_usd(uses), estimated=True)
        rows.append((f"{uses:,}", dollars(saved, estimated=True), amount(v.paid), net))
    columns = ["uses of each view", "saved downstream", "compressing cost", "net"]
    note = (
        f"{tokens(v.source_tokens)} tokens of originals became {tokens(v.view_tokens)}, read by {v.reader}; counted by the "
        "tokenizer of the model that made them."
    )
    return [
        Section(
            "value",
            "Is compressing worth it?",
            tables=[Table("Net value of the views of this period", columns, rows, columns, note)],
        )
    ]


def value_uses(v: Value) -> list[int]:
    """Numbers of uses that tell the story: one, those configured, about where it begins to pay, ten."""
    needed = v.made.uses_needed() or 1
    return sorted({1, v.uses, max(1, needed - 1), max(1, needed), 10, max(1, 2 * needed)})


def _quality(spending: Spending) -> Section | None:
    made = spending.documents
    if made is None or not made.documents:
        return None
    costs = {str(g.key[0]): g for g in spending.by("tier")}
    rows = []
    for tier in spending.documents_by_tier:
        name = str(tier.key[0])
        asked = costs.pop(name, None)
        rows.append((_named(name) if name else "(no model)", f"{tier.documents:,}", f"{tier.gist:,}", *_per(asked, tier.gist)))
    rows += [(_named(name), "0", "0", *_per(asked, 0)) for name, asked in costs.items()]
    whole = spending.whole()
    total = ("all", f"{made.documents:,}", f"{made.gist:,}", *_per(whole, made.gist))
    columns = [
        "tier",
        "documents it was kept for",
        "accepted views",
        "spent",
        "per accepted view",
        "pass rate",
        "per percent of it",
    ]
    note = "Pass rate: accepted views of all answers of the tier's models that the fidelity check saw."
    lines = [("documents", f"{made.documents:,}", amount(_each(whole, made.documents)))]
    lines.append(("accepted views", f"{made.gist:,}", amount(_each(whole, made.gist)) if made.gist else "none"))
    lines.append(("refused by the fidelity check", f"{made.refused:,}", ""))
    return Section(
        "quality",
        "Cost of a document, of an accepted view, of fidelity",
        tables=[
            Table("Each", ["", "number", "spent for each"], lines, ["number", "spent for each"]),
            Table("By tier", columns, [*rows, total], columns[1:], note),
        ],
    )


def _each(g: Group | None, count: int) -> Amount:
    if g is None or not count:
        return Amount(0, "unknown")
    return Amount(round(Fraction(g.cost.pico, count)), g.cost.basis, g.cost.unknown)


def _per(g: Group | None, accepted: int) -> tuple[str, str, str, str]:
    if g is None:
        return "", "", "", ""
    answers = g.sums.ok
    rate = Fraction(100 * accepted, answers) if answers else None
    each = amount(_each(g, accepted)) if accepted else "none accepted"
    per_percent = "unknown" if not rate else amount(Amount(round(g.cost.pico / rate), g.cost.basis, g.cost.unknown))
    return (
        amount(g.cost),
        each,
        "" if rate is None else f"{float(min(rate, Fraction(100))):.1f}%",
        per_percent if g.cost.known else "unknown",
    )


def _ways(spending: Spending) -> Section | None:
    if not spending.documents_by_profile:
        return None
    costs = {str(g.key[0]): g for g in spending.by("profile")}
    rows = []
    there = {str(d.key[0]): d for d in spending.documents_by_profile}
    for name in dict.fromkeys(["local", "cloud", "hybrid", "baseline", *there]):
        d, g = there.get(name), costs.get(name)
        if d is None:
            rows.append((name, "no run", "", "", "", ""))
            continue
        each = amount(_each(g, d.documents)) if g else "no model was asked"
        seconds = f"{d.seconds / d.documents:.2f} s"
        rows.append((name, f"{d.documents:,}", f"{d.gist:,}", amount(g.cost) if g else "", each, seconds))
    columns = ["profile", "documents", "accepted views", "spent", "per document", "time per document"]
    note = (
        "Each profile's own documents, as they came: a comparison only where they were the same. Time: of a document on its "
        "way down the ladder."
    )
    return Section("ways", "Ways of working, as measured", tables=[Table("By profile", columns, rows, columns[1:], note)])


def _attempts(spending: Spending, worth: Worth) -> Section:
    rows: list[tuple[str, ...]] = []
    names = {"ok": "answered", "failed": "failed", "cached": "from our own cache", "lost": "lost: the process died"}
    for group in spending.by("status"):
        rows.append((names.get(str(group.key[0]), str(group.key[0])), f"{group.sums.attempts:,}", amount(group.cost)))
    again = spending.whole(lambda s: s["attempt"] > 1 and sent(s))
    if again:
        rows.append(("of all: second and later tries", f"{again.sums.attempts:,}", amount(again.cost)))
    rows.append(("saved by our own cache", "", amount(worth.saved_by_cache)))
    rows.append(("saved by providers' prompt caches", "", amount(worth.saved_by_prompt_cache)))
    whole = spending.whole()
    note = ""
    if whole and whole.sums.variant_unmatched:
        note = (
            f"{whole.sums.variant_unmatched:,} attempts asked for a discounted processing that the price list does not know: "
            "priced as standard."
        )
    return Section(
        "attempts",
        "Failed, repeated, saved",
        tables=[Table("Attempts", ["", "attempts", "cost"], rows, ["attempts", "cost"], note)],
    )


def _local(spending: Spending, c: Comparison) -> Section | None:
    if not c.month.local_tokens and not spending.energy:
        return None
    estimated = c.local.basis == "estimated"
    rows = [
        ("electricity per million tokens (marginal)", rate(c.local.usd_per_million, estimated=estimated), c.local.basis),
        (
            "all of it per million tokens (fully loaded)",
            dollars(loaded(c), estimated=estimated),
            c.local.basis if loaded(c) is not None else "unknown",
        ),
        (
            "hardware, rent, maintenance, a month",
            dollars(c.local.hardware_usd),
            "as configured" if c.local.hardware_usd is not None else "unknown",
        ),
        (
            "idle electricity, a month",
            dollars(c.local.idle_usd, estimated=estimated),
            "unknown" if c.local.idle_usd is None else c.local.basis,
        ),
        ("utilisation", percent(c.month.utilisation), "measured"),
    ]
    if c.local.hardware_usd is not None:
        busy = c.local.hardware_usd * c.month.utilisation
        rows.insert(3, ("of that, for time in which a model worked", dollars(busy), "by busy seconds"))
        rows.insert(4, ("of that, for idle time", dollars(c.local.hardware_usd - busy), "the rest"))
    if c.month.tokens_per_second is not None:
        told = "as configured" if c.month.speed_assumed else "measured"
        rows.append(("reads, tokens a second", f"{float(c.month.tokens_per_second):,.0f}", told))
    tables = [Table(f"Local work in {c.month.label}", ["", "value", "basis"], rows, ["value"])]
    if spending.energy:
        lines = [
            (
                e.meter, e.method, e.scope or "nothing", f"{e.coverage:.0%}", units.seconds(e.busy_seconds),
                joules(e.busy_joules), units.seconds(e.idle_seconds), joules(e.idle_joules),
            )
            for e in spending.energy
        ]  # fmt: skip
        columns = ["meter", "method", "covers", "of the time", "busy", "energy", "idle", "energy, idle"]
        tables.append(Table("Energy, by what read it", columns, lines, columns[3:]))
    return Section("local", "Local work: marginal, fully loaded, idle", tables=tables)


def _unknown(spending: Spending) -> Section | None:
    if not spending.unknown:
        return None
    rows = [
        (u.provider or "(local)", u.model, u.why, f"{u.attempts:,}", tokens(u.prompt_tokens), tokens(u.output_tokens))
        for u in spending.unknown
    ]
    columns = ["provider", "model", "why", "attempts", "tokens in", "tokens out"]
    note = "llmc cost reprice gives them a price beside the missing one, once there is one."
    return Section("unknown", "What could not be priced", tables=[Table("Unknown prices", columns, rows, columns[3:], note)])


def _assumptions(worth: Worth) -> Section | None:
    rows = [(a.what, a.value, a.source, a.checked or "undated") for a in dict.fromkeys(worth.assumptions)]
    columns = ["", "value", "source", "as of"]
    return Section("assumptions", "What this rests on", tables=[Table("Assumptions", columns, rows)]) if rows else None
