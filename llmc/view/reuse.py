"""Views used again: what was made of the same text (the cache, also between runs), or in this run of nearly the same text.

A text that comes twice is asked for once, also when both are in work at the same time: the later one waits. A gist of a
near-duplicate is taken only if both texts hold exactly the same hard facts. Whatever is used again, its view is given to the
fidelity check against the document's own source; when that refuses it, the document goes down the ladder like any other.
"""

import asyncio
import dataclasses
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from llmc import cache, fidelity, money, similar
from llmc.cache import ATTEMPT_FIELDS, CachedView, CacheUse, ViewCache
from llmc.view import Attempt, View

FROM_CACHE = "from the cache"
REMEMBERED = 10_000  # documents of this run that later ones are compared with: about 4 kB each

Again = Callable[[CachedView, Attempt, bool], Awaitable[View | None]]
"""The document's view from what is kept of one, the step that is to be noted, and whether it was the same text; None when the
check refuses it."""


@dataclass(slots=True, eq=False)
class _Seen:
    """A document of this run whose view is made, or being made; None when it came to nothing that could be used again."""

    id: str
    view: "asyncio.Future[CachedView | None]"
    signature: similar.Signatures = field(default_factory=lambda: similar.signatures([b""])[0])
    facts: frozenset[tuple[str, str]] = frozenset()


@dataclass(slots=True)
class Reused:
    """What a run used again."""

    lookups: int = 0
    """Documents that were looked up in the cache, and of these, those whose view was there and passed the check."""
    hits: int = 0
    hit_rate: float | None = None
    repeated: int = 0
    """Documents that had the view of the same text in this run."""
    shared: int = 0
    """Documents that had the gist of a near-duplicate in this run."""
    refused: int = 0
    """Views in the cache that did not pass the check."""
    saved_prompt_tokens: int = 0
    """What the first of each text took to make, for every hit and every repeated one. Shared ones are not counted."""
    saved_output_tokens: int = 0
    saved_usd: str = "0"
    """What they cost then, exactly, as the ledger has it: what providers charged, and electricity where it is metered."""
    saved_unpriced: int = 0
    """Of those, how many it is not known of."""


class Reuse:
    """What one run can use again. ``similarity``: least likeness (see :mod:`llmc.similar`) for sharing a gist; None: never."""

    def __init__(self, views: ViewCache | None = None, *, similarity: float | None = None) -> None:
        self.views = views
        self.similarity = similarity
        self._did = Reused()
        self._saved_pico = 0
        self._paid: dict[str, int | None] = {}
        self._by_key: OrderedDict[bytes, _Seen] = OrderedDict()
        self._by_band: OrderedDict[int, _Seen] = OrderedDict()
        self._one_at_a_time = asyncio.Lock()

    def reused(self) -> Reused:
        did, use = self._did, self.views.use if self.views else CacheUse()
        return dataclasses.replace(
            did,
            lookups=use.lookups,
            hits=use.hits,
            hit_rate=use.hit_rate,
            refused=use.refused,
            saved_prompt_tokens=did.saved_prompt_tokens + use.saved_prompt_tokens,
            saved_output_tokens=did.saved_output_tokens + use.saved_output_tokens,
            saved_usd=f"{money.usd(self._saved_pico + use.saved_pico):f}",
            saved_unpriced=did.saved_unpriced + use.saved_unpriced,
        )

    def paid(self, document: str, cost_pico: int | None) -> None:
        """What one request for a document whose view is being made cost; None when that is not known."""
        before = self._paid.get(document, 0)
        self._paid[document] = None if before is None or cost_pico is None else before + cost_pico

    async def view(self, source: str, document: str, settings: str, make: Callable[[], Awaitable[View]], again: Again) -> View:
        """The view of a text: one that is there already, else what ``make`` makes, which is then kept for others."""
        key = cache.key(source, settings)
        while earlier := self._by_key.get(key):
            if (kept := await earlier.view) is None:
                continue  # it came to nothing and is forgotten: the first of those who waited makes it
            if made := await again(kept, _step(kept, "cached", f"as {earlier.id}, the same text"), True):
                self._did.repeated += 1
                self._did.saved_prompt_tokens += kept.prompt_tokens
                self._did.saved_output_tokens += kept.output_tokens
                self._saved_pico += kept.cost_pico or 0
                self._did.saved_unpriced += kept.cost_pico is None
                return made
            break
        seen = _Seen(document, asyncio.get_running_loop().create_future())
        _remember(self._by_key, key, seen, REMEMBERED)
        kept = None
        try:
            others = await self._candidates(seen, source)
            made, kept = await self._found(key, again)
            if made is None:
                made, kept = await self._alike(seen, others, again)
            if made is None:
                made = await make()
                kept = _kept(made, self._paid.get(document))
            if kept and self.views and made.attempts[-1].reason != FROM_CACHE:
                self.views.put(key, kept)
            return made
        finally:
            self._paid.pop(document, None)
            if kept is None and self._by_key.get(key) is seen:
                del self._by_key[key]
            seen.view.set_result(kept)

    async def _found(self, key: bytes, again: Again) -> tuple[View | None, CachedView | None]:
        """What the cache has, if it passes the check."""
        kept = self.views.get(key) if self.views else None
        if kept is None or self.views is None:
            return None, None
        made = await again(kept, _step(kept, "cached", FROM_CACHE), True)
        if made is None:
            self.views.refused()
            return None, None
        self.views.hit(kept)
        return made, kept

    async def _candidates(self, seen: _Seen, source: str) -> list[_Seen]:
        """Documents of this run that may be much like this one; later ones find this one too.

        One after another, in the order they came: which of two near-duplicates is asked for must not be left to chance.
        """
        if self.similarity is None:
            return []
        async with self._one_at_a_time:
            seen.signature, seen.facts = await asyncio.to_thread(_features, source)
            keys = [int(k) for k in similar.bands(seen.signature[None])[0]]
            found = [s for k in keys if (s := self._by_band.get(k))]
            for k in keys:
                _remember(self._by_band, k, seen, REMEMBERED * similar.BANDS)
            return list(dict.fromkeys(found))

    async def _alike(self, seen: _Seen, others: list[_Seen], again: Again) -> tuple[View | None, CachedView | None]:
        """The gist of a near-duplicate that has the same hard facts."""
        likeness = {other: similar.similarity(other.signature, seen.signature) for other in others}
        same = [other for other in others if other.facts == seen.facts and likeness[other] >= (self.similarity or 1)]
        if not same:
            return None, None
        other = max(same, key=lambda other: likeness[other])
        kept = await other.view
        if kept is None or kept.kind != "gist":
            return None, None
        reason = f"as {other.id}, {likeness[other]:.0%} alike, with the same facts"
        made = await again(kept, _step(kept, "shared", reason), False)
        if made is None:
            return None, None
        self._did.shared += 1
        return made, dataclasses.replace(kept, source_tokens=made.source_tokens)


K = TypeVar("K")


def _remember(place: OrderedDict[K, _Seen], key: K, seen: _Seen, most: int) -> None:
    place[key] = seen
    if len(place) > most:
        place.popitem(last=False)


def _features(source: str) -> tuple[similar.Signatures, frozenset[tuple[str, str]]]:
    facts = frozenset((fact.kind, fact.normal) for fact in fidelity.analyse(source).facts)
    return similar.signatures([source.encode("utf-8", "surrogatepass")])[0], facts


def step_of(kept: dict[str, str]) -> Attempt:
    """A step as it is kept in the cache; what it took was taken then, not now."""
    texts: dict[str, Any] = {name: kept[name] for name in ATTEMPT_FIELDS if name not in ("tier", "outcome", "reason")}
    return dataclasses.replace(Attempt(kept["tier"], kept["outcome"], kept["reason"]), **texts)


def _step(kept: CachedView, outcome: str, reason: str) -> Attempt:
    """The last step of what is used again, as it is noted here. Why a text has no view stays the reason."""
    last = step_of(kept.attempts[-1])
    return dataclasses.replace(last, outcome=outcome, reason=last.reason if kept.kind == "none" else reason)


def _kept(view: View, cost_pico: int | None) -> CachedView | None:
    """What is kept of a view; None when an engine failed on the way: another time it may go better."""
    if not view.attempts or any(a.outcome == "failed" for a in view.attempts):
        return None
    return CachedView(
        kind=view.kind,
        text=view.text or "",
        keys=tuple(fact.text for fact in view.facts if fact.kind == "key"),
        source_tokens=view.source_tokens,
        tokens=view.tokens,
        attempts=tuple({name: str(getattr(a, name)) for name in ATTEMPT_FIELDS} for a in view.attempts),
        prompt_tokens=sum(a.prompt_tokens for a in view.attempts),
        output_tokens=sum(a.output_tokens for a in view.attempts),
        cost_pico=cost_pico if any(a.prompt_tokens for a in view.attempts) else 0,  # nobody was asked: it cost nothing
    )
