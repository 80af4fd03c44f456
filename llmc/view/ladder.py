"""The ladder: one text after another goes from gist to extract to none, until a rung gives a view that passes the check.

A gist that is refused is first mended (sentences that were found wrong are left out, must-keep facts are appended by copy,
what is over the budget goes), then the model is asked once more and told what was wrong. An engine that dies is started again;
one that keeps dying is given up for the run, and extracts stand in. Every step is in the receipt.
"""

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from llmc import fidelity
from llmc.engine import Engine
from llmc.errors import EngineError, EngineUnavailable
from llmc.fidelity import Policy, Span, Verdict
from llmc.schema import ViewConfig
from llmc.view import Attempt, BoundFact, View, bind
from llmc.view import extract as extracting
from llmc.view import gist as gisting
from llmc.view.prompt import prompt_hash

MAX_LEFT_OUT = 50  # listed in a receipt; the view itself says how many there are
MAX_ENGINE_STARTS = 5  # in one run: an engine that dies more often than that is not coming back
ESTIMATED_BYTES_PER_TOKEN = 4  # only where no model is at hand to count; whatever shows it says "estimated"


def no_view(source_tokens: int, *attempts: Attempt) -> View:
    return View("none", None, source_tokens, source_tokens, attempts=attempts)


class Ladder:
    """Makes the view of one text after another; holds what they share: the engine, and whether it still answers."""

    def __init__(
        self,
        view: ViewConfig,
        policy: Policy,
        engine: Engine | None,
        why_no_engine: str,
        seed: int,
        on_warning: Callable[[str], None],
        on_tokens: Callable[[int], None] = lambda tokens: None,
    ) -> None:
        self._on_tokens = on_tokens
        self.view, self.policy, self.engine, self.seed = view, policy, engine, seed
        self.tokens_by = engine.model if engine else f"estimated, {ESTIMATED_BYTES_PER_TOKEN} bytes a token"
        self._down = why_no_engine if engine is None else ""
        self._starts = 0
        self._reviving = asyncio.Lock()
        self._on_warning = on_warning

    async def tokens(self, content: str) -> int:
        if self.engine is not None:
            try:
                return await self.engine.count_tokens(content)
            except EngineUnavailable as error:
                if await self._revive(error):
                    return await self.engine.count_tokens(content)
        return -(-len(content.encode()) // ESTIMATED_BYTES_PER_TOKEN)

    def receipt(self, view: View, sha256: str, config: str) -> dict[str, Any]:
        """What is recorded beside a view: with what it was made, so that it could be made again."""
        used = self.engine if any(a.prompt_tokens for a in view.attempts) else None
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

    async def make(self, source: str) -> View:
        view = self.view
        source_tokens = await self.tokens(source)
        if source_tokens < view.min_source_tokens:
            reason = f"short: {source_tokens} tokens are fewer than view.min_source_tokens={view.min_source_tokens}"
            return no_view(source_tokens, Attempt("none", "kept", reason))
        budget = self._budget(source_tokens)
        attempts: list[Attempt] = []
        if view.name == "gist":
            async for attempt, candidate, verdict, keys in self._gists(source, source_tokens, budget):
                attempts.append(attempt)
                if attempt.outcome == "kept" and verdict:
                    return await self._view("gist", source, source_tokens, candidate, verdict, attempts, keys)
        attempt, candidate, verdict = await self._extract(source, source_tokens, budget)
        attempts.append(attempt)
        if attempt.outcome == "kept":
            return await self._view("extract", source, source_tokens, candidate, verdict, attempts)
        attempts.append(Attempt("none", "kept", "nothing passed the check"))
        return dataclasses.replace(no_view(source_tokens, *attempts), verdict=verdict)

    async def extract(self, source: str) -> tuple[str, Verdict] | None:
        source_tokens = await self.tokens(source)
        if source_tokens < self.view.min_source_tokens:
            return None
        _, content, verdict = await self._extract(source, source_tokens, self._budget(source_tokens))
        return content, verdict

    def _budget(self, source_tokens: int) -> int:
        floor = min(self.view.min_tokens, source_tokens // 2)
        return int(min(self.view.max_tokens, max(source_tokens / self.view.target_ratio, floor)))

    async def _view(
        self,
        kind: str,
        source: str,
        source_tokens: int,
        content: str,
        verdict: Verdict,
        attempts: list[Attempt],
        keys: tuple[BoundFact, ...] = (),
    ) -> View:
        left_out = tuple(fidelity.left_out(source, content, self.policy)[:MAX_LEFT_OUT])
        tokens = await self.tokens(content)
        return View(kind, content, source_tokens, tokens, (*bind(source, content), *keys), left_out, verdict, tuple(attempts))

    async def _gists(
        self, source: str, source_tokens: int, budget: int
    ) -> AsyncIterator[tuple[Attempt, str, Verdict | None, tuple[BoundFact, ...]]]:
        """Each try of the model with its verdict, until one is kept or there is nothing more to try."""
        view, engine = self.view, self.engine
        if engine is None or self._down:
            yield Attempt("gist", "failed", self._down), "", None, ()
            return
        if source_tokens > view.max_source_tokens:
            reason = f"{source_tokens} tokens are more than view.max_source_tokens={view.max_source_tokens}"
            yield Attempt("gist", "skipped", reason), "", None, ()
            return
        wrong = ""
        for _ in range(view.attempts):
            started = time.perf_counter()
            try:
                draft = await self._draft(engine, source, budget, wrong)
            except EngineError as error:
                yield Attempt("gist", "failed", error.message, seconds=time.perf_counter() - started), "", None, ()
                return
            content, verdict = await self._checked(source, source_tokens, draft.text, budget, draft.run)
            self._on_tokens(draft.prompt_tokens + draft.output_tokens)
            took = (draft.prompt_tokens, draft.output_tokens, time.perf_counter() - started)
            if verdict.passed:
                keys = tuple(BoundFact("key", q, None, Span(source.index(q), source.index(q) + len(q))) for q in draft.quotes)
                yield Attempt("gist", "kept", "", *took), content, verdict, keys
                return
            wrong = refusal(verdict)
            yield Attempt("gist", "refused", wrong, *took), content, verdict, ()

    async def _draft(self, engine: Engine, source: str, budget: int, wrong: str) -> gisting.Draft:
        for revived in (False, True):
            try:
                return await gisting.draft(
                    source, budget, engine, temperature=self.view.temperature, seed=self.seed, wrong=wrong
                )
            except EngineUnavailable as error:
                if revived or not await self._revive(error):
                    raise
        raise AssertionError("unreachable")

    async def _extract(self, source: str, source_tokens: int, budget: int) -> tuple[Attempt, str, Verdict]:
        started = time.perf_counter()
        # Sentences are chosen by their share of the characters; dense ones hold more tokens than that.
        content = await asyncio.to_thread(extracting.extract, source, int(budget * 0.85), source_tokens)
        content, verdict = await self._checked(source, source_tokens, content, budget, None)
        outcome, reason = ("kept", "") if verdict.passed else ("refused", refusal(verdict))
        return Attempt("extract", outcome, reason, seconds=time.perf_counter() - started), content, verdict

    async def _checked(
        self, source: str, source_tokens: int, content: str, budget: int, run: fidelity.Run | None
    ) -> tuple[str, Verdict]:
        """The text as it would be kept, with its verdict: cut to the budget at sentences, must-keep facts appended by copy;
        if that is refused, once more without the sentences that were found wrong."""
        best: tuple[str, Verdict] | None = None
        for _ in range(2):
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
            if verdict.passed or best is None:
                best = candidate, verdict
            if verdict.passed:
                break
            repaired = without_wrong_sentences(content, verdict)
            if not repaired or repaired == content:
                break
            content = repaired
        assert best is not None
        return best

    async def _declared(self, source: str, source_tokens: int, content: str, budget: int) -> tuple[str, int]:
        """The text with its must-keep facts, within the budget: sentences from the end make room for them."""
        chars_per_token = len(source) / max(1, source_tokens)
        reserve = 0  # for the count of what is left out, known only once the rest is
        for _ in range(6):
            fitting = await self._fit(content, budget - reserve)
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

    async def _revive(self, error: EngineUnavailable) -> bool:
        """Start a dead engine again; False when it stays down, which every later document is then told at once."""
        assert self.engine is not None
        async with self._reviving:
            if self._down:
                return False
            if (await self.engine.health()).ok:
                return True  # another document has done it
            self._starts += 1
            if self._starts > MAX_ENGINE_STARTS:
                self._down = f"{error.message}, for the {self._starts}th time: given up for this run"
                self._on_warning(self._down)
                return False
            self._on_warning(f"{error.message}: starting it again")
            try:
                await asyncio.to_thread(self.engine.__exit__, None, None, None)
                await asyncio.to_thread(self.engine.__enter__)
            except EngineUnavailable as again:
                self._down = again.message
                self._on_warning(f"it does not start again: {again.message}")
                return False
            return True


def extract_of(source: str, view: ViewConfig, policy: Policy) -> tuple[str, Verdict] | None:
    """The extract that ``view=extract`` would keep or refuse for a text, and its verdict; None when the text is too short."""
    maker = Ladder(view, policy, None, "", 0, lambda warning: None)
    return asyncio.run(maker.extract(source))


def refusal(verdict: Verdict) -> str:
    """One line: each failed check with its first piece of evidence."""
    return "; ".join(f"{c.name}: {c.evidence[0].message if c.evidence else 'failed'}" for c in verdict.checks if not c.passed)


def without_wrong_sentences(content: str, verdict: Verdict) -> str:
    """The view less every sentence that a failed check points at; ``""`` when a failure has no place in the view."""
    spans = []
    for check in verdict.checks:
        if not check.passed:
            places = [e.view for e in check.evidence if e.view is not None]
            if not places:
                return ""
            spans.extend(places)
    sentences = fidelity.analyse(content).sentences
    kept = [s for s in sentences if not any(p.start < s.end and s.start < p.end for p in spans)]
    return " ".join(content[s.start : s.end] for s in kept)
