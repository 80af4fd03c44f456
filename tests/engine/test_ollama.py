"""engine=ollama against a fake that is a real process: what is asked of it, and what each of its refusals becomes."""

import asyncio
import os

import pytest
from ollama._client import _parse_host

from llmc import engine as engines
from llmc.engine import Message
from llmc.engine._ollama import OllamaServer, address, full_name
from llmc.errors import ContextOverflow, EngineBusy, EngineError, EngineTimeout, EngineUnavailable, LlmcError, UsageError
from llmc.schema import BackendConfig, EngineConfig, ModelConfig, ProfileConfig, QuantConfig, RunConfig

TAG = "qwen2.5:7b-instruct-q4_K_M"
ASK = [Message("system", "Be brief."), Message("user", "Say four words.")]
SHAPE = {"type": "object", "properties": {"summary": {"type": "string"}, "facts": {"type": "array"}}}


@pytest.fixture(autouse=True)
def nothing_of_the_users_own(monkeypatch):
    for name in ("OLLAMA_HOST", "OLLAMA_ENDPOINT", "OLLAMA_MODELS"):
        monkeypatch.delenv(name, raising=False)


def config(url, *, backend="vulkan", offline=True, context=2048, timeout=10.0, quant=None, allow_cpu=False):
    return RunConfig(
        allow_cpu=allow_cpu,
        model=ModelConfig(name="qwen2.5-7b-instruct", context_tokens=32768, files={}, ollama={"q4_k_m": TAG}),
        engine=EngineConfig(name="ollama", url=url, needs_file=False, request_timeout_seconds=timeout),
        backend=BackendConfig(name=backend),
        quant=QuantConfig(name=quant or "auto", gguf=quant),
        profile=ProfileConfig(name="local", offline=offline, concurrency=2, slot_context_tokens=context),
    )


def made(url, **options):
    return engines.load(config(url, **options), weights=None, model_digest="")


def using(url, call, **options):
    """One call of an engine that was entered."""

    async def once(engine):
        try:
            return await call(engine)
        finally:
            await engine.aclose()

    with made(url, **options) as engine:
        return asyncio.run(once(engine))


def with_server(url, call):
    """One call of a client that is closed afterwards."""

    async def once():
        client = OllamaServer(url, timeout_seconds=5, offline=True)
        try:
            return await call(client)
        finally:
            await client.aclose()

    return asyncio.run(once())


def generate(engine):
    return engine.generate(ASK, max_tokens=5)


def refused(url, kind, call=generate, **options):
    with pytest.raises(kind) as caught:
        using(url, call, **options)
    assert type(caught.value) is kind
    return caught.value.message, caught.value.hint


def bodies(server, path):
    return [line["body"] for line in server.log if line["path"] == path]


def test_an_answer_has_its_text_and_what_it_took(fake):
    answer = using(fake("ollama_server", "--has", TAG).url, generate)
    assert (answer.text, answer.finish_reason) == ("four words of text", "stop")
    assert (answer.prompt_tokens, answer.output_tokens, answer.served_model) == (13, 4, TAG)
    assert 0 < answer.seconds < 10


def test_what_is_asked_is_what_was_meant_and_may_not_be_cut(fake):
    server = fake("ollama_server", "--has", TAG)
    using(server.url, lambda e: e.generate(ASK, max_tokens=50, schema=SHAPE, temperature=0.5, seed=7))
    (body,) = bodies(server, "/api/chat")
    assert body == {
        "model": TAG,
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Say four words."}],
        "stream": False,
        "truncate": False,
        "shift": False,
        "format": SHAPE,
        "options": {"num_ctx": 2048, "num_predict": 50, "temperature": 0.5, "seed": 7},
    }


def test_it_is_loaded_with_the_context_that_every_request_names(fake):
    server = fake("ollama_server", "--has", TAG)
    using(server.url, generate)
    loads = bodies(server, "/api/generate")
    assert loads == [{"model": TAG, "options": {"num_ctx": 2048}, "stream": False}]
    assert bodies(server, "/api/chat")[0]["options"]["num_ctx"] == 2048


def test_the_context_is_never_longer_than_what_the_model_was_trained_for(fake):
    with made(fake("ollama_server", "--has", TAG).url, context=20_000) as engine:
        assert engine.slot_context_tokens == 8192


def test_the_model_is_named_and_proven_by_the_servers_own_list(fake):
    url = fake("ollama_server", "--has", TAG.lower()).url
    with made(url) as engine:
        assert engine.model == TAG.lower()
        assert len(engine.model_digest) == 64
    assert using(url, lambda e: e.models()) == [TAG.lower()]


def test_an_answer_that_was_cut_says_so(fake):
    answer = using(fake("ollama_server", "--has", TAG).url, lambda e: e.generate(ASK, max_tokens=2))
    assert (answer.text, answer.finish_reason, answer.output_tokens) == ("four words ", "length", 2)


LONG = [Message("user", "word " * 3000)]


@pytest.mark.parametrize("old", [False, True])
def test_a_prompt_that_does_not_fit_is_refused_and_never_cut(fake, old):
    server = fake("ollama_server", "--has", TAG, *(["--old-refusal"] if old else []))
    message, hint = refused(server.url, ContextOverflow, lambda e: e.generate(LONG, max_tokens=5))
    assert message == ("the prompt is longer than the context" if old else "the prompt has 3004 tokens, the context 2048")
    assert hint == "profile.slot_context_tokens=…"


def test_a_release_that_cuts_prompts_is_found_out_by_its_count(fake):
    server = fake("ollama_server", "--has", TAG, "--cuts", "--version", "0.12.5")
    message, _ = refused(server.url, ContextOverflow, lambda e: e.generate(LONG, max_tokens=5))
    assert message == f"the prompt has more than the 2048 tokens of the context: {server.url} cut it"


def test_an_answer_that_pushed_the_prompt_out_counts_as_cut(fake):
    server = fake("ollama_server", "--has", TAG, "--cuts")
    answer = using(server.url, lambda e: e.generate([Message("user", "word " * 2042)], max_tokens=50))
    assert (answer.prompt_tokens, answer.output_tokens, answer.finish_reason) == (2046, 4, "length")


@pytest.mark.parametrize(("share", "backend", "found"), [(1.0, "vulkan", 1.0), (0.25, "rocm", 0.25), (0.0, "rocm", 0.0)])
def test_where_the_model_is_is_what_the_server_says(fake, share, backend, found):
    server = fake("ollama_server", "--has", TAG, "--vram-share", share)
    placement = using(server.url, lambda e: e.placement(), backend=backend, allow_cpu=True)
    assert placement.gpu_share == pytest.approx(found, abs=1e-6)
    assert placement.evidence.startswith(f"/api/ps: size_vram {int(98_362_432 * share):,} of size 98,362,432, context 2,048")


def test_backend_cpu_is_asked_for_and_not_only_hoped_for(fake):
    server = fake("ollama_server", "--has", TAG)
    assert using(server.url, lambda e: e.placement(), backend="cpu").gpu_share == 0
    assert bodies(server, "/api/generate")[0]["options"] == {"num_ctx": 2048, "num_gpu": 0}


def test_a_model_that_is_not_loaded_proves_nothing(fake):
    async def unloaded(engine):
        await engine.server.unload(TAG)
        return await engine.placement()

    placement = using(fake("ollama_server", "--has", TAG).url, unloaded)
    assert (placement.gpu_share, placement.evidence) == (None, f"{TAG} is not loaded")


def test_leaving_the_engine_stops_and_unloads_nothing(fake):
    server = fake("ollama_server", "--has", TAG)
    using(server.url, generate)
    assert with_server(server.url, lambda client: client.running(TAG)) is not None
    assert not [line for line in server.log if (line["body"] or {}).get("keep_alive") == 0]


def test_a_model_that_is_not_there_says_how_to_get_it(fake):
    server = fake("ollama_server", "--has", "llama3.1:8b")
    message, hint = refused(server.url, EngineUnavailable)
    assert message == f"{server.url} does not have {TAG}"
    assert hint == (
        f"llmc pull model=qwen engine=ollama backend=vulkan profile.concurrency=2 profile.slot_context_tokens=2048 "
        f"engine.url={server.url}, or: ollama pull {TAG}"
    )


def test_no_server_says_how_to_start_one(fake, tmp_path, monkeypatch):
    server = fake("ollama_server")
    server.stop()
    monkeypatch.setenv("PATH", str(tmp_path))
    message, hint = refused(server.url, EngineUnavailable)
    assert message.startswith(f"no Ollama server: {server.url} cannot be reached: ")
    assert hint == "install it: https://ollama.com/download, or set OLLAMA_HOST"
    (tmp_path / "ollama").write_text("#!/bin/sh\n")
    (tmp_path / "ollama").chmod(0o755)
    assert refused(server.url, EngineUnavailable)[1] == "ollama serve"


def test_a_full_queue_is_a_server_that_is_busy(fake):
    server = fake("ollama_server", "--has", TAG, "--busy", 1)
    assert refused(server.url, EngineBusy)[0] == f"{server.url}: its queue is full (OLLAMA_MAX_QUEUE)"


@pytest.mark.parametrize(
    "said",
    [
        "model requires more system memory (5.6 GiB) than is available (3.1 GiB)",
        "llama runner process has terminated: exit status 2",
        "model runner has unexpectedly stopped, this may be due to resource limitations or an internal error",
    ],
)
def test_a_model_that_cannot_be_loaded_is_an_engine_that_is_not_available(fake, said):
    server = fake("ollama_server", "--has", TAG, "--load-error", said)
    message, hint = refused(server.url, EngineUnavailable)
    assert message == f"{server.url}/api/generate answered 500: {said}"
    assert hint.startswith("a smaller quant=")


def test_an_error_midway_is_an_engine_error_with_the_servers_words(fake):
    server = fake("ollama_server", "--has", TAG, "--midway-error", "an error was encountered while running the model")
    with pytest.raises(EngineError) as caught:
        using(server.url, generate)
    assert caught.value.message.endswith("answered 500: an error was encountered while running the model")


def test_no_answer_in_time_is_a_timeout(fake):
    server = fake("ollama_server", "--has", TAG, "--hang", 5)
    assert refused(server.url, EngineTimeout, timeout=0.5)[0].endswith("/api/chat within 0.5 s")


def test_an_answer_without_counts_is_an_engine_error(fake):
    message, _ = refused(fake("ollama_server", "--has", TAG, "--no-counts").url, EngineError)
    assert message.endswith("answered without 'eval_count'")


def test_something_else_than_json_is_no_ollama(fake):
    assert "answered something that is not JSON" in refused(fake("ollama_server", "--not-json").url, EngineUnavailable)[0]


def test_tokens_are_estimated_until_an_answer_has_shown_what_they_are(fake):
    async def counts(engine):
        before = await engine.count_tokens("x" * 400)
        await engine.generate([Message("user", "a bc def " * 100)], max_tokens=5)
        return before, await engine.count_tokens("x" * 400), await engine.count_prompt_tokens([Message("user", "x" * 400)])

    assert using(fake("ollama_server", "--has", TAG).url, counts) == (100, 132, 140)


def test_health_is_an_answer_with_its_latency_and_never_an_error(fake):
    server = fake("ollama_server")
    well = with_server(server.url, lambda client: client.health())
    assert well.ok
    assert 0 < well.latency_seconds < 5
    server.stop()
    ill = with_server(server.url, lambda client: client.health())
    assert not ill.ok
    assert "cannot be reached" in ill.reason


def test_offline_refuses_a_server_elsewhere_before_a_connection_is_opened(fake):
    server = fake("ollama_server", "--host", "0.0.0.0", "--has", TAG)
    with pytest.raises(LlmcError, match=r"profile=local opens no connection to 0\.0\.0\.0"):
        using(server.url, generate)
    assert server.log == []


def test_offline_refuses_a_model_that_the_server_has_computed_elsewhere(fake):
    url = fake("ollama_server", "--remote", TAG).url
    with pytest.raises(LlmcError) as caught:
        using(url, generate)
    assert caught.value.message.startswith(f"{TAG} is computed at https://ollama.com:443: profile=local opens no connection")
    assert using(url, generate, offline=False).text


def test_a_quantisation_without_a_tag_is_a_usage_error(fake):
    with pytest.raises(UsageError) as caught:
        made("http://127.0.0.1:9", quant="q8_0")
    assert caught.value.message == (
        "no tag of Ollama's library is known for qwen2.5-7b-instruct as Q8_0; there is quant=q4_k_m"
    )
    assert caught.value.hint == "name one: +model.ollama.q8_0=TAG"


@pytest.mark.parametrize("name", ["qwen", "llama", "gemma"])
def test_every_file_of_a_model_has_its_tag(composed, name):
    model = composed("target=doctor", f"model={name}").model
    assert set(model.files) <= set(model.ollama)
    assert next(iter(model.files)) == next(iter(model.ollama))


HOSTS = [
    "", "1.2.3.4", ":56789", "1.2.3.4:56789", "http://1.2.3.4", "https://1.2.3.4", "https://1.2.3.4:56789", "example.com",
    "example.com:56789", "http://example.com", "https://example.com", "https://example.com:56789", "example.com/",
    "example.com:56789/", "example.com/path", "example.com:56789/path/", "https://example.com:56789/path", "[::1]",
    "[0001:002:003:0004::1]:56789", "http://[0001:002:003:0004::1]", "https://[0001:002:003:0004::1]:56789/path",
]  # fmt: skip


@pytest.mark.parametrize("host", HOSTS)
def test_ollama_host_means_what_it_means_to_the_official_client(host):
    assert address({"OLLAMA_HOST": host}) == _parse_host(host)


@pytest.mark.parametrize(
    ("environment", "meant"),
    [
        ({"OLLAMA_HOST": "0.0.0.0"}, "http://127.0.0.1:11434"),
        ({"OLLAMA_HOST": "[::]:8000"}, "http://[::1]:8000"),
        ({"OLLAMA_HOST": ' "box:1" '}, "http://box:1"),
        ({"OLLAMA_HOST": "box:99999"}, "http://box:11434"),
        ({"OLLAMA_HOST": "one", "OLLAMA_ENDPOINT": "https://two/"}, "https://two:443"),
    ],
)
def test_an_address_is_one_that_can_be_reached(environment, meant):
    assert address(environment) == meant


def test_the_environment_says_where_the_server_is(fake, monkeypatch):
    server = fake("ollama_server", "--has", TAG)
    monkeypatch.setenv("OLLAMA_HOST", server.url.removeprefix("http://"))
    with made(None) as engine:
        assert engine.record.url == address(os.environ) == server.url
        assert not engine.record.ours


def test_a_name_without_a_tag_is_the_latest():
    assert [full_name(n) for n in ("a", "a:b", "host:5000/x/a", "hf.co/x/a:Q8_0")] == [
        "a:latest", "a:b", "host:5000/x/a:latest", "hf.co/x/a:Q8_0",
    ]  # fmt: skip
