"""dry_run=true says what a run may cost before it is started."""

import pytest
from rows_to_record import event, run

from llmc.ledger import Ledger
from llmc.ledger.preflight import Asked, preflight
from llmc.schema import BudgetConfig, LimitConfig, PowerConfig, PriceConfig, RunConfig

ASKED = Asked("openai", "gpt-4o-mini", prompt_tokens=1000, answer_tokens=100, most_answer_tokens=300, attempts=2)


@pytest.fixture
def config(tmp_path):
    def made(**changes) -> RunConfig:
        return RunConfig(price=PriceConfig("list"), power=PowerConfig("auto"), ledger=str(tmp_path / "l.sqlite3"), **changes)

    return made


def test_the_cost_of_asking_once_and_of_asking_as_often_as_may_be(config, tmp_path):
    said = preflight(config(), 10_000, ASKED)
    assert "openai/gpt-4o-mini: about $2.10 if every document goes there once, at most $6.60 with 2 attempts each" in said
    assert "estimated tokens, genai-prices==" in said
    assert "about $0.0021 if" in preflight(config(), 10, ASKED)
    assert list(tmp_path.iterdir()) == []


def test_at_most_counts_the_chunks_of_long_documents_and_the_probes(config):
    more = Asked("openai", "gpt-4o-mini", 1000, 100, 300, 2, more_requests=5_000, probe=(400, 100))
    said = preflight(config(), 10_000, more)
    # a request is at most $0.00033, a probe $0.00012: (15,000 x 33 + 10,000 x 12) x 2 attempts
    assert "about $3.15 if every document goes there once (long ones in 15000 requests together), at most $12.30" in said
    assert "with 2 attempts each and their probes" in said


def test_budgets_that_would_not_last_are_named_with_what_is_used_of_them(config, tmp_path):
    with Ledger.open(tmp_path / "l.sqlite3") as ledger:
        ledger.start(run())
        ledger.record(event(cost_pico=4 * 10**12))
    budget = BudgetConfig("b", run=LimitConfig(usd="1"), project=LimitConfig(usd="9"), model=LimitConfig(usd="5", period="all"))
    said = preflight(config(budget=budget), 10_000, ASKED)
    assert "; budget.run.usd=1 would stop it; budget.model.usd=5 ($4.00 of it used) would stop it" in said
    assert "budget.project" not in said


def test_limits_of_requests_and_tokens_would_stop_it_too(config, tmp_path):
    with Ledger.open(tmp_path / "l.sqlite3") as ledger:
        ledger.start(run())
        ledger.record(event(prompt_tokens=900, output_tokens=100))
    budget = BudgetConfig(
        "b", run=LimitConfig(requests=9, tokens=11_000), day=LimitConfig(requests=11),
        model=LimitConfig(tokens=11_000, period="all"),
    )  # fmt: skip
    said = preflight(config(budget=budget), 10, ASKED)
    assert said.partition("; ")[2] == (
        "budget.run.requests=9 would stop it; budget.model.tokens=11000 (1,000 of it used) would stop it"
    )


def test_what_is_not_known_is_said(config):
    unknown = Asked("openai", "my-model", 1000, 100, 300, 2)
    assert "openai/my-model: no price is known (genai-prices==" in preflight(config(), 1, unknown)
    config_batch = config()
    config_batch.price.variant = "btach"
    assert "not at the btach price" in preflight(config_batch, 1, ASKED)


def test_the_plan_of_compress_says_it(llmc_inside, corpus, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "not used")
    words = ["compress", f"input={corpus}", "output=o.llmc", "profile=cloud", "provider=openai", "dry_run=true"]
    assert "if every document goes there once" in llmc_inside(*words).ok().stdout
    (llmc_inside.cwd / "long.txt").write_text("The lease was renewed until 2029. " * 20_000)  # 170,000 tokens
    assert "long ones" not in llmc_inside(*words).ok().stdout
    words[1] = "input=long.txt"
    assert "(long ones in 2 requests together)" in llmc_inside(*words, "provider.context_tokens=128000").ok().stdout
    assert "attempts each and their probes" in llmc_inside(*words, "policy.probes=2").ok().stdout
    assert "goes there" not in llmc_inside(*words, "view=extract").ok().stdout
    assert not (llmc_inside.cwd / "o.llmc").exists()
