"""The embedded engine with the real model: llama.cpp in a child process, asked for a token or two."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import httpx
import psutil
import pytest

from llmc.engine import Message
from llmc.engine._process import Child
from llmc.engine.embedded import Embedded, idle_cores
from llmc.errors import ContextOverflow, EngineUnavailable

pytest.importorskip("xllamacpp")

MODEL = "smollm2-135m-instruct"
ASK = [Message("user", "Say yes.")]


def embedded(weights, **options):
    settings = {"model": MODEL, "model_digest": "b179c9", "slots": 2, "slot_context_tokens": 512} | options
    return Embedded(weights, **settings)


@pytest.fixture(scope="module")
def loop():
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def engine(weights, loop):
    """One engine for all the tests that leave it alive."""
    with embedded(weights) as running:
        yield running
        loop.run(running.server.aclose())


def gone(pid, within=5.0):
    """Whether a process ends in that many seconds; one that only waits to be collected has ended."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        with contextlib.suppress(psutil.NoSuchProcess):
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                time.sleep(0.02)
                continue
        return True
    return False


def test_it_is_healthy_and_lists_our_model(engine, loop):
    health = loop.run(engine.health())
    assert health.ok
    assert health.latency_seconds < 5
    assert loop.run(engine.models()) == [MODEL]


def test_it_generates_one_token_when_asked_for_one(engine, loop):
    answer = loop.run(engine.generate(ASK, max_tokens=1))
    assert answer.text
    assert (answer.output_tokens, answer.finish_reason) == (1, "length")
    assert answer.prompt_tokens == loop.run(engine.count_prompt_tokens(ASK))


def test_the_same_seed_gives_the_same_text(engine, loop):
    first, second = (loop.run(engine.generate(ASK, max_tokens=4, seed=3)).text for _ in range(2))
    assert first == second


def test_two_requests_at_once_are_answered_both(engine, loop):
    async def both():
        return await asyncio.gather(*(engine.generate(ASK, max_tokens=2) for _ in range(2)))

    assert [bool(answer.text) for answer in loop.run(both())] == [True, True]


def test_text_of_a_schema_is_json_of_that_schema(engine, loop):
    shape = {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"], "additionalProperties": False}
    answer = loop.run(engine.generate(ASK, max_tokens=40, schema=shape))
    assert type(json.loads(answer.text)["a"]) is bool


def test_tokens_are_the_models_own(engine, loop):
    assert loop.run(engine.count_tokens("")) == 0
    assert loop.run(engine.count_tokens("hello world")) == 2
    assert loop.run(engine.count_tokens("日本語")) >= 3


def test_a_prompt_that_does_not_fit_is_an_error_that_says_so_and_is_never_cut(engine, loop):
    with pytest.raises(ContextOverflow) as caught:
        loop.run(engine.generate([Message("user", "word " * 600)], max_tokens=1))
    assert "exceeds the available context size (512 tokens)" in caught.value.message
    assert loop.run(engine.generate(ASK, max_tokens=1)).text


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}])
def test_a_request_without_the_key_is_refused(engine, headers):
    for path in ("/v1/chat/completions", "/tokenize"):
        answer = httpx.post(engine.server.url + path, headers=headers, json={"content": "x"}, trust_env=False)
        assert answer.status_code == 401


def test_it_listens_on_loopback_only(engine):
    listening = {c.laddr.ip for c in psutil.Process(engine.pid).net_connections("inet") if c.status == psutil.CONN_LISTEN}
    assert listening == {"127.0.0.1"}


def test_the_key_is_made_anew_and_is_not_on_the_command_line(engine):
    line = " ".join(psutil.Process(engine.pid).cmdline())
    assert engine.server._headers["Authorization"].removeprefix("Bearer ") not in line
    assert "embedded_server" in line


def test_a_child_that_is_killed_is_an_unavailable_engine_that_names_how_it_died(weights, loop):
    with embedded(weights) as running:
        assert loop.run(running.generate(ASK, max_tokens=1)).text
        server = running.server
        os.kill(running.pid, signal.SIGKILL)
        with pytest.raises(EngineUnavailable) as caught:
            loop.run(running.generate(ASK, max_tokens=1))
        assert caught.value.message == "the embedded engine was killed by SIGKILL"
        assert "embedded-" in caught.value.hint
        assert loop.run(running.health()).reason == "the embedded engine was killed by SIGKILL"
        loop.run(server.aclose())


def test_the_child_is_gone_after_leaving_also_when_left_by_an_error(weights):
    def die_while_it_runs():
        with running:
            pids.append(running.pid)
            raise ZeroDivisionError

    running, pids = embedded(weights), []
    with pytest.raises(ZeroDivisionError):
        die_while_it_runs()
    assert gone(pids[0], within=0.1)
    with pytest.raises(EngineUnavailable, match="is not running"):
        _ = running.server


def test_the_child_ends_when_its_parent_is_killed(weights):
    code = (
        "import sys, time; from pathlib import Path; from llmc.engine.embedded import Embedded\n"
        "with Embedded(Path(sys.argv[1]), model='m', model_digest='', slots=1, slot_context_tokens=512) as engine:\n"
        "    print(engine.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-P", "-c", code, str(weights)], stdout=subprocess.PIPE)
    child = int(parent.stdout.readline())
    assert psutil.pid_exists(child)
    parent.kill()
    parent.communicate()
    assert gone(child)


def test_a_file_that_is_no_model_is_an_unavailable_engine_with_llama_cpps_reason(tmp_path):
    (tmp_path / "junk.gguf").write_bytes(b"junk" * 1000)
    with pytest.raises(EngineUnavailable) as caught, embedded(tmp_path / "junk.gguf"):
        pass
    assert "ended with exit code 1 while starting" in caught.value.message
    assert "invalid magic characters: 'junk', expected 'GGUF'" in caught.value.message


def test_a_model_that_is_cut_off_is_an_unavailable_engine(weights, tmp_path):
    with weights.open("rb") as file:
        (tmp_path / "cut.gguf").write_bytes(file.read(1_000_000))
    with pytest.raises(EngineUnavailable, match="failed to read key-value pairs"), embedded(tmp_path / "cut.gguf"):
        pass


def test_weights_that_are_not_there_are_an_unavailable_engine_before_a_process_is_started(tmp_path):
    with pytest.raises(EngineUnavailable) as caught, embedded(tmp_path / "none.gguf"):
        pass
    assert caught.value.message == f"the weights {tmp_path / 'none.gguf'} are not there"
    assert caught.value.hint == "llmc pull model=smollm"


def test_a_start_that_takes_too_long_is_ended(weights):
    before = set(psutil.Process().children(recursive=True))
    with (
        pytest.raises(EngineUnavailable, match=r"embedded was not ready after 0\.01 s"),
        embedded(weights, start_timeout_seconds=0.01),
    ):
        pass
    assert not {p for p in psutil.Process().children(recursive=True) if p.status() != psutil.STATUS_ZOMBIE} - before


def test_a_child_that_does_not_hear_that_it_should_end_is_ended_with_all_it_started():
    code = (
        "import subprocess, sys, time; deaf = [sys.executable, '-c', 'import time; time.sleep(60)']\n"
        "print('{\"pid\": %d}' % subprocess.Popen(deaf).pid, flush=True); time.sleep(60)"
    )
    child = Child("deaf", [sys.executable, "-c", code], start_timeout_seconds=20)
    assert child.died() == ""
    child.stop()
    assert child.died() == "was killed by SIGTERM"
    assert gone(child.pid)
    assert gone(child.said["pid"])


def test_it_leaves_at_least_one_thread_however_busy_the_machine_is():
    assert 1 <= idle_cores() <= len(os.sched_getaffinity(0))


def test_deploy_proves_that_the_model_answers(llmc, weights):
    report = llmc("deploy", "profile.concurrency=1", "profile.slot_context_tokens=512").ok().json
    assert report["model"] == MODEL
    assert report["slots"] == 1
    assert report["slot_context_tokens"] == 512
    assert report["model_sha256"] == "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
    assert report["first_token_seconds"] > 0


@pytest.mark.slow
def test_memory_stays_what_doctor_said_however_many_documents_are_read(weights):

    from llmc.machine import COMPUTE_BYTES

    async def read_many(engine: Embedded) -> None:
        for i in range(12):
            await engine.generate([Message("user", f"{i} " + "the board met and voted on the lease " * 150)], max_tokens=1)
        await engine.aclose()

    with Embedded(weights, model="smollm", model_digest="", slots=2, slot_context_tokens=2048) as engine:
        asyncio.run(read_many(engine))
        kv = 2 * 30 * 3 * 64 * 2 * 2 * 2048
        assert psutil.Process(engine.pid).memory_info().rss < weights.stat().st_size + kv + 2 * COMPUTE_BYTES
