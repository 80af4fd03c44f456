"""The figures at the top of the cost report, each with where it is from."""

from llmc import units
from llmc.report.cost_words import amount, dollars, joules, listed, percent, tokens
from llmc.report.html import Tile
from llmc.spending import Group, Spending
from llmc.worth import Worth

FULLY_READ = 0.99  # of the time; a meter that gave readings for less has measured a part


def tiles(spending: Spending, worth: Worth) -> list[Tile]:
    """The figures at the top, each with where it is from."""
    whole = spending.whole()
    if whole is None:
        return []
    c, v = worth.comparison, worth.value
    note = f"{whole.sums.attempts:,} attempts, {whole.sums.failed + whole.sums.lost:,} failed"
    paid = spending.paid
    found = [Tile("spent in this period", amount(paid), note, paid.basis)]
    if c.cloud is not None:
        basis = "estimated" if c.month.local_tokens else c.paid.basis if c.as_paid else "list price"
        found.append(
            Tile(
                f"all of {c.month.label} in the cloud",
                dollars(c.cloud_usd, estimated=basis == "estimated"),
                c.cloud.name,
                basis,
            )
        )
    local = dollars(
        c.local_usd, estimated=c.local.basis == "estimated", at_least=not c.local.complete and c.local_usd is not None
    )
    not_counted = f"{listed(c.local.missing)} not known" if c.local.missing else "all that is fixed included"
    found.append(
        Tile(f"all of {c.month.label} locally", local, not_counted, c.local.basis if c.local_usd is not None else "unknown")
    )
    if c.drivers is not None and c.local.complete:
        even = tokens(c.break_even) if c.break_even is not None else "none"
        found.append(
            Tile(
                "break-even, tokens a month",
                even,
                f"you: {tokens(c.month.tokens)}",
                "estimated" if c.estimated else "list price",
            )
        )
    else:
        found.append(Tile("break-even, tokens a month", "unknown", f"you: {tokens(c.month.tokens)}", "unknown"))
    if v is not None and not v.why_unknown:
        needed = v.made.uses_needed()
        pays = "never pays" if needed is None else f"pays from use {max(1, needed)}"
        net = dollars(v.made.net_usd(v.uses), estimated=True)
        found.append(Tile(f"net value after {v.uses} use{'s' * (v.uses != 1)}", net, pays, "estimated"))
    found.append(_electricity(spending, whole))
    found.append(
        Tile(
            "utilisation of this machine",
            percent(c.month.utilisation),
            f"a model worked {units.seconds(c.month.busy_seconds)} in {c.month.label}",
            "measured",
        )
    )
    if whole.cost.unknown:
        found.append(Tile("unknown prices", f"{whole.cost.unknown:,}", "attempts that are in no sum", "unknown"))
    return found


def _electricity(spending: Spending, whole: Group) -> Tile:
    s = whole.sums
    if not s.energy_joules and not s.without_energy:
        return Tile("electricity", "none", "no local work", "")
    if not s.energy_joules:
        return Tile("electricity", "unknown", "no sensor was read, and power.busy_watts is not set", "unknown")
    guessed = s.energy_estimated_joules > 0
    text = f"{'>= ' if s.without_energy else ''}{'~' if guessed else ''}{joules(s.energy_joules)}"
    read = min((e.coverage for e in spending.energy if e.method.startswith("measured")), default=1.0)
    if read < FULLY_READ and not guessed:
        note = f"{_methods(spending)}; sensors gave readings for {read:.0%} of the time"
        return Tile("electricity", f">= {joules(s.energy_joules)}", note, "measured in part")
    about = "from configured watts: no sensor was read" if guessed else _methods(spending)
    return Tile("electricity", text, about, "estimated" if guessed else "measured")


def _methods(spending: Spending) -> str:
    return ", ".join(dict.fromkeys(f"{e.meter}: {e.scope}" for e in spending.energy if e.method != "none"))
