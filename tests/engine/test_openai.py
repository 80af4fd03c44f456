"""engine=openai against a server that speaks the interface: what it asks, what it reads, and what it never shows."""

import asyncio
from decimal import Decimal

import pytest

from llmc import engine as engines
from llmc import schema
from llmc.engine import Message
from llmc.engine.openai import OpenAI
from llmc.errors import EngineDenied, EngineError, UsageError
from llmc.schema import ProviderConfig
from llmc.view import prompt

ASK = [
    Message("system", "Be brief."),
    Message("user", "Shorten this.\n<text>\nThe rent is 4,850 EUR. It rises in May.\n</text>"),
]


def provider(url, **options):
    return ProviderConfig(
        **{"name": "fake", "base_url": f"{url}/v1", "model": "fake-mini", "source": "-", "checked": "-", **options}
    )


def engine(url, **options):
    return OpenAI(provider(url, **options), slots=4, timeout_seconds=5, offline=True)


def ask(made, times=1):
    async def every():
        try:
            options = {"max_tokens": 50, "schema": prompt.schema(100), "seed": 7}
            return await asyncio.gather(*(made.generate(ASK, **options) for _ in range(times)))
        finally:
            await made.aclose()

    with made:
        return asyncio.run(every())


def test_an_answer_carries_what_it_took_what_it_cost_and_who_gave_it(fake):
    server = fake("cloud", "--cost", "--serve-as", "fake-mini-2026-11-01", "--lengths")
    answer = ask(engine(server.url))[0]
    assert answer.text == '{"summary": "The rent is 4,850 EUR. It rises in May.", "facts": []}'
    assert (answer.finish_reason, answer.served_model) == ("stop", "fake-mini-2026-11-01")
    assert answer.request_id.startswith("req_")
    assert answer.prompt_tokens > 0
    assert answer.cost_usd == pytest.approx(
        Decimal(answer.prompt_tokens) * Decimal("0.15e-6") + answer.output_tokens * Decimal("0.60e-6")
    )
    assert isinstance(answer.cost_usd, Decimal)
    body = server.log[0]["body"]
    assert (body["model"], body["max_completion_tokens"], body["seed"], body["temperature"]) == ("fake-mini", 50, 7, 0.0)
    assert body["response_format"]["json_schema"]["schema"]["properties"]["summary"]["maxLength"] == 100


def test_a_server_that_does_not_say_what_it_costs_leaves_that_open(fake):
    assert ask(engine(fake("cloud", "--lengths").url))[0].cost_usd is None


@pytest.mark.parametrize(
    ("flags", "requests", "last"),
    [
        (["--lengths"], 1, "json_schema"),
        ([], 2, "json_schema"),
        (["--formats", "json_object"], 3, "json_object"),
        (["--formats", "-"], 4, None),
        (["--lengths", "--tokens-field", "max_tokens"], 2, "json_schema"),
        (["--lengths", "--no-temperature"], 2, "json_schema"),
        (["--formats", "json_object", "--tokens-field", "max_tokens", "--no-temperature"], 5, "json_object"),
    ],
)
def test_what_a_server_refuses_by_name_is_left_out_from_then_on(fake, flags, requests, last):
    server = fake("cloud", *flags)
    made = engine(server.url)
    answers = ask(made)
    assert len(server.log) == requests
    answers += ask(made)
    assert len(server.log) == requests + 1
    assert {a.text for a in answers} == {'{"summary": "The rent is 4,850 EUR. It rises in May.", "facts": []}'}
    body = server.log[-1]["body"]
    assert (body.get("response_format") or {}).get("type") == last
    if last != "json_schema":
        assert '"summary": {"type": "string"}' in body["messages"][0]["content"]


def test_many_requests_at_once_learn_a_dialect_together(fake):
    server = fake("cloud", "--formats", "json_object", "--service-seconds", 0.02)
    assert len(ask(engine(server.url), times=8)) == 8
    assert [line["body"]["response_format"]["type"] for line in server.log][-1] == "json_object"


def test_a_400_about_something_else_is_an_error_at_once(fake):
    server = fake("cloud", "--lengths", "--fault", "400")
    with pytest.raises(EngineError, match="Invalid value for 'messages'"):
        ask(engine(server.url))
    assert len(server.log) == 1


def test_the_key_comes_from_the_environment_and_is_never_shown(fake, monkeypatch):
    server = fake("cloud", "--key", "right", "--lengths")
    made = engine(server.url, key_env="SOME_API_KEY")
    monkeypatch.delenv("SOME_API_KEY", raising=False)
    with pytest.raises(EngineDenied, match="SOME_API_KEY is not set") as missing:
        ask(made)
    assert missing.value.hint == "export SOME_API_KEY=…"
    monkeypatch.setenv("SOME_API_KEY", "right")
    assert ask(made)
    monkeypatch.setenv("SOME_API_KEY", "wrong")  # five letters, which this server quotes in its message
    with pytest.raises(EngineDenied, match="answered 401") as denied:
        ask(made)
    assert "wrong" not in str(denied.value) + repr(denied.value) + denied.value.message
    assert "SOME_API_KEY" in denied.value.hint


def test_a_model_that_thinks_has_room_for_it(fake):
    server = fake("cloud", "--lengths")
    ask(engine(server.url, reasoning_tokens=1000, extra={"reasoning_effort": "low"}))
    body = server.log[0]["body"]
    assert (body["max_completion_tokens"], body["reasoning_effort"]) == (1050, "low")


@pytest.mark.parametrize("fault", ["cost-words", "usage-list", "parts", "no-choices", "not-json"])
def test_an_answer_of_another_form_is_an_error_of_the_server(fake, fault):
    with pytest.raises(EngineError, match=r"^http://127\.0\.0\.1:\d+\S* answered"):
        ask(engine(fake("cloud", "--lengths", "--fault", fault).url))


def test_tokens_are_estimated_from_bytes(fake):
    made = engine("http://127.0.0.1:9")
    assert asyncio.run(made.count_tokens("four" * 25)) == 25
    assert asyncio.run(made.count_tokens("")) == 0
    assert asyncio.run(made.count_prompt_tokens(ASK)) > 10


def test_health_is_a_probe_with_its_latency(fake):
    async def probe(made):
        try:
            return await made.health()
        finally:
            await made.aclose()

    found = asyncio.run(probe(engine(fake("cloud").url)))
    assert found.ok
    assert 0 < found.latency_seconds < 5
    assert not asyncio.run(probe(engine("http://127.0.0.1:9"))).ok


@pytest.fixture
def configured(composed):
    return lambda *words: schema.typed(composed("target=compress", "engine=openai", *words))


@pytest.mark.parametrize("name", ["openai", "openrouter", "groq"])
def test_every_provider_can_be_loaded_and_wants_its_key(configured, monkeypatch, name):
    made = engines.load(configured("profile=cloud", f"provider={name}"), weights=None, model_digest="")
    assert (made.local, made.name, made.model_digest) == (False, "openai", f"{name}:{made.model}")
    monkeypatch.delenv(f"{name.upper()}_API_KEY", raising=False)
    with pytest.raises(EngineDenied, match=f"{name.upper()}_API_KEY"):
        made.__enter__()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["profile=local"], "profile=local opens no connection to api.openai.com"),
        (["profile=cloud", "provider=gateway"], "provider=gateway has no address or no model"),
        (["profile=cloud", "provider.base_url='ftp://x/v1'"], "is not an http or https address"),
        (["profile=cloud", "provider.base_url='https://me:secret@x/v1'"], "^provider.base_url holds a name or a password$"),
        (["profile=cloud", "provider.answer_format=xml"], "provider.answer_format=xml is none of"),
        (["profile=cloud", "provider.max_tokens_field=limit"], "provider.max_tokens_field=limit is none of"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_sent(configured, words, said):
    with pytest.raises(UsageError, match=said):
        engines.load(configured(*words), weights=None, model_digest="")
