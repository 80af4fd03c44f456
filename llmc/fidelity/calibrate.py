"""How often does the check miss a planted error, and how often does it refuse a faithful view, on somebody's own text?

Half of the pairs sets the one threshold that depends on how freely the views are written (``grounded_share``, lowered only
where the policy's own refuses too many), the other half is what is reported; no pair serves both. Intervals are exact
binomial ones (Clopper and Pearson 1934): the limits are the shares at which seeing so few, or so many, errors has a chance
of 2.5%.

    calibrate([(source, view), ...], seed=1).kinds["digit"].missed_95      # (0.0, 0.012)
"""

import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from llmc.errors import UsageError
from llmc.fidelity.check import check
from llmc.fidelity.corrupt import CORRUPTIONS, corrupt
from llmc.fidelity.policy import Policy

CERTIFIED_TRIES = 300  # no miss in 300 tries: the upper limit is 1.2%, one-sided 1.0% (the rule of three)
CERTIFIED_VIEWS = 30  # errors planted in one view resemble each other; the interval takes them for independent
LOWER_SHARES = (0.6, 0.5, 0.4)
FALSE_REFUSAL_TARGET = 0.10  # of faithful views; the policy's threshold, or the strictest below it that stays under that


@dataclass(frozen=True, slots=True)
class Rate:
    """So many of so many, with the 95% interval of the share."""

    count: int
    tries: int
    share_95: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Calibration:
    """Missed errors per kind, refused faithful views, and what they were measured with."""

    seed: int
    pairs: int
    policy: Policy
    missed: dict[str, Rate]
    refused: Rate
    """Of the reported half, all of it faithful."""

    def certified(self, kind: str) -> bool:
        """Whether the miss rate of that kind may be called certified: enough different errors in enough views, none missed."""
        rate = self.missed[kind]
        accepted = self.refused.tries - self.refused.count
        return rate.tries >= CERTIFIED_TRIES and accepted >= CERTIFIED_VIEWS and rate.count == 0


def calibrate(pairs: Sequence[tuple[str, str]], *, seed: int, policy: Policy | None = None, rounds: int = 1) -> Calibration:
    """Measures on (source, view) pairs that are held to be faithful; at most ``rounds`` different errors a kind and view."""
    if len(pairs) < 2:
        raise UsageError(f"calibration needs at least 2 pairs, not {len(pairs)}", hint="one half sets, the other half reports")
    order = list(range(len(pairs)))
    random.Random(seed).shuffle(order)
    half = len(order) // 2
    chosen = _set([pairs[i] for i in order[:half]], policy or Policy())
    reported = [pairs[i] for i in order[half:]]
    refused = 0
    tries, count = Counter[str](), Counter[str]()
    for number, (source, view) in enumerate(reported):
        if _refused(source, view, chosen):
            refused += 1
            continue  # an error planted in a refused view proves nothing
        for kind in CORRUPTIONS:
            seeds = (seed * 1_000_003 + number * 1009 + round_ for round_ in range(rounds))
            wrong = {changed for each in seeds if (changed := corrupt(kind, source, view, seed=each)) is not None}
            tries[kind] += len(wrong)
            count[kind] += sum(not _refused(source, changed, chosen) for changed in wrong)
    missed = {kind: rate(count[kind], tries[kind]) for kind in CORRUPTIONS}
    return Calibration(seed, len(pairs), chosen, missed, rate(refused, len(reported)))


def rate(count: int, tries: int) -> Rate:
    return Rate(count, tries, interval(count, tries))


def _refused(source: str, view: str, policy: Policy) -> bool:
    """Whether a view would be refused for what it says; its length is another matter."""
    return any(name != "worth_it" for name in check(source, view, policy).failed)


def _set(pairs: Sequence[tuple[str, str]], policy: Policy) -> Policy:
    """The policy with the strictest grounding threshold that refuses no more than the target of the first half."""
    shares = [policy.grounded_share, *(share for share in LOWER_SHARES if share < policy.grounded_share)]
    for share in shares:
        candidate = replace(policy, grounded_share=share)
        if sum(_refused(source, view, candidate) for source, view in pairs) <= FALSE_REFUSAL_TARGET * len(pairs):
            return candidate
    return replace(policy, grounded_share=shares[-1])


def interval(count: int, tries: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact binomial interval of the share ``count / tries``; (0, 1) when nothing was tried."""
    if tries == 0:
        return 0.0, 1.0
    tail = (1 - confidence) / 2
    low = 0.0 if count == 0 else _solve(lambda p: 1 - _at_most(count - 1, tries, p), tail)
    high = 1.0 if count == tries else _solve(lambda p: 1 - _at_most(count, tries, p), 1 - tail)
    return low, high


def _solve(rising: Callable[[float], float], target: float) -> float:
    """The share at which a rising function of it reaches the target, by bisection to 1e-9."""
    low, high = 0.0, 1.0
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < target else (low, middle)
    return (low + high) / 2


def _at_most(count: int, tries: int, share: float) -> float:
    """Chance of at most ``count`` of ``tries`` at that share, summed in logarithms so that large counts do not underflow."""
    if share <= 0:
        return 1.0
    if share >= 1:
        return 0.0 if count < tries else 1.0
    ways = math.lgamma(tries + 1)
    return min(
        1.0,
        sum(
            math.exp(
                ways - math.lgamma(k + 1) - math.lgamma(tries - k + 1) + k * math.log(share) + (tries - k) * math.log1p(-share)
            )
            for k in range(count + 1)
        ),
    )
