"""The rungs that a configuration means: their order, their numbers, and what is left out and why."""

import json
from pathlib import Path

import pytest

from llmc import schema
from llmc.errors import EngineUnavailable, UsageError
from llmc.model import weights
from llmc.route import rungs
from llmc.schema import RunConfig


@pytest.fixture
def configured(composed, monkeypatch, tmp_path):
    monkeypatch.setenv("LLMC_HOME", str(tmp_path))
    return lambda *words: schema.typed(composed("target=compress", "engine=embedded", "backend=cpu", *words))


def here(config: RunConfig, name: str) -> None:
    """As if the weights of a rung had been pulled."""
    rung = next(r for r in rungs.rungs(config) if r.name == name)
    wanted = weights(rung.config)
    path = wanted.path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"GGUF")
    stamp = {"bytes": 4, "mtime_ns": path.stat().st_mtime_ns, "sha256": wanted.file.sha256 or f"{name}-sha256"}
    Path(f"{path}.json").write_text(json.dumps(stamp))


def names(config: RunConfig) -> list[str]:
    return [rung.name for rung in rungs.rungs(config) if not rung.absent]


@pytest.mark.parametrize(
    ("words", "there"),
    [
        (["profile=local"], ["local"]),
        (["profile=baseline"], ["local"]),
        (["profile=cloud"], ["cloud", "local"]),
        (["profile=hybrid"], ["local", "cloud"]),
        (["profile=hybrid", "view.quality=high"], ["cloud", "local"]),
        (["profile=local", "view.quality=high"], ["local"]),
        (["profile=hybrid", "view.quality=low"], ["local"]),
        (["profile=cloud", "view.quality=low"], ["cloud"]),
        (["profile=hybrid", "engine=openai"], ["cloud"]),  # chosen by hand: it is what the rung cloud is already
        (["profile=hybrid", "profile.ladder=[cloud]"], ["cloud"]),
    ],
)
def test_the_profile_and_the_quality_say_who_is_asked_and_in_which_order(configured, words, there):
    config = configured("model=smollm", *words)
    here(config, "local") if "engine=openai" not in words and "profile.ladder=[cloud]" not in words else None
    assert names(config) == there


def test_other_local_models_come_last_and_only_if_their_weights_are_here(configured):
    config = configured("model=smollm", "profile=hybrid")
    here(config, "local")
    assert names(config) == ["local", "cloud"]
    absent = {r.name: r.absent for r in rungs.rungs(config) if r.absent}
    assert absent["qwen"] == "its weights are not here (llmc pull model=qwen)"
    here(config, "llama")
    here(config, "gemma")
    assert names(config) == ["local", "cloud", "llama", "gemma"]
    made = rungs.tiers(config)
    digests = [t.model_digest for t in made]
    assert digests[0].startswith("b179c9523d0e")  # conf/model/smollm.yaml
    assert digests[1:] == ["openai:gpt-4.1-mini", "llama-sha256", "gemma-sha256"]


def test_a_model_chosen_by_hand_is_the_first_and_is_not_asked_twice(configured):
    config = configured("model=qwen", "profile=local")
    here(config, "local")
    found = rungs.rungs(config)
    assert names(config) == ["local"]
    assert found[0].identity.model == "qwen2.5-7b-instruct"
    assert next(r for r in found if r.name == "qwen").absent == "it is what local is already"


def test_hybrid_holds_other_numbers_for_each_rung(configured):
    config = configured("profile=hybrid")
    here(config, "local")
    local, cloud = rungs.tiers(config)
    assert (local.batch, local.concurrency, cloud.batch, cloud.concurrency) == (32, 8, 16, 4)
    assert (local.local, cloud.local) == (True, False)
    assert (local.limit._most, cloud.limit._most) == (None, 16)
    tuned = configured("profile=hybrid", "profile.rungs.cloud.concurrency=9")
    assert rungs.tiers(tuned)[-1].concurrency == 9


def test_the_baseline_asks_one_document_after_the_other(configured):
    config = configured("profile=baseline")
    here(config, "local")
    (tier,) = rungs.tiers(config)
    assert (tier.batch, tier.concurrency) == (1, 1)


def test_why_the_local_model_did_not_start_closes_its_rung(configured):
    config = configured("profile=hybrid")
    local, cloud = rungs.tiers(config, why_not_deployed="it needs the package xllamacpp")
    assert local.why_closed == "it needs the package xllamacpp"
    assert not cloud.why_closed


def test_a_fallback_that_does_not_fit_beside_what_runs_is_not_started(configured):
    config = configured("profile=local", "profile.rungs.qwen.model.files.q4_k_m.bytes=9000000000000")
    here(config, "local")
    here(config, "qwen")
    qwen = next(t for t in rungs.tiers(config) if t.name == "qwen")
    assert qwen.open is not None
    with pytest.raises(EngineUnavailable, match=r"qwen2.5-7b-instruct needs \d+ MiB, \d+ MiB are free"):
        qwen.open()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["view.quality=best"], "view.quality=best is none of low, standard, high"),
        (["route=dice"], "route=dice is none of rules, history"),
        (["profile.ladder=[local,moon]"], "profile.ladder names 'moon'; known are local, qwen"),
        (["engine=openai"], "profile=local opens no connection to api.openai.com"),
        (["profile=hybrid", "provider=gateway"], "provider=gateway has no address"),
    ],
)
def test_what_means_nothing_is_said_before_anything_is_started(configured, words, said):
    with pytest.raises(UsageError, match=said):
        rungs.rungs(configured("profile=local", *words))


def test_what_a_model_may_spend_on_thinking_is_known_to_its_rung(configured):
    words = ("profile=hybrid", "profile.ladder=[cloud]", "provider.reasoning_tokens=1000")
    assert [tier.reasoning_tokens for tier in rungs.tiers(configured(*words))] == [1000]


def test_weights_that_an_engine_holds_itself_go_by_their_name(composed):
    digests = [
        rungs.tiers(schema.typed(composed("target=compress", "engine=ollama", "backend=cpu", f"model={name}")))[0].model_digest
        for name in ("qwen", "gemma")
    ]
    assert len({*digests, ""}) == 3


def test_the_quantisation_that_is_asked_for_holds_for_other_models_that_have_it(configured):
    words = ["model@profile.rungs.gemma.model=gemma_270m", "profile.ladder=[local,gemma,qwen]"]
    config = configured("model=smollm", "quant=q4_1", *words)
    here(config, "gemma")
    assert [str(tier.identity) for tier in rungs.tiers(config)] == ["gemma-3-270m q4_k_m cpu (embedded)"]
    quants = {rung.name: rung.identity.quant for rung in rungs.rungs(configured("model=llama", "quant=q8_0", *words))}
    assert quants == {"local": "q8_0", "gemma": "q4_k_m", "qwen": "q8_0"}
