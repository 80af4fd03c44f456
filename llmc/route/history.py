"""What became of earlier documents, and the order of the ladder that it speaks for (``route=history``).

Kept for each model with its engine, backend and quantisation, and each length class: how often a gist passed the check, the
seconds and the money it took. The rungs are ordered by the chance of a view per cost, highest first: for tries that go on until
one succeeds, that order costs least. The cost of a try is its money plus its time at ``WAITING_USD_PER_HOUR``.

The chance is not the average but a draw from what is still possible after so many tries (Thompson sampling: Beta(1 + kept,
1 + not kept)), so a rung that was tried twice is tried again sooner than one that was tried fifty times. And one document in
``1 / EXPLORE`` asks the rungs in random order: a rung that was bad, and that nobody asks any more, is found when it is well
again. What is older counts less: half after a day, and no more than the last ``REMEMBERED`` tries.

Draws are seeded with the run's seed and the document's id: the same history gives the same order.
"""

import random
import sqlite3
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from llmc import money, state
from llmc.route.tier import Identity, Tier

EXPLORE = 0.05  # of the documents
REMEMBERED = 50.0  # tries; about as many are needed to tell a rung that passes 60% from one that passes 40%
HALF_LIFE_SECONDS = 24 * 3600.0
FORGOTTEN_SECONDS = 30 * 24 * 3600.0  # 30 half-lives: nothing is left of it
WAITING_USD_PER_HOUR = 1.0  # what an hour of waiting is worth: 1 s costs as much as $0.00028
LENGTHS = (256, 1024, 4096)  # source tokens: up to 256, up to 1,024, up to 4,096, more
_SCHEMA = """
CREATE TABLE IF NOT EXISTS outcome (
    at REAL NOT NULL, model TEXT NOT NULL, engine TEXT NOT NULL, backend TEXT NOT NULL, quant TEXT NOT NULL,
    length INTEGER NOT NULL, kept INTEGER NOT NULL, reason TEXT NOT NULL, seconds REAL NOT NULL, cost_pico INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS outcome_at ON outcome (at);
PRAGMA user_version = 1;
"""


def default_path() -> Path:
    return state.state("route") / "history.sqlite3"


def length_class(source_tokens: int) -> int:
    return sum(source_tokens > limit for limit in LENGTHS)


@dataclass(slots=True)
class Record:
    """What is remembered of one rung in one length class; weights, not whole numbers."""

    tries: float = 0.0
    kept: float = 0.0
    seconds: float = 0.0
    priced: float = 0.0
    """Tries whose price is known."""
    cost_usd: float = 0.0

    def add(self, kept: bool, seconds: float, cost_pico: int | None, weight: float = 1.0) -> None:
        if self.tries + weight > REMEMBERED:
            self._fade(REMEMBERED / (self.tries + weight))
        self.tries += weight
        self.kept += weight * kept
        self.seconds += weight * seconds
        if cost_pico is not None:
            self.priced += weight
            self.cost_usd += weight * float(money.usd(cost_pico))

    def _fade(self, share: float) -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) * share)

    @property
    def pass_rate(self) -> float | None:
        return self.kept / self.tries if self.tries else None

    @property
    def mean_seconds(self) -> float | None:
        return self.seconds / self.tries if self.tries else None

    @property
    def mean_cost_usd(self) -> float | None:
        return self.cost_usd / self.priced if self.priced else None

    def draw(self, rng: random.Random) -> float:
        return rng.betavariate(1 + self.kept, 1 + self.tries - self.kept)

    def cost_of_a_try_usd(self) -> float | None:
        """Time and money; None before the first one. A price that is not known counts as nothing, which is said where shown."""
        seconds = self.mean_seconds
        return None if seconds is None else seconds / 3600 * WAITING_USD_PER_HOUR + (self.mean_cost_usd or 0.0)


class History:
    """The store, and the order it speaks for. A file that cannot be used is as if there were none: with a warning, no error."""

    def __init__(self, path: Path | None = None, *, seed: int = 1, now: float | None = None) -> None:
        self.path, self.seed, self.warning = path or default_path(), seed, ""
        self._records: dict[tuple[Identity, int], Record] = {}
        self._paid: dict[tuple[str, str], int] = {}
        self._database: sqlite3.Connection | None = None
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(self.path, timeout=5, isolation_level=None)
            self._database.executescript(f"PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; {_SCHEMA}")
            self._read(time.time() if now is None else now)
        except (sqlite3.Error, OSError) as error:
            self.warning = f"the history of routes cannot be used: {self.path}: {error}"
            self._database = None

    def _read(self, now: float) -> None:
        assert self._database is not None
        self._database.execute("DELETE FROM outcome WHERE at < ?", (now - FORGOTTEN_SECONDS,))
        columns = "at, model, engine, backend, quant, length, kept, seconds, cost_pico"
        for at, model, engine, backend, quant, length, kept, seconds, cost in self._database.execute(
            f"SELECT {columns} FROM outcome ORDER BY at"
        ):
            weight = 0.5 ** (max(0.0, now - at) / HALF_LIFE_SECONDS)
            self.record(Identity(model, engine, backend, quant), length).add(bool(kept), seconds, cost, weight)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._database is not None:
            self._database.close()

    def record(self, identity: Identity, length: int) -> Record:
        return self._records.setdefault((identity, length), Record())

    def paid(self, document: str, tier: str, cost_pico: int | None) -> None:
        """What one request cost, as the meter knows it; counted with the try it belongs to."""
        if cost_pico is not None:
            self._paid[document, tier] = self._paid.get((document, tier), 0) + cost_pico

    def forget(self, document: str, tier: str) -> None:
        """Nothing is to be learnt of what this document cost there."""
        self._paid.pop((document, tier), None)

    def learn(self, tier: Tier, document: str, source_tokens: int, *, kept: bool, reason: str, seconds: float) -> None:
        """What became of one document at one rung."""
        cost = self._paid.pop((document, tier.name), None)
        length = length_class(source_tokens)
        self.record(tier.identity, length).add(kept, seconds, cost)
        if self._database is None:
            return
        who = tier.identity
        row = (time.time(), who.model, who.engine, who.backend, who.quant, length, int(kept), reason, seconds, cost)
        try:
            self._database.execute(f"INSERT INTO outcome VALUES ({', '.join('?' * len(row))})", row)
        except sqlite3.Error as error:
            self.warning = f"the history of routes cannot be written: {self.path}: {error}"

    def order(self, tiers: Sequence[Tier], document: str, source_tokens: int) -> Sequence[Tier]:
        """The rungs, the one to be asked first first."""
        rng = random.Random(f"{self.seed}:{document}")
        if rng.random() < EXPLORE:
            return rng.sample(list(tiers), len(tiers))
        records = [self.record(tier.identity, length_class(source_tokens)) for tier in tiers]
        least = cheapest(records)
        worth = {t.name: r.draw(rng) / max(r.cost_of_a_try_usd() or least, 1e-9) for t, r in zip(tiers, records, strict=True)}
        return sorted(tiers, key=lambda tier: -worth[tier.name])


def cheapest(records: Iterable[Record]) -> float:
    """What a rung that was never tried is taken to cost: as little as the cheapest that was, so that it will be tried."""
    return min((cost for record in records if (cost := record.cost_of_a_try_usd()) is not None), default=1.0)
