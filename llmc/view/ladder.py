"""The ladder: one text after another goes from rung to rung, until one gives a view that passes the check.

Each model of the ladder is asked in turn, an extract comes after the last of them, and no view at all after that. A gist that
is refused is first mended (the source's own sentences for those that were found wrong, must-keep facts appended by copy, what
is over the budget gone), then the same model is asked once more and told what was wrong, then the next. Every step is in the
receipt.
"""

import asyncio
import dataclasses
import json
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import llmc
from llmc import fidelity
from llmc.cache import CachedView
from llmc.errors import EngineError, EngineUnavailable
from llmc.fidelity import Policy, Span, Verdict
from llmc.meter import Call, Made, Meter, Outcome, Unmetered
from llmc.route import NOT_ASKED, Closed, Resting, cause
from llmc.route.history import History
from llmc.route.tier import Asking, Tier, Turn
from llmc.schema import ViewConfig
from llmc.view import REUSED, Attempt, BoundFact, View, bind, probing, repair
from llmc.view import extract as extracting
from llmc.view import gist as gisting
from llmc.view.prompt import prompt_hash
from llmc.view.reuse import Reuse, step_of

MAX_LEFT_OUT = 50  # listed in a receipt; the view itself says how many there are
ESTIMATED_BYTES_PER_TOKEN = 4  # only where no model is at hand to count; whatever shows it says "estimated"

Order = Callable[[Sequence[Tier], str, int], Sequence[Tier]]
"""The rungs in the order to be asked, for a document with this id and this many tokens."""


def as_written(tiers: Sequence[Tier], document: str, source_tokens: int) -> Sequence[Tier]:
    return tiers


def no_view(source_tokens: int, *attempts: Attempt) -> View:
    return View("none", None, source_tokens, source_tokens, attempts=attempts)


@dataclass(slots=True)
class _Text:
    """A document on its way down."""

    source: str
    id: str
    turn: Turn
    tokens: int
    budget: int
    """Tokens the view may have."""
    attempts: list[Attempt] = field(default_factory=list)


class Ladder:
    """Makes the view of one text after another; holds what they share: the rungs, and what has become of them."""

    def __init__(
        self,
        view: ViewConfig,
        policy: Policy,
        tiers: Sequence[Tier] = (),
        *,
        seed: int = 1,
        why_no_model: str = "",
        order: Order = as_written,
        history: History | None = None,
        meter: Meter | None = None,
        reuse: Reuse | None = None,
    ) -> None:
        self.view, self.policy, self.tiers, self.seed = view, policy, tiers, seed
        self.reuse = reuse if tiers and view.name == "gist" else None  # an extract is made sooner than it is looked up
        self._why_no_model, self._order, self._meter = why_no_model, order, meter or Unmetered()
        self._history = history
        counting = [t for t in tiers if t.counts_tokens]
        # All of an archive's tokens are counted by one model: one that runs already, before one that would have to be started.
        self._counter = next((t for t in counting if t.engine), tiers[0] if counting and tiers[0] is counting[0] else None)
        self.tokens_by = (
            self._counter.identity.model if self._counter else f"estimated, {ESTIMATED_BYTES_PER_TOKEN} bytes a token"
        )

    @property
    def in_work(self) -> int:
        """How many documents to have in work at once."""
        return max(1, sum(tier.batch for tier in self.tiers if not tier.why_closed))

    async def tokens(self, content: str) -> int:
        if self._counter is not None:
            try:
                return await self._counter.count(lambda engine: engine.count_tokens(content))
            except EngineUnavailable:
                pass
        return -(-len(content.encode()) // ESTIMATED_BYTES_PER_TOKEN)

    def receipt(self, view: View, sha256: str, config: str) -> dict[str, Any]:
        """What is recorded beside a view: with what it was made, so that it could be made again."""
        reused = bool(view.attempts) and view.attempts[-1].outcome in REUSED
        used = next((a for a in reversed(view.attempts) if a.prompt_tokens or (reused and a.by)), None)
        return {
            "sha256": sha256 or None,
            "model": used and used.model,
            "model_digest": used and used.model_digest,
            "prompt_hash": used and prompt_hash(),
            "seed": used and self.seed,
            "tokens_by": self.tokens_by,
            "config": config,
            "retry": any(a.outcome == "failed" for a in view.attempts),
        }

    def up_to_date(self, row: dict[str, Any], config: str) -> bool:
        """Whether a stored view is what this ladder would leave as it is.

        It is when it was made with the same settings (``config``) and no engine failed on the way, and: a gist, when its model
        is on this ladder; anything else, when every model of this ladder was asked. Without a model, what is there stays.
        """
        if row["config"] != config:
            return False
        ours = {tier.model_digest for tier in self.tiers}
        if not ours or row["model_digest"] is None:  # too short, no text, too long: no model has a say in it
            return not (ours and row["retry"])
        asked = {a.get("model_digest") or row["model_digest"] for a in row["attempts"] if a["tier"] == "gist"}
        return not row["retry"] and (row["model_digest"] in ours if row["kind"] == "gist" else ours <= asked)

    async def make(self, source: str, document: str = "", turn: Turn = (0, 0)) -> View:
        """The view of one text. ``turn``: the lowest is asked first when several wait for a model."""
        started = time.perf_counter()
        if self.reuse:
            view = await self.reuse.view(
                source,
                document,
                self._settings,
                lambda: self._make(source, document, turn),
                lambda kept, last, same: self._again(source, document, kept, last, same=same),
            )
        else:
            view = await self._make(source, document, turn)
        last = view.attempts[-1]
        self._meter.made(
            Made(
                document,
                view.kind,
                last.by if last.outcome in ("kept", *REUSED) else "",
                len(source.encode("utf-8", "surrogatepass")),
                view.source_tokens,
                view.tokens,
                sum(a.outcome == "refused" for a in view.attempts),
                time.perf_counter() - started,
            )
        )
        return view

    async def _make(self, source: str, document: str, turn: Turn) -> View:
        view = self.view
        tokens = await self.tokens(source)
        if tokens < view.min_source_tokens:
            reason = f"short: {tokens} tokens are fewer than view.min_source_tokens={view.min_source_tokens}"
            return no_view(tokens, Attempt("none", "kept", reason))
        text = _Text(source, document, turn, tokens, self._budget(tokens))
        if view.name == "gist" and (made := await self._gist(text)):
            return made
        attempt, candidate, verdict = await self._extract(source, tokens, text.budget)
        text.attempts.append(attempt)
        if attempt.outcome == "kept":
            return await self._view("extract", text, candidate, verdict)
        text.attempts.append(Attempt("none", "kept", "nothing passed the check"))
        return dataclasses.replace(no_view(tokens, *text.attempts), verdict=verdict)

    @cached_property
    def _settings(self) -> str:
        """All that decides what this ladder makes of a text, as one string."""
        rungs = [(t.name, t.model_digest or str(t.identity), t.address, t.attempts) for t in self.tiers]
        made_with = [asdict(self.view), asdict(self.policy), self.seed, prompt_hash(), rungs, self.tokens_by, llmc.__version__]
        return json.dumps(made_with, sort_keys=True, default=str)

    async def _again(self, source: str, document: str, kept: CachedView, last: Attempt, *, same: bool) -> View | None:
        """A view that was made before, for this document; None when it does not pass the check against this source."""
        if self.policy.probes and not same:
            return None  # what blanks were asked of was another source
        steps = tuple(step_of(step) for step in kept.attempts[:-1]) if same else ()
        tier = next((t for t in self.tiers for a in (*steps, last) if t.name == a.by), None)
        if kept.kind == "none":
            view = no_view(kept.source_tokens, *steps, last)
        else:
            tokens = kept.source_tokens if same else await self.tokens(source)
            policy = dataclasses.replace(self.policy, max_view_tokens=self._budget(tokens))
            verdict = await asyncio.to_thread(
                fidelity.check, source, kept.text, policy, view_tokens=kept.tokens, source_tokens=tokens
            )
            if not verdict.passed:
                return None
            bound = await asyncio.to_thread(bind, source, kept.text)
            facts = (*bound, *_keys(source, [quote for quote in kept.keys if quote in source]))
            left_out = tuple((await asyncio.to_thread(fidelity.left_out, source, kept.text, self.policy))[:MAX_LEFT_OUT])
            view = View(kept.kind, kept.text, tokens, kept.tokens, facts, left_out, verdict, (*steps, last))
        if tier:
            self._note_reuse(tier, document, kept, last)
        return view

    def _note_reuse(self, tier: Tier, document: str, kept: CachedView, last: Attempt) -> None:
        tier.tally.cached += 1
        call = Call(
            uuid.uuid4().hex,
            document,
            tier.name,
            tier.local,
            tier.identity.engine,
            tier.provider,
            tier.identity.model,
            1,
        )
        outcome = Outcome("cached", last.reason, prompt_tokens=kept.prompt_tokens, output_tokens=kept.output_tokens)
        tier.meter.settle(call, outcome)

    async def extract(self, source: str) -> tuple[str, Verdict] | None:
        source_tokens = await self.tokens(source)
        if source_tokens < self.view.min_source_tokens:
            return None
        _, content, verdict = await self._extract(source, source_tokens, self._budget(source_tokens))
        return content, verdict

    def _budget(self, source_tokens: int) -> int:
        floor = min(self.view.min_tokens, source_tokens // 2)
        return int(min(self.view.max_tokens, max(source_tokens / self.view.target_ratio, floor)))

    async def _view(self, kind: str, text: _Text, content: str, verdict: Verdict, keys: tuple[BoundFact, ...] = ()) -> View:
        left_out = tuple((await asyncio.to_thread(fidelity.left_out, text.source, content, self.policy))[:MAX_LEFT_OUT])
        facts = (*await asyncio.to_thread(bind, text.source, content), *keys)
        return View(kind, content, text.tokens, await self.tokens(content), facts, left_out, verdict, tuple(text.attempts))

    async def _gist(self, text: _Text) -> View | None:
        """The first gist that passes, from whichever rung; None when none does."""
        if not self.tiers:
            text.attempts.append(Attempt("gist", "failed", self._why_no_model, cause="no model"))
        elif text.tokens > self.view.max_source_tokens:
            reason = f"{text.tokens} tokens are more than view.max_source_tokens={self.view.max_source_tokens}"
            text.attempts.append(Attempt("gist", "skipped", reason, cause="too long"))
        else:
            rungs = list(self._order(self.tiers, text.id, text.tokens))
            for rung in rungs:
                others = any(t is not rung and not t.why_closed for t in rungs[rungs.index(rung) :])
                started = time.perf_counter()
                view = await self._gist_by(rung, text, wait=not others)
                self._learn(rung, text, time.perf_counter() - started, kept=view is not None)
                if view:
                    return view
        return None

    def _learn(self, rung: Tier, text: _Text, seconds: float, *, kept: bool) -> None:
        why = text.attempts[-1].cause
        if self._history and why in NOT_ASKED:
            self._history.forget(text.id, rung.name)
        elif self._history:
            self._history.learn(rung, text.id, text.tokens, kept=kept, reason=why, seconds=seconds)

    async def _gist_by(self, tier: Tier, text: _Text, *, wait: bool) -> View | None:
        """What one rung makes of a document, or None; each of its tries is noted with what became of it."""
        asking = Asking(tier, text.id, text.turn, wait)
        wrong = ""
        for _ in range(1 if self.view.quality == "low" else min(self.view.attempts, tier.attempts)):
            started = time.perf_counter()
            try:
                draft = await gisting.draft(
                    text.source, text.budget, asking, temperature=self.view.temperature, seed=self.seed, wrong=wrong
                )
                content, verdict, mended = await self._checked(text.source, text.tokens, draft.text, text.budget, draft.run)
                if verdict.passed and self.policy.probes:
                    draft, verdict = await self._probed(text.source, content, draft, verdict, asking)
            except EngineError as error:
                tier.tally.failed += not isinstance(error, Closed | Resting)
                text.attempts.append(_tried(tier, "failed", started, error.message, cause(error)))
                return None
            if verdict.passed:
                tier.tally.kept += 1
                text.attempts.append(_tried(tier, "kept", started, mended, draft=draft))
                return await self._view("gist", text, content, verdict, _keys(text.source, draft.quotes))
            tier.tally.refused += 1
            wrong = refusal(verdict)
            check = next(check.name for check in verdict.checks if not check.passed)
            text.attempts.append(_tried(tier, "refused", started, wrong, f"fidelity {check}", draft))
        return None

    async def _probed(
        self, source: str, content: str, draft: gisting.Draft, verdict: Verdict, asking: Asking
    ) -> tuple[gisting.Draft, Verdict]:
        """The verdict with what the model could tell from the view alone, and the draft with what asking took."""
        made = await probing.probe(source, content, self.policy, asking, seed=self.seed)
        draft = dataclasses.replace(
            draft,
            prompt_tokens=draft.prompt_tokens + made.prompt_tokens,
            output_tokens=draft.output_tokens + made.output_tokens,
        )
        return draft, Verdict((*verdict.checks, made.check))

    async def _extract(self, source: str, source_tokens: int, budget: int) -> tuple[Attempt, str, Verdict]:
        started = time.perf_counter()
        # Sentences are chosen by their share of the characters; dense ones hold more tokens than that.
        content = await asyncio.to_thread(extracting.extract, source, int(budget * 0.85), source_tokens)
        content, verdict, mended = await self._checked(source, source_tokens, content, budget, None)
        outcome, reason = ("kept", mended) if verdict.passed else ("refused", refusal(verdict))
        return Attempt("extract", outcome, reason, seconds=time.perf_counter() - started), content, verdict

    async def _checked(
        self, source: str, source_tokens: int, content: str, budget: int, run: fidelity.Run | None
    ) -> tuple[str, Verdict, str]:
        """The text as it would be kept, its verdict, how it was mended: cut to the budget at sentences, must-keep facts
        appended by copy; if that is refused, with the source's own sentences in place of what cannot be trusted."""
        first: tuple[str, Verdict, str] | None = None
        how = ""
        for last in (False, True):
            candidate, tokens = await self._declared(source, source_tokens, content, budget)
            verdict = await asyncio.to_thread(
                fidelity.check,
                source,
                candidate,
                dataclasses.replace(self.policy, max_view_tokens=budget),
                run=run,
                view_tokens=tokens,
                source_tokens=source_tokens,
            )
            if verdict.passed:
                return candidate, verdict, how
            first = first or (candidate, verdict, "")
            mended = "" if last else repair.mended(source, content, verdict)
            if not mended:
                break
            content, how = mended, "mended: the source's own sentences for those that could not be trusted"
        assert first is not None
        return first

    async def _declared(self, source: str, source_tokens: int, content: str, budget: int) -> tuple[str, int]:
        """The text with its must-keep facts, within the budget: sentences from the end make room for them."""
        chars_per_token = len(source) / max(1, source_tokens)
        reserve = 0  # for the count of what is left out, known only once the rest is
        # Off the loop, as all that reads a text closely: here the source is analysed, which takes some milliseconds a page.
        left_out = await asyncio.to_thread(fidelity.left_out, source, content, self.policy)
        pinned = [fact.text for fact in left_out if fact.kind in fidelity.WHOLE]
        room = await self.tokens("\n".join(pinned)) if pinned else 0
        for _ in range(6):
            fitting = await self._fit(content, budget - reserve - room)
            spare = max(0, int((budget - reserve - await self.tokens(fitting)) * chars_per_token))
            candidate = await asyncio.to_thread(fidelity.declare, source, fitting, self.policy, spare)
            tokens = await self.tokens(candidate)
            if tokens <= budget:
                break
            reserve += tokens - budget + 2
        return candidate, tokens

    async def _fit(self, content: str, budget: int) -> str:
        """Whole sentences from the end are dropped until the rest is within the budget."""
        spans = fidelity.analyse(content).sentences
        while len(spans) > 1 and await self.tokens(content[: spans[-1].end]) > budget:
            spans = spans[:-1]
        return content[: spans[-1].end].removesuffix(extracting.GAP.rstrip()).rstrip() if spans else ""


def extract_of(source: str, view: ViewConfig, policy: Policy) -> tuple[str, Verdict] | None:
    """The extract that ``view=extract`` would keep or refuse for a text, and its verdict; None when the text is too short."""
    return asyncio.run(Ladder(view, policy).extract(source))


def _tried(
    tier: Tier, outcome: str, started: float, reason: str = "", why: str = "", draft: gisting.Draft | None = None
) -> Attempt:
    return Attempt(
        "gist",
        outcome,
        reason,
        draft.prompt_tokens if draft else 0,
        draft.output_tokens if draft else 0,
        time.perf_counter() - started,
        tier.name,
        tier.identity.model,
        tier.model_digest,
        why,
    )


def _keys(source: str, quotes: Sequence[str]) -> tuple[BoundFact, ...]:
    """Key facts of the model, at their place in the source."""
    return tuple(BoundFact("key", q, None, Span(source.index(q), source.index(q) + len(q))) for q in quotes)


def refusal(verdict: Verdict) -> str:
    """One line: each failed check with its first piece of evidence."""
    return "; ".join(f"{c.name}: {c.evidence[0].message if c.evidence else 'failed'}" for c in verdict.checks if not c.passed)
