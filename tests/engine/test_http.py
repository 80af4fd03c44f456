"""What a server does wrong, and which of our errors it becomes. The server is a real one, its faults are its flags."""

import asyncio
import pickle
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from llmc.engine import Message
from llmc.engine._http import LlamaServer
from llmc.errors import (
    ContextOverflow,
    EngineBusy,
    EngineDenied,
    EngineError,
    EngineFault,
    EngineTimeout,
    EngineUnavailable,
    EngineUnreachable,
    LlmcError,
)

ASK = [Message("system", "Be brief."), Message("user", "Say four words.")]


def using(url, call, *, key="", timeout_seconds=10.0, offline=True):
    """One call of a client that is closed afterwards."""

    async def once():
        server = LlamaServer(url, key=key, timeout_seconds=timeout_seconds, offline=offline)
        try:
            return await call(server)
        finally:
            await server.aclose()

    return asyncio.run(once())


def generate(server):
    return server.generate(ASK, max_tokens=5)


def refused(url, kind, call=generate, **options):
    with pytest.raises(kind) as caught:
        using(url, call, **options)
    assert type(caught.value) is kind
    return caught.value.message


CALLS = {
    "generate": generate,
    "models": lambda server: server.models(),
    "count_tokens": lambda server: server.count_tokens("some text"),
    "count_prompt_tokens": lambda server: server.count_prompt_tokens(ASK),
}


def test_an_answer_has_its_text_and_what_it_took(fake):
    answer = using(fake("llama_server").url, generate)
    assert (answer.text, answer.finish_reason) == ("four words of text", "stop")
    assert (answer.prompt_tokens, answer.cached_tokens, answer.output_tokens) == (7, 3, 4)
    assert 0 < answer.seconds < 10


def test_what_is_asked_is_what_was_meant(fake):
    server = fake("llama_server")
    shape = {"type": "object"}
    using(server.url, lambda s: s.generate(ASK, max_tokens=5, schema=shape, temperature=0.5, seed=7))
    body = server.log[-1]["body"]
    assert body["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Say four words."}]
    assert (body["max_tokens"], body["temperature"], body["seed"]) == (5, 0.5, 7)
    assert body["response_format"]["json_schema"]["schema"] == shape


def test_a_prompt_is_counted_with_its_template(fake):
    server = fake("llama_server")
    assert using(server.url, CALLS["count_prompt_tokens"]) == 5
    assert server.log[-1]["body"] == {"content": "Be brief. Say four words.", "add_special": True, "parse_special": True}


def test_models_and_tokens_and_health(fake):
    url = fake("llama_server").url
    assert using(url, CALLS["models"]) == ["fake"]
    assert using(url, CALLS["count_tokens"]) == 2
    assert using(url, lambda server: server.health()).ok


def test_a_client_works_in_one_event_loop_after_another(fake):
    server = LlamaServer(fake("llama_server").url, timeout_seconds=10, offline=True)

    async def once():
        try:
            return await server.models()
        finally:
            await server.aclose()

    assert [asyncio.run(once()), asyncio.run(once())] == [["fake"], ["fake"]]


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_status_500_is_a_fault_with_the_servers_own_words(fake, call):
    message = refused(fake("llama_server", "--status", 500, "--message", "slot lost").url, EngineFault, call)
    assert message.endswith(" answered 500: slot lost")


def test_status_400_is_an_engine_error_also_without_words(fake):
    assert refused(fake("llama_server", "--status", 400).url, EngineError).endswith(" answered 400: {}")


@pytest.mark.parametrize("status", [502, 504, 529])
def test_a_gateway_without_a_server_is_an_engine_that_is_not_available(fake, status):
    assert f"answered {status}" in refused(fake("llama_server", "--status", status).url, EngineUnavailable)


@pytest.mark.parametrize(
    ("status", "message"), [(402, "pay"), (403, "not for you"), (429, "You exceeded your current quota: insufficient_quota")]
)
def test_an_account_that_may_not_is_denied(fake, status, message):
    assert refused(fake("llama_server", "--status", status, "--message", message).url, EngineDenied).endswith(message)


def busy(fake, *flags):
    with pytest.raises(EngineBusy) as caught:
        using(fake("llama_server", "--status", 429, "--message", "slow down", *flags).url, generate)
    return caught.value


def test_a_busy_engine_says_how_long_to_leave_it_alone(fake):
    assert busy(fake).retry_after_seconds is None
    assert busy(fake, "--retry-after", "1.5").retry_after_seconds == 1.5
    assert busy(fake, "--retry-after", "-3").retry_after_seconds == 0
    assert busy(fake, "--retry-after", "soon").retry_after_seconds is None
    later = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    assert 3500 < busy(fake, "--retry-after", later).retry_after_seconds <= 3600


def test_a_busy_engine_keeps_what_it_said_from_one_process_to_another(fake):
    again = pickle.loads(pickle.dumps(busy(fake, "--retry-after", "7")))
    assert (type(again), again.retry_after_seconds) == (EngineBusy, 7)
    assert again.message.endswith("answered 429: slow down")


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (
            "request (610 tokens) exceeds the available context size (512 tokens), try increasing it",
            "exceed_context_size_error",
        ),
        ("This model's maximum context length is 256 tokens. However, your request has 610 input tokens.", "BadRequestError"),
        ("prompt is too long: 210000 tokens > 200000 maximum", "invalid_request_error"),
    ],
)
def test_a_prompt_that_does_not_fit_is_told_from_other_bad_requests(fake, message, kind):
    url = fake("llama_server", "--status", 400, "--message", message, "--error-type", kind).url
    assert refused(url, ContextOverflow).endswith(message)
    refused(fake("llama_server", "--status", 400, "--message", "temperature must be a number").url, EngineError)


def test_status_503_is_an_engine_that_is_not_available(fake):
    message = refused(fake("llama_server", "--status", 503, "--message", "Loading model").url, EngineUnavailable)
    assert message.endswith(" is not ready: Loading model")


def test_no_answer_in_time_is_a_timeout_that_says_how_long_it_was(fake):
    url = fake("llama_server", "--hang", 5).url
    assert refused(url, EngineTimeout, timeout_seconds=0.5).endswith("/v1/chat/completions within 0.5 s")


@pytest.mark.parametrize("fault", ["--drop", "--truncate"])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_a_connection_that_ends_early_is_an_engine_that_is_not_available(fake, call, fault):
    server = fake("llama_server", fault)
    assert f"{server.url} cannot be reached" in refused(server.url, EngineUnavailable, call)


def test_a_refused_connection_is_an_engine_that_is_not_available(fake):
    server = fake("llama_server")
    server.stop()
    assert "cannot be reached" in refused(server.url, EngineUnreachable)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_something_else_than_json_is_an_engine_error(fake, call):
    assert refused(fake("llama_server", "--not-json").url, EngineError, call).endswith("answered something that is not JSON")


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_json_of_another_shape_is_an_engine_error(fake, call):
    assert "answered without" in refused(fake("llama_server", "--wrong-shape").url, EngineError, call)


def test_an_answer_without_token_counts_is_an_engine_error(fake):
    assert refused(fake("llama_server", "--no-usage").url, EngineError).endswith("answered without 'usage'")


def test_health_is_an_answer_and_never_an_error(fake):
    health = using(fake("llama_server", "--status", 503, "--message", "Loading model").url, lambda server: server.health())
    assert not health.ok
    assert health.reason.endswith("is not ready: Loading model")


def test_the_key_is_sent_with_every_request(fake):
    url = fake("llama_server", "--key", "secret").url
    assert using(url, generate, key="secret").text
    assert refused(url, EngineDenied).endswith("answered 401: Invalid API Key")


def test_offline_opens_no_connection_to_another_address(fake):
    """0.0.0.0 is no loopback address, yet reaches this machine: a connection that was opened would be seen here."""
    server = fake("llama_server", "--host", "0.0.0.0")
    with pytest.raises(LlmcError) as caught:
        using(server.url, generate, offline=True)
    assert caught.value.message == "profile=local opens no connection to 0.0.0.0"
    assert caught.value.hint == "profile=hybrid or profile=cloud may leave this machine"
    assert server.log == []
    assert using(server.url, generate, offline=False).text
    assert server.log != []


@pytest.mark.parametrize("name", ["example.invalid", "localhost.invalid", "127.0.0.1.invalid", "2130706433", "[::]"])
def test_offline_looks_no_name_up(name):
    with pytest.raises(LlmcError, match="profile=local opens no connection to "):
        using(f"http://{name}:9", generate, offline=True)


def test_offline_reaches_this_machine_by_any_of_its_loopback_names(fake):
    server = fake("llama_server")
    for name in ("127.0.0.1", "localhost"):
        assert using(server.url.replace("127.0.0.1", name), generate, offline=True).text


def test_offline_ignores_a_proxy_in_the_environment(fake, monkeypatch):
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.delenv("no_proxy")
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert using(fake("llama_server").url, generate, offline=True).text
