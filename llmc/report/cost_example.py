"""The cost table of llmc's predecessor, recomputed: what it claimed, what its own inputs give, and why they differ.

What the documentation says is kept beside this module too, so that ``llmc cost verify`` can compute it again where there is no
documentation: in an installed llmc.

python -m llmc.report.cost_example docs/cost.md      writes it there, and into the page between the two marks
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

from llmc import price
from llmc.breakeven import MILLION, Compression, Terms, per_million_prompt
from llmc.ledger.verify import MAX_EXAMPLES, Check
from llmc.price import Tokens

BEGIN, END = "<!-- made by llmc.report.cost_example: do not edit -->\n", "<!-- end -->\n"
STATED = Path(__file__).parent / "templates" / "cost_example.md"
TOKENS = 10 * MILLION  # a month, as the predecessor's table has it
CLOUD, LOCAL, FIXED = Fraction("0.001") * 1000, Fraction("0.0001") * 1000, Fraction(50 + 50)  # $ per million, $ a month
TERMS = Terms(FIXED, LOCAL, CLOUD)
PRICES = (  # dollars per million tokens in and out, and where they are from
    ("anthropic/claude-haiku-4-5", "1", "5"), ("openai/gpt-5-mini", "0.25", "2"), ("openai/gpt-4o-mini", "0.15", "0.60"),
    ("google/gemini-2.5-flash-lite", "0.10", "0.40"), ("openai/gpt-5-nano", "0.05", "0.40"),
    ("groq/llama-3.1-8b-instant", "0.05", "0.08"),
)  # fmt: skip
PRICES_LIST, PRICES_DATE = "genai-prices==0.2.3", datetime(2026, 11, 10, tzinfo=UTC)
PRICES_SOURCE = f"{PRICES_LIST.replace('==', ' ')}, {PRICES_DATE:%Y-%m-%d}"
OUTPUT_SHARE = Fraction("0.3")  # output tokens per prompt token


@dataclass(frozen=True, slots=True)
class Claim:
    """One figure of the predecessor's table."""

    what: str
    claimed: str
    recomputed: str
    why: str


def claims() -> list[Claim]:
    """All figures, recomputed from the inputs that the table itself names."""
    cloud, local, even = TERMS.cloud_usd(TOKENS), TERMS.local_usd(TOKENS), TERMS.break_even()
    share, limit = TERMS.saving_share(TOKENS), TERMS.saving_limit()
    free = Terms(FIXED, Fraction(0), CLOUD)  # were the local price no marginal one
    wanted, ten_thousand = TERMS.tokens_to_save(Fraction(9900)), 10_000 * MILLION / CLOUD
    assert even is not None
    assert wanted is not None
    assert share is not None
    assert limit is not None
    free_even = free.break_even()
    assert free_even is not None
    return [
        Claim(
            "cloud, a month", "$10,000", usd(cloud),
            f"10,000,000 tokens are 10,000 thousands, at $0.001 each. $10,000 buy {millions(ten_thousand)} tokens: a slip by "
            f"{decimals(ten_thousand / TOKENS, 0)}",
        ),
        Claim(
            "local, a month", "$100", usd(local),
            f"$50 for electricity and $50 for maintenance at any volume, and {usd(local - FIXED)} for the tokens, at $0.0001 "
            "per thousand",
        ),
        Claim("saved", "$9,900", usd(cloud - local), f"local costs {decimals(local / cloud, 1)} times as much as the cloud"),
        Claim("saved, in percent", "99%", f"{decimals(100 * share, 0)}%", f"of a bill of {usd(cloud)}"),
        Claim(
            "local wins above", "not given", f"{millions(even)} tokens a month",
            f"$100 / ($1.00 - $0.10) per million; {millions(free_even)} if a further token cost nothing",
        ),
        Claim(
            "$9,900 are saved at", "10.0 M tokens", f"{millions(wanted)} tokens a month",
            f"{decimals(wanted / TOKENS, 0)} times as many",
        ),
        Claim(
            "most that can be saved", "99%", f"{decimals(100 * limit, 0)}%",
            "1 - $0.10 / $1.00, approached from below as the volume grows. 99% would take local tokens at no marginal cost, "
            f"and {millions(FIXED * MILLION / (CLOUD * (1 - Fraction('0.99'))))} tokens a month",
        ),
        Claim(
            "local price", "$0.0001 per 1K tokens", f"holds at {millions(FIXED / LOCAL * MILLION)} tokens a month only",
            "there the $100 come to $0.0001 per 1K: it is an average, which has the fixed cost in it. Counting both counts it "
            "twice",
        ),
    ]  # fmt: skip


def markdown() -> str:
    """The generated part of ``docs/cost.md``."""
    rows = [(c.what, c.claimed, c.recomputed, c.why) for c in claims()]
    text = [
        "Its inputs: 10,000,000 tokens a month; cloud at $0.001 per 1K; local at $50 + $50 a month and $0.0001 per 1K.\n",
        table(("", "claimed", "recomputed", "why"), rows),
        "With the same numbers, when a share f of the tokens falls from the local model to the cloud:\n",
        table(("f", "local first is cheaper above"), [(f"{s}%", even_text(hybrid(s))) for s in (0, 20, 50, 90)]),
        "What $100 a month and $0.02 per million tokens of electricity compete with, at 0.3 output tokens per prompt token "
        f"(prices: {PRICES_SOURCE}; with a batch discount of half the break-even at least doubles):\n",
        table(("cloud model", "$ per million in, out", "local is cheaper above"), [_listed(*each) for each in PRICES]),
        "And what compressing 1,000,000 tokens to 30% saves in one use by a model that charges $1 per million, net of what "
        "making the views cost (0.3 output tokens per prompt token):\n",
        table(("made by", "costs", "net, one use", "pays from use"), _net()),
    ]
    return "\n".join(text)


def check() -> Check:
    """Every row of the example computed again and compared with what the documentation says."""
    stated, computed = (
        [line for line in text.splitlines() if line.strip()] for text in (STATED.read_text(encoding="utf-8"), markdown())
    )
    wrong = [f"{a!r} is now {b!r}" for a, b in zip(stated, computed, strict=False) if a != b]
    wrong += [f"{abs(len(stated) - len(computed))} lines too few or too many"] if len(stated) != len(computed) else []
    prices = [line for each in PRICES if (line := _price_differs(*each))] if price.list_source() == PRICES_LIST else []
    note = "" if price.list_source() == PRICES_LIST else f"its prices are those of {PRICES_LIST}, this is {price.list_source()}"
    found = "; ".join([*wrong, *prices][:MAX_EXAMPLES])
    return Check("the documentation's examples are what the code computes", not found, len(computed), found or note)


def _price_differs(name: str, inside: str, outside: str) -> str:
    provider, _, model = name.partition("/")
    for kind, told, tokens in (("in", inside, Tokens(MILLION, 0)), ("out", outside, Tokens(0, MILLION))):
        listed = price.list_usd(provider, model, tokens, PRICES_DATE, "")
        if Fraction(listed) != Fraction(told):
            return f"{name} costs ${told} per million tokens {kind}, by {PRICES_LIST} ${listed:f}"
    return ""


def hybrid(percent: int) -> Fraction | None:
    return Terms(FIXED, LOCAL, CLOUD, Fraction(percent, 100)).break_even()


def _listed(model: str, inside: str, outside: str) -> tuple[str, str, str]:
    price = per_million_prompt(Fraction(inside), Fraction(outside), OUTPUT_SHARE)
    return model, f"{inside}, {outside}", even_text(Terms(FIXED, Fraction("0.02"), price).break_even())


def _net() -> list[tuple[str, str, str, str]]:
    haiku, mini = (per_million_prompt(Fraction(PRICES[i][1]), Fraction(PRICES[i][2]), OUTPUT_SHARE) for i in (0, 2))
    rows = []
    for name, cost, miss in (
        ("a local model", Fraction("0.02"), 1),
        ("gpt-4o-mini", mini, 1),
        ("claude-haiku-4-5", haiku, 1),
        ("gpt-4o-mini, read from a prompt cache at a tenth of the price", mini, 0),
    ):
        found = Compression(700_000, cost, Fraction(1), Fraction("0.1"), Fraction(miss))
        rows.append((name, usd(cost), usd(found.net_usd(1)), str(found.uses_needed())))
    return rows


def usd(amount: Fraction) -> str:
    return f"{'-' if amount < 0 else ''}${decimals(abs(amount), 2)}"


def millions(tokens: Fraction) -> str:
    """``111.1 M``; from a thousand millions on ``11.1 billion``."""
    return f"{decimals(tokens / 10**9, 1)} billion" if tokens >= 10**9 else f"{decimals(tokens / MILLION, 1)} M"


def even_text(tokens: Fraction | None) -> str:
    return "no volume" if tokens is None else f"{millions(tokens)} tokens a month"


def decimals(value: Fraction, places: int) -> str:
    """Rounded half up, from the exact fraction."""
    scaled = abs(value) * 10**places
    whole = (2 * scaled.numerator + scaled.denominator) // (2 * scaled.denominator)
    return f"{'-' if value < 0 and whole else ''}{whole // 10**places:,}" + (
        f".{whole % 10**places:0{places}}" if places else ""
    )


def table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [columns, tuple("---" for _ in columns), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def put_into(page: str) -> str:
    """The page with its generated part made anew."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n{markdown()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    STATED.write_text(markdown(), encoding="utf-8")
    for name in sys.argv[1:]:
        Path(name).write_text(put_into(Path(name).read_text(encoding="utf-8")), encoding="utf-8")
