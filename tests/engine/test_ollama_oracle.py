"""The official ``ollama`` client is the oracle: it and ours go through the same, against the same server, and must agree.

What the official client accepts, with its typed answers, is of Ollama's form; what it concludes is what ours has to conclude.
"""

import asyncio
import hashlib
import json

import httpx
import ollama
import pytest

from llmc.engine import Message
from llmc.engine._ollama import OllamaServer
from llmc.errors import ContextOverflow, EngineBusy, EngineError, EngineUnavailable, PullError
from llmc.model.download import Limits

TAG = "smollm2:135m"
ASK = [Message("system", "Be brief."), Message("user", "Say four words.")]
SHAPE = {"type": "object", "properties": {"summary": {"type": "string"}, "facts": {"type": "array"}}}
OPTIONS = {"num_ctx": 2048, "num_predict": 50, "temperature": 0.0, "seed": 1}
ONCE = Limits(stall_seconds=0.5, attempts=1)
QUICK = Limits(stall_seconds=0.5, attempts=3, wait_seconds=0.01)


def ours(server, call):
    async def once():
        client = OllamaServer(server.url, timeout_seconds=20, offline=True)
        try:
            return await call(client)
        finally:
            await client.aclose()

    return asyncio.run(once())


@pytest.fixture
def official(monkeypatch):
    """Calls the official client, and closes it."""

    def use(server, call):
        with ollama.Client(server.url, trust_env=False, timeout=20) as client:
            return call(client)

    return use


def asked(client, **more):
    messages = [{"role": m.role, "content": m.content} for m in ASK]
    return client.chat(TAG, messages, options=OPTIONS, **more)


def answered(client, schema=None, messages=ASK):
    return client.chat(
        TAG, messages, max_tokens=50, schema=schema, temperature=0.0, seed=1, options={"num_ctx": OPTIONS["num_ctx"]}
    )


def test_both_list_the_same_models(fake, official):
    server = fake("ollama_server", "--has", TAG, "--has", "llama3.1:8b", "--has", "plain")
    listed = official(server, lambda c: [(m.model, m.digest, m.size) for m in c.list().models])
    assert [(m.name, m.digest, m.bytes) for m in ours(server, lambda c: c.installed())] == listed
    assert [name for name, _, _ in listed] == [TAG, "llama3.1:8b", "plain:latest"]


def test_both_see_the_same_model_loaded_and_where(fake, official):
    server = fake("ollama_server", "--has", TAG, "--vram-share", 0.5)
    assert official(server, lambda c: c.ps().models) == []
    assert ours(server, lambda c: c.running(TAG)) is None
    official(server, lambda c: c.generate(TAG, options={"num_ctx": 1024}))
    (there,) = official(server, lambda c: c.ps().models)
    seen = ours(server, lambda c: c.running(TAG))
    assert (seen.name, seen.bytes, seen.vram_bytes) == (there.model, there.size, there.size_vram)
    assert seen.context_tokens == there.context_length == 1024
    assert there.size_vram == there.size // 2
    assert there.expires_at is not None


def test_both_load_and_unload(fake, official):
    server = fake("ollama_server", "--has", TAG)
    ours(server, lambda c: c.load(TAG, {"num_ctx": 512}, 10))
    assert [m.context_length for m in official(server, lambda c: c.ps().models)] == [512]
    assert official(server, lambda c: c.generate(TAG, keep_alive=0).done_reason) == "unload"
    assert ours(server, lambda c: c.running(TAG)) is None
    assert official(server, lambda c: c.generate(TAG).done_reason) == "load"
    ours(server, lambda c: c.unload(TAG))
    assert official(server, lambda c: c.ps().models) == []


def test_both_read_the_same_context_length(fake, official):
    server = fake("ollama_server", "--has", TAG)
    info = official(server, lambda c: c.show(TAG).modelinfo)
    assert ours(server, lambda c: c.trained_context_tokens(TAG)) == info["llama.context_length"] == 8192


@pytest.mark.parametrize("schema", [None, SHAPE], ids=["text", "schema"])
def test_both_get_the_same_answer_and_the_same_counts(fake, official, schema):
    server = fake("ollama_server", "--has", TAG)
    there = official(server, lambda c: asked(c, format=schema))
    here = ours(server, lambda c: answered(c, schema))
    assert (here.text, here.finish_reason) == (there.message.content, there.done_reason)
    assert (here.prompt_tokens, here.output_tokens) == (there.prompt_eval_count, there.eval_count)
    if schema:
        assert set(json.loads(here.text)) == {"summary", "facts"}


def test_a_streamed_answer_is_the_same_text(fake, official):
    server = fake("ollama_server", "--has", TAG)
    parts = official(server, lambda c: list(asked(c, stream=True)))
    assert "".join(p.message.content for p in parts) == ours(server, answered).text
    assert [p.done for p in parts] == [False] * 4 + [True]


def test_a_prompt_too_long_is_the_same_refusal_for_both(fake, official):
    server = fake("ollama_server", "--has", TAG)
    messages = [{"role": "user", "content": "word " * 3000}]
    # The official client has no argument for truncate: what it would get is what httpx gets.
    body = {"model": TAG, "messages": messages, "options": OPTIONS, "truncate": False, "shift": False, "stream": False}
    raw = httpx.post(f"{server.url}/api/chat", json=body, trust_env=False)
    said = ollama.ResponseError(raw.text, raw.status_code)
    assert said.status_code == 400
    assert json.loads(said.error)["error"]["n_prompt_tokens"] == 3004
    with pytest.raises(ContextOverflow, match="the prompt has 3004 tokens, the context 2048"):
        ours(server, lambda c: answered(c, messages=[Message("user", "word " * 3000)]))
    cut = official(server, lambda c: c.chat(TAG, messages, options=OPTIONS))
    assert cut.prompt_eval_count == 2048  # without truncate=false nobody says that most of it was not read


@pytest.mark.parametrize(
    ("flags", "status", "words", "kind"),
    [
        ([], 404, "model 'smollm2:135m' not found", EngineUnavailable),
        (["--has", TAG, "--busy", 9], 503, "maximum pending requests exceeded", EngineBusy),
        (["--has", TAG, "--load-error", "llama runner process has terminated"], 500, "llama runner", EngineUnavailable),
        (["--has", TAG, "--midway-error", "something broke"], 500, "something broke", EngineError),
    ],
)
def test_both_are_refused_for_the_same_reason(fake, official, flags, status, words, kind):
    server = fake("ollama_server", *flags)
    with pytest.raises(ollama.ResponseError) as there:
        official(server, asked)
    assert there.value.status_code == status
    assert words in there.value.error
    with pytest.raises(kind):
        ours(server, answered)


def test_an_error_in_the_middle_of_a_stream_is_an_error(fake, official):
    server = fake("ollama_server", "--has", TAG, "--midway-error", "something broke")
    with pytest.raises(ollama.ResponseError, match="something broke"):
        official(server, lambda c: list(asked(c, stream=True)))
    with pytest.raises(EngineError, match="something broke"):
        ours(server, answered)


# -- pulling


def steps(client, tag=TAG):
    return list(client.pull(tag, stream=True))


def pulled(server, limits=QUICK, tag=TAG):
    """What ours concludes, and every progress it told."""
    told = []
    found = ours(server, lambda c: c.pull(tag, lambda have, total: told.append((have, total)), limits))
    return found, told


def totals(progress):
    """Bytes that each layer has, and will have, by the last step that named it."""
    last = {step.digest: (step.completed or 0, step.total) for step in progress if step.digest}
    return sum(have for have, _ in last.values()), sum(total for _, total in last.values())


def test_both_pull_several_layers_and_add_them_up(fake, official):
    server = fake("ollama_server", "--library", TAG)
    there = official(server, steps)
    assert [s.status for s in there if not s.digest] == [
        "pulling manifest",
        "verifying sha256 digest",
        "writing manifest",
        "success",
    ]
    assert len({s.digest for s in there if s.digest}) == 4
    other = fake("ollama_server", "--library", TAG)
    (found, received), told = pulled(other)
    assert told[-1] == totals(there) == (4_013_000, 4_013_000)
    assert received == 4_013_000
    assert told == sorted(told)
    assert [found.name] == [m.model for m in official(other, lambda c: c.list().models)]


def test_a_pull_of_what_is_there_fetches_nothing(fake, official):
    server = fake("ollama_server", "--library", TAG)
    official(server, steps)
    (_, received), told = pulled(server)
    assert received == 0
    assert told[-1] == (4_013_000, 4_013_000)


def test_without_a_stream_both_are_told_the_same(fake, official):
    server = fake("ollama_server", "--library", TAG)
    assert official(server, lambda c: c.pull(TAG).status) == "success"
    with pytest.raises(ollama.ResponseError) as caught:
        official(server, lambda c: c.pull("nothing"))
    assert (caught.value.status_code, caught.value.error) == (500, "pull model manifest: file does not exist")


def test_a_tag_that_does_not_exist_is_refused_with_status_200_and_is_a_failure_for_both(fake, official):
    server = fake("ollama_server", "--library", TAG)
    with pytest.raises(ollama.ResponseError, match="pull model manifest: file does not exist"):
        official(server, lambda c: steps(c, "smollm2:nothing"))
    before = len(server.log)
    with pytest.raises(PullError) as caught:
        pulled(server, tag="smollm2:nothing")
    assert caught.value.message == "Ollama's library has no smollm2:nothing"
    assert caught.value.hint == "what it has: https://ollama.com/library/smollm2/tags"
    assert len(server.log) == before + 1  # no second attempt


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--pull-mismatches", 1], "digest mismatch, file must be downloaded again: want sha256:"),
        (["--pull-error", "max retries exceeded: EOF", "--pull-errors", 1], "max retries exceeded: EOF"),
        (["--pull-error", "dial tcp: lookup registry.ollama.ai: no such host", "--pull-errors", 1], "no such host"),
    ],
)
def test_a_last_line_with_an_error_fails_once_and_the_next_attempt_works_for_both(fake, official, flags, words):
    server = fake("ollama_server", "--library", TAG, *flags)
    with pytest.raises(ollama.ResponseError, match=words):
        official(server, steps)
    assert official(server, steps)[-1].status == "success"
    with pytest.raises(PullError, match=words):
        pulled(fake("ollama_server", "--library", TAG, *flags), ONCE)
    (found, _), _ = pulled(fake("ollama_server", "--library", TAG, *flags))
    assert found.name == TAG


def test_a_lost_connection_fails_once_and_the_server_goes_on_where_it_was(fake, official):
    flags = ["--library", TAG, "--pull-drop-after", 4, "--pull-drops", 1]
    server = fake("ollama_server", *flags)
    with pytest.raises(httpx.RemoteProtocolError):
        official(server, steps)
    assert next(s.completed for s in official(server, steps) if s.digest) == 1_600_000
    with pytest.raises(PullError):
        pulled(fake("ollama_server", *flags), ONCE)
    (found, received), told = pulled(fake("ollama_server", *flags))
    assert (found.name, received) == (TAG, 4_013_000)
    assert max(have for have, _ in told) == 4_013_000


def test_a_stream_that_ends_without_success_is_no_success(fake, official):
    server = fake("ollama_server", "--library", TAG, "--pull-unfinished")
    there = official(server, steps)
    assert there[-1].status == "writing manifest"  # no error: whoever does not look for success is deceived
    assert official(server, lambda c: c.list().models) == []
    with pytest.raises(PullError) as caught:
        pulled(server)
    assert caught.value.message == f"{TAG} could not be pulled by {server.url}: it ended without success"
    assert caught.value.hint == "run the same command again: the server goes on where it stopped"


def test_a_pull_that_stands_still_while_its_lines_go_on_is_begun_again(fake, official):
    flags = ["--library", TAG, "--pull-stall-after", 3]
    server = fake("ollama_server", *flags)

    def watch(client):
        seen = []
        for step in client.pull(TAG, stream=True):
            seen.append((step.digest, step.completed))
            if len(seen) == 12:
                return seen
        return seen

    assert len(set(official(server, watch)[-6:])) == 1  # the official client would wait for ever
    with pytest.raises(PullError, match=r"nothing has come for 0\.5 s"):
        pulled(fake("ollama_server", *flags), ONCE)
    (found, _), _ = pulled(fake("ollama_server", *flags, "--pull-stalls", 1))
    assert found.name == TAG


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ("write /usr/share/ollama/.ollama/models/blobs/x: no space left on device", "free space where the server keeps"),
        ("pull model manifest: 412: requires a newer version of Ollama", "update Ollama"),
    ],
)
def test_what_another_try_cannot_mend_is_not_tried_again(fake, official, said, hint):
    server = fake("ollama_server", "--library", TAG, "--pull-error", said)
    with pytest.raises(ollama.ResponseError, match=r"newer version|no space"):
        official(server, steps)
    before = len(server.log)
    with pytest.raises(PullError) as caught:
        pulled(server)
    assert caught.value.message == f"{TAG}: {said}"
    assert caught.value.hint.startswith(hint)
    assert len(server.log) == before + 1


def test_what_the_official_client_deletes_is_gone_for_ours(fake, official):
    server = fake("ollama_server", "--has", TAG)
    assert official(server, lambda c: c.delete(TAG).status) == "success"
    assert ours(server, lambda c: c.find(TAG)) is None
    with pytest.raises(ollama.ResponseError) as caught:
        official(server, lambda c: c.delete(TAG))
    assert (caught.value.status_code, caught.value.error) == (404, f"model '{TAG}' not found")


def test_a_file_that_either_gives_is_a_model_for_both_and_is_not_sent_twice(fake, official, tmp_path):
    file = tmp_path / "my model.gguf"
    file.write_bytes(b"GGUF" + bytes(3_000_000))
    sha = hashlib.sha256(file.read_bytes()).hexdigest()
    server = fake("ollama_server")
    told = []
    found = ours(server, lambda c: c.give("mine:a", file, sha, lambda have, total: told.append((have, total))))
    assert found.name == "mine:a"
    assert told[-1] == (3_000_004, 3_000_004)
    created = [line["body"] for line in server.log if line["path"] == "/api/create"]
    assert official(server, lambda c: c.create("theirs:a", files={file.name: f"sha256:{sha}"}).status) == "success"
    assert [line["body"]["files"] for line in server.log if line["path"] == "/api/create"] == [created[0]["files"]] * 2
    assert {m.model for m in official(server, lambda c: c.list().models)} == {"mine:a", "theirs:a"}
    other = fake("ollama_server")
    assert official(other, lambda c: c.create_blob(file)) == f"sha256:{sha}"
    ours(other, lambda c: c.give("mine:a", file, sha, lambda have, total: None))
    assert [line["method"] for line in other.log if "/api/blobs/" in line["path"]] == ["POST", "HEAD"]


def test_bytes_that_are_not_of_their_digest_are_refused(fake, official, tmp_path):
    file = tmp_path / "x.gguf"
    file.write_bytes(b"GGUF")
    server = fake("ollama_server")
    with pytest.raises(EngineError, match="digest mismatch"):
        ours(server, lambda c: c.give("mine:a", file, "0" * 64, lambda have, total: None))
    with pytest.raises(ollama.ResponseError, match="not found"):
        official(server, lambda c: c.create("mine:a", files={"x.gguf": f"sha256:{'0' * 64}"}))
    assert official(server, lambda c: c.list().models) == []
