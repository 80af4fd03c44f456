"""What the cost report says first: which was, or would be, cheaper, in one sentence, or why that cannot be said.

A case each: nothing spent; all in the cloud, all here, local first with a fallback, or some of both; free; a price, the tokens
or the cost of local work unknown; too close to call.
"""

from llmc.report.cost_words import amount, dollars, listed, percent, tokens
from llmc.spending import Spending
from llmc.worth import Comparison, Value, Worth

TOLD_BY = {
    "hardware": "price.hardware",
    "electricity": "power.tariff_usd_per_kwh, and power.busy_watts where no sensor is",
    "idle electricity": "power.idle_watts and power.tariff_usd_per_kwh",
}


def verdict(spending: Spending, c: Comparison) -> str:
    """One sentence that can be acted on."""
    if nothing := _nothing(spending):
        return nothing
    if c.verdict == "nothing":
        spent = f"{_paid(c)} was spent in {c.month.label}"
        return f"Which is cheaper cannot be said: {spent}, and no server told how many tokens it read."
    if c.cloud is None:
        return (
            f"Which is cheaper cannot be said: {_paid(c)} was spent on {_volume(c)}, and no price of the cloud model is known "
            f"({c.why_no_price})."
        )
    if not c.month.local_tokens and not c.month.assumed:
        return _all_in_the_cloud(c)
    cloud = f"{_cloud(c)} on {c.cloud.name}"
    if c.verdict == "unknown":
        return (
            f"{_where(c)}: {_volume(c)} would cost {cloud}; what they cost here is not known ({listed(c.local.missing)}), so "
            "which is cheaper cannot be said."
        )
    if c.verdict == "either":
        return (
            f"Neither is clearly cheaper at your volume: {_volume(c)} cost {_ours(c)} and {cloud}, and what is estimated may "
            "decide it either way."
        )
    if c.verdict == "cloud":
        return f"Cloud would be cheaper at your volume: {_volume(c)} cost {_ours(c)}, {cloud}."
    if not c.local.complete:
        alone = listed([part for part in ("hardware", "electricity") if part not in c.local.missing])
        return (
            f"On {alone} alone local is cheaper at your volume: {_volume(c)} cost {_ours(c)}, {cloud}; "
            f"{listed(c.local.missing)} is not known and not counted."
        )
    if not c.ours_usd:
        return f"Local is free as configured: {_volume(c)} cost nothing here, {cloud}."
    return f"Local is cheaper at your volume: {_volume(c)} cost {_ours(c)}, {cloud}."


def _nothing(spending: Spending) -> str:
    whole = spending.whole()
    if whole is None:
        return "Nothing was spent in this period: no model was asked for anything."
    if spending.paid.pico or spending.paid.unknown:
        return ""
    if whole.sums.cached == whole.sums.attempts:
        answers = "1 answer" if whole.sums.cached == 1 else f"{whole.sums.cached:,} answers"
        return f"Nothing was spent in this period: {answers} came from the cache."
    if whole.sums.ok:
        return ""  # it was free, which is something to compare
    return "Nothing was spent in this period: what was asked was turned away or failed without a charge."


def _all_in_the_cloud(c: Comparison) -> str:
    assert c.cloud is not None
    other = "" if c.as_paid else f" ({_cloud(c)} at {c.cloud.name}'s list price)"
    there = f"{_volume(c)} cost {_paid(c)} in the cloud{other}"
    if c.local_usd is None:
        return f"All of it was done in the cloud: {there}; no local model worked and none is configured to compare it with."
    here = dollars(c.local_usd, estimated=c.local.basis == "estimated")
    if c.verdict == "cloud":
        least = "at least " if not c.local.complete else ""
        return f"The cloud is cheaper at your volume: {there}, and would cost {least}{here} here."
    if not c.local.complete:
        return f"All of it was done in the cloud: {there}; here {here} and {listed(c.local.missing)}, which is not known."
    if c.verdict == "either":
        return f"Neither is clearly cheaper at your volume: {there}, and would cost about {here} here."
    return f"Local would be cheaper at your volume: {there}, and would cost {here} here."


def _where(c: Comparison) -> str:
    if not c.month.cloud_tokens:
        return "All of it was done here"
    return f"{percent(c.month.local_share)} of the tokens were read here"


def _paid(c: Comparison) -> str:
    said = amount(c.paid)
    return "an unknown amount" if said == "unknown" else said.replace(">= ", "at least ")


def _cloud(c: Comparison) -> str:
    return dollars(c.cloud_usd, estimated=bool(c.month.local_tokens))


def _ours(c: Comparison) -> str:
    """What the month costs with the local model first."""
    cost = dollars(c.ours_usd, estimated=c.local.basis == "estimated", at_least=not c.local.complete)
    if c.hybrid_usd is None:
        return f"{cost} locally"
    return f"{cost} local first ({percent(c.month.fallback_share)} of the tokens read in the cloud as well)"


def _volume(c: Comparison) -> str:
    assumed = "a month (as configured)" if c.month.assumed else f"in {c.month.label}"
    return f"{tokens(c.month.tokens)} tokens {assumed}"


def more(spending: Spending, worth: Worth) -> list[str]:
    """What follows the verdict."""
    c = worth.comparison
    found = []
    whole = spending.whole()
    if c.drivers is not None and c.local.hardware_usd is not None:
        found.append(_wins_above(c))
        if c.capacity is not None and c.break_even is not None and c.break_even > c.capacity:
            found.append(f"That is more than this machine can read in a month ({tokens(c.capacity)} tokens).")
        if c.month.fallback_share and c.hybrid_break_even != c.break_even:
            wins = f"above {tokens(c.hybrid_break_even)} tokens" if c.hybrid_break_even is not None else "at no volume"
            share = percent(c.month.fallback_share)
            found.append(f"With {share} of the tokens falling back to the cloud, local first wins {wins}.")
    if c.drivers is not None and c.local.missing and whole:
        found.append(f"To be told: {listed([TOLD_BY[name] for name in c.local.missing])}.")
    if worth.value is not None and not worth.value.why_unknown:
        found.append(_value_sentence(worth.value))
    if whole and whole.cost.unknown:
        attempts = "1 attempt" if whole.cost.unknown == 1 else f"{whole.cost.unknown:,} attempts"
        found.append(f"The cost of {attempts} is unknown and in no sum; what it is of is listed.")
    return found


def _wins_above(c: Comparison) -> str:
    if c.break_even is None:
        return "Local wins at no volume: each further token costs more here than there."
    if not c.local.complete:
        return f"Local wins above {tokens(c.break_even)} tokens a month at best: {listed(c.local.missing)} is not known."
    if not c.break_even:
        return "Nothing is fixed, so the volume does not matter."
    span = ""
    if c.low is not None and c.low != c.high:
        span = f" (range {tokens(c.low)} to {tokens(c.high) if c.high is not None else 'never'})"
    return f"Local wins above {tokens(c.break_even)} tokens a month{span}."


def _value_sentence(v: Value) -> str:
    needed = v.made.uses_needed()
    if needed is None:
        return "The views save their readers nothing: they are as long as the originals."
    net = dollars(v.made.net_usd(v.uses), estimated=True, at_least=False)
    uses = "one use" if v.uses == 1 else f"{v.uses} uses"
    least = "at least " if v.paid.unknown else ""  # what is not known of the cost only raises it
    below = (
        f"not worth it below {least}{needed:,} uses" if needed > 1 else f"it pays from the first use{' at best' * bool(least)}"
    )
    prefix = "at most " if v.paid.unknown else ""
    if v.made.net_usd(v.uses) < 0:
        short = dollars(-v.made.net_usd(v.uses), estimated=True)
        return f"Compressing cost {least}{short} more than {uses} of each view by {v.reader} saves; {below}."
    return f"Compressing is worth {prefix}{net} after {uses} of each view by {v.reader}; {below}."
