"""A text is asked for once: again in the next run from the cache, for a near-duplicate with the same facts, never unchecked."""

import json
import sqlite3
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from route.falling import cloud
from test_pipeline import GOOD, MINUTES, Scripted, outcomes, says, views

from llmc import pipeline
from llmc.cache import ViewCache
from llmc.codec.zstd import Zstd
from llmc.documents import Selection
from llmc.engine import Message
from llmc.errors import EngineError
from llmc.fidelity import Policy
from llmc.fidelity.probes import BLANK, probes
from llmc.pipeline import Summary
from llmc.route.tier import Tier
from llmc.schema import ViewConfig
from llmc.view.ladder import Ladder
from llmc.view.reuse import Reuse

# The same minutes with another greeting: nearly the same words, exactly the same facts.
GREETED = "Dear members, here is what happened. " + MINUTES
OTHER_RENT = MINUTES.replace("4,850", "4,950")


class Counting(Scripted):
    """Knows how often it was asked anything at all."""

    asked = 0

    async def count_tokens(self, text: str) -> int:
        self.asked += 1
        return await super().count_tokens(text)


class Runner:
    """Compresses folders into archives of their own, all with one cache."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs = 0

    def __call__(
        self,
        documents: dict[str, str],
        *,
        answer: Any = lambda messages, n: says(GOOD),
        similarity: float | None = None,
        seed: int = 1,
        unknown_weights_of: str = "",
        policy: Policy | None = None,
        **view: Any,
    ) -> tuple[dict[str, Any], Counting, Summary]:
        self.runs += 1
        source = self.folder / f"in-{self.runs}"
        source.mkdir()
        for name, text in documents.items():
            (source / name).write_text(text)
        engine = Counting(answer)
        if unknown_weights_of:
            engine.model, engine.model_digest = unknown_weights_of, ""
        archive = self.folder / f"{self.runs}.llmc"
        warnings: list[str] = []
        with ViewCache(self.folder / "cache", on_warning=warnings.append) as cache:
            ladder = Ladder(
                ViewConfig(name="gist", needs_engine=True, **{"target_ratio": 3, **view}),
                policy or Policy(),
                [Tier.of(engine)],
                seed=seed,
                reuse=Reuse(cache, similarity=similarity),
            )
            summary = pipeline.compress(Selection(str(source)), archive, Zstd(), ladder)
        summary.warnings += warnings
        return views(archive), engine, summary


@pytest.fixture
def compress(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


def test_the_second_run_has_every_view_from_the_cache_and_asks_nothing(compress: Runner):
    documents = {f"{i}.md": f"Document number {i} of the file. " + MINUTES for i in range(4)} | {"short.txt": "Milk, eggs."}
    first, asked, summary = compress(documents)
    assert len(asked.prompts) == 4
    assert (summary.reused.lookups, summary.reused.hits) == (5, 0)
    second, engine, summary = compress(documents)
    assert (engine.prompts, engine.asked) == ([], 0)
    assert (summary.reused.lookups, summary.reused.hits, summary.reused.hit_rate) == (5, 5, 1.0)
    assert summary.reused.saved_output_tokens == sum(v.attempts[-1].output_tokens for v in first.values())
    assert (summary.prompt_tokens, summary.output_tokens) == (0, 0)
    for name, view in second.items():
        assert (view.kind, view.text, view.tokens, view.facts) == (
            first[name].kind, first[name].text, first[name].tokens, first[name].facts,
        )  # fmt: skip
        assert view.attempts[-1].outcome == "cached"
        assert view.attempts[-1].by == first[name].attempts[-1].by
    assert summary.gists_by == {"scripted-1 (local)": 4}


def test_what_the_model_could_not_do_is_not_tried_again_either(compress: Runner):
    lie = "The association was sold to a bank in Zurich for 98 million dollars in 1987 after a long strike."
    first, _, _ = compress({"a.md": MINUTES}, answer=lambda messages, n: says(lie))
    second, engine, summary = compress({"b.md": MINUTES}, answer=lambda messages, n: says(lie))
    assert engine.prompts == []
    assert outcomes(second["b.md"]) == [("gist", "refused"), ("gist", "refused"), ("extract", "cached")]
    assert second["b.md"].text == first["a.md"].text
    assert summary.steps_down == {}  # it was left in the run before, not in this one


@pytest.mark.parametrize("change", [{"seed": 2}, {"target_ratio": 4}, {"temperature": 0.5}])
def test_other_settings_are_another_view(compress: Runner, change: dict[str, Any]):
    compress({"a.md": MINUTES})
    _, engine, _ = compress({"a.md": MINUTES}, **change)
    assert len(engine.prompts) == 1


def test_of_models_whose_weights_are_not_known_the_name_counts(compress: Runner):
    asked = [len(compress({"a.md": MINUTES}, unknown_weights_of=name)[1].prompts) for name in ("one", "two", "one")]
    assert asked == [1, 1, 0]


def test_two_gateways_with_a_model_of_the_same_name_share_no_view(fake, tmp_path: Path):
    (tmp_path / "a.md").write_text(MINUTES)
    first, second = fake("cloud"), fake("cloud")
    for n, server in enumerate((first, second, first)):
        with ViewCache(tmp_path / "cache") as cache:
            view = ViewConfig(name="gist", needs_engine=True, target_ratio=3)
            ladder = Ladder(view, Policy(), [cloud(server.url)], reuse=Reuse(cache))
            pipeline.compress(Selection(str(tmp_path / "a.md")), tmp_path / f"{n}.llmc", Zstd(), ladder)
    assert [len(server.log) for server in (first, second)] == [1, 1]


def test_what_an_engine_failed_at_is_asked_again(compress: Runner):
    compress({"a.md": MINUTES}, answer=lambda messages, n: EngineError("answered 500: out of memory"))
    made, engine, summary = compress({"a.md": MINUTES})
    assert (len(engine.prompts), made["a.md"].kind, summary.reused.hits) == (1, "gist", 0)


def test_a_view_planted_in_the_cache_is_found_out_and_made_anew(compress: Runner, tmp_path: Path):
    first, _, _ = compress({"a.md": MINUTES})
    with sqlite3.connect(tmp_path / "cache" / "cache.db") as database:
        ((value,),) = database.execute("SELECT value FROM Cache").fetchall()
        planted = value.replace(b"4,850 EUR", b"9,990 EUR").replace(b"is not covered", b"is covered")
        assert planted != value
        database.execute("UPDATE Cache SET value = ?", (planted,))
    database.close()
    second, engine, summary = compress({"a.md": MINUTES})
    assert second["a.md"].text == first["a.md"].text
    assert (len(engine.prompts), summary.reused.hits, summary.reused.refused) == (1, 0, 0)
    assert len(summary.warnings) == 1
    assert "a view that llmc did not put there" in summary.warnings[0]
    _, engine, summary = compress({"a.md": MINUTES})  # and what was planted is gone
    assert (engine.prompts, summary.reused.hits) == ([], 1)


def test_a_text_that_comes_twice_in_one_run_is_asked_for_once_even_at_the_same_time(compress: Runner):
    made, engine, summary = compress({f"{i}.md": MINUTES for i in range(6)})
    assert len(engine.prompts) == 1
    assert summary.reused.repeated == 5
    assert len({view.text for view in made.values()}) == 1
    assert sorted(view.attempts[-1].outcome for view in made.values()) == ["cached"] * 5 + ["kept"]


def test_one_of_the_same_text_that_fails_leaves_the_next_to_try(compress: Runner):
    made, engine, _ = compress(
        {f"{i}.md": MINUTES for i in range(3)},
        answer=lambda messages, n: EngineError("answered 500: out of memory") if n == 1 else says(GOOD),
    )
    assert len(engine.prompts) == 2
    assert sorted(view.kind for view in made.values()) == ["extract", "gist", "gist"]


def test_a_near_duplicate_with_the_same_facts_shares_the_gist_and_it_is_checked(compress: Runner):
    made, engine, summary = compress({"a.md": MINUTES, "b.md": GREETED}, similarity=0.85)
    assert len(engine.prompts) == 1
    assert summary.reused.shared == 1
    (shared,) = [v for v in made.values() if v.attempts[-1].outcome == "shared"]
    (own,) = [v for v in made.values() if v.attempts[-1].outcome == "kept"]
    assert shared.text == own.text
    assert shared.verdict is not None
    assert shared.verdict.passed
    assert "alike, with the same facts" in shared.attempts[-1].reason


@pytest.mark.parametrize(("other", "similarity"), [(OTHER_RENT, 0.85), (GREETED, None), (GREETED, 1.0)])
def test_another_fact_or_too_little_likeness_and_nothing_is_shared(compress: Runner, other: str, similarity: float | None):
    _, engine, summary = compress({"a.md": MINUTES, "b.md": other}, similarity=similarity)
    assert len(engine.prompts) == 2
    assert summary.reused.shared == 0


def test_a_near_duplicate_whose_facts_are_the_same_but_whose_sense_is_not_is_refused(compress: Runner):
    flipped = MINUTES.replace("is not covered by the insurance", "is covered by the insurance")

    def answer(messages: Sequence[Message], n: int) -> str:
        return says(GOOD if "is not covered by" in messages[-1].content else GOOD.replace("is not covered", "is covered"))

    made, _, _ = compress({"a.md": MINUTES, "b.md": flipped}, similarity=0.85, answer=answer)
    assert "is not covered" in made["a.md"].text
    assert "is not covered" not in made["b.md"].text


def test_a_near_duplicate_is_asked_its_own_blanks(compress: Runner):
    def answer(messages: Sequence[Message], n: int) -> str:
        asked = messages[-1].content
        if BLANK not in asked:
            return says(GOOD)
        view = asked.partition("<text>\n")[2].partition("\n</text>")[0]
        return json.dumps({"answers": [probe.answer for probe in probes(MINUTES, view, 2, seed=1)]})

    made, engine, summary = compress(
        {"a.md": MINUTES, "b.md": GREETED}, similarity=0.85, answer=answer, policy=Policy(probes=2)
    )
    assert (summary.reused.shared, len(engine.prompts)) == (0, 4)
    assert [view.verdict.checks[-1].name for view in made.values() if view.verdict] == ["probes", "probes"]


def test_a_near_duplicate_of_what_the_cache_had_shares_it_too(compress: Runner):
    compress({"a.md": MINUTES}, similarity=0.85)
    made, engine, summary = compress({"a.md": MINUTES, "b.md": GREETED}, similarity=0.85)
    assert (engine.prompts, summary.reused.hits, summary.reused.shared) == ([], 1, 1)
    assert made["b.md"].attempts[-1].outcome == "shared"
    _, engine, summary = compress({"b.md": GREETED}, similarity=0.85)
    assert (engine.prompts, summary.reused.hits) == ([], 1)


def test_the_same_command_again_makes_nothing_of_what_was_shared(compress: Runner, tmp_path: Path):
    compress({"a.md": MINUTES, "b.md": GREETED, "c.md": MINUTES}, similarity=0.85)
    engine = Scripted(lambda messages, n: says(GOOD))
    ladder = Ladder(ViewConfig(name="gist", needs_engine=True, target_ratio=3), Policy(), [Tier.of(engine)])
    summary = pipeline.compress(Selection(str(tmp_path / "in-1")), tmp_path / "1.llmc", Zstd(), ladder)
    assert (summary.documents_viewed, engine.prompts) == (0, [])


@pytest.mark.slow
def test_the_command_line_has_the_cache_and_shares_it_between_archives(llmc_inside, fake, tmp_path: Path):
    server = fake("cloud", "--cost")
    (tmp_path / "in").mkdir()
    for i in range(3):
        (tmp_path / "in" / f"{i}.md").write_text(f"Document number {i} of the file. " + MINUTES)
    words = [
        "compress", f"input={tmp_path / 'in'}", "profile=cloud", "profile.ladder=[cloud]", "similarity=null",
        "provider=gateway", f"provider.base_url={server.url}/v1", "provider.model=fake",
    ]  # fmt: skip
    env = {"LLMC_HOME": str(tmp_path / "home")}

    def run(name: str, *more: str) -> tuple[dict[str, Any], int]:
        before = len(server.log)
        said = llmc_inside(*words, f"output={tmp_path / name}", *more, env=env).ok().json
        return said["run"]["reused"], len(server.log) - before

    reused, asked = run("a.llmc")
    assert (reused["lookups"], reused["hits"]) == (3, 0)
    assert asked >= 3
    reused, asked = run("b.llmc")
    assert (reused["lookups"], reused["hits"], reused["hit_rate"], asked) == (3, 3, 1.0, 0)
    assert reused["saved_prompt_tokens"] > 0
    prompt, output = reused["saved_prompt_tokens"], reused["saved_output_tokens"]
    assert Decimal(reused["saved_usd"]) == Decimal("0.15e-6") * prompt + Decimal("0.60e-6") * output  # the server's prices
    assert reused["saved_unpriced"] == 0
    reused, asked = run("c.llmc", "cache.enabled=false")
    assert (reused["lookups"], asked >= 3) == (0, True)
    table = llmc_inside(*words, f"output={tmp_path / 'd.llmc'}", "format=table", env=env).ok().stdout
    assert "3 of 3 views were in the cache (100%)" in table
    assert "tokens and <$0.01 saved" in " ".join(table.split())
    (tmp_path / "home" / "cache" / "views" / "cache.db").write_bytes(b"not a database" * 1000)
    for suffix in ("-wal", "-shm"):
        (tmp_path / "home" / "cache" / "views" / f"cache.db{suffix}").unlink(missing_ok=True)
    said = llmc_inside(*words, f"output={tmp_path / 'e.llmc'}", env=env).ok().json
    assert len([w for w in said["run"]["warnings"] if "the cache" in w]) == 1
    assert said["stats"]["views"] == {"gist": 3}
    kept = llmc_inside("clean", env=env).ok().json["kept"]
    assert next(row for row in kept if row["what"] == "cache")["files"] >= 1
