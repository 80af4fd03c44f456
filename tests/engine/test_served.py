"""Servers that llmc starts, finds and is pointed at: the real llama-server on the CPU, and vLLM's stand-in."""

import asyncio
import os
import re
import signal
import stat
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pytest
from running import shebang

from llmc.engine import Message, load, records
from llmc.errors import ContextOverflow, EngineUnavailable, UsageError
from llmc.route import Closed
from llmc.route.tier import Identity, Tier

ASK = [Message("user", "Say yes.")]
ROOT = Path(__file__).parent.parent


def run(call):
    return asyncio.run(call)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """What vLLM's stand-in leaves behind is deaf on purpose."""
    monkeypatch.setattr(records, "ORPHAN_SECONDS", 0.2)


@pytest.fixture
def apart(tmp_path, monkeypatch):
    """A state folder of the test's own; what was left running in it is ended."""
    monkeypatch.setenv("LLMC_HOME", str(tmp_path / "home"))
    yield
    for record in records.everything():
        records.end(record)


@pytest.fixture
def config(run_config, apart):
    """``config("engine=llama_server")``: small, one slot."""
    small = ("target=deploy", "profile.concurrency=1", "profile.slot_context_tokens=512")

    def make(*words):
        backend = () if any(word.startswith("backend=") for word in words) else ("backend=cpu",)
        return run_config(*small, *backend, *words)

    return make


@pytest.fixture
def vllm(tmp_path):
    """A program ``vllm`` that is the stand-in."""
    program = tmp_path / "bin" / "vllm"
    program.parent.mkdir()
    program.write_text(f"{shebang()}import runpy, sys\nrunpy.run_path({str(ROOT / 'fakes' / 'vllm.py')!r})\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program


@pytest.fixture
def vllm_engine(config, vllm):
    def make(*words):
        made = load(
            config("engine=vllm", "+model.vllm.none=org/model", f"engine.binary={vllm}", *words), weights=None, model_digest=""
        )
        made.usual_port = 9  # nobody's: a vLLM that runs here is not the test's
        return made

    return make


@pytest.fixture
def llama_engine(config, weights, real_llama_server):
    def make(*words):
        made = load(
            config("engine=llama_server", f"engine.binary={real_llama_server}", *words), weights=weights, model_digest="b179"
        )
        made.usual_port = 9
        return made

    return make


def test_a_server_for_one_run_ends_with_it(llama_engine):
    with llama_engine() as engine:
        record = engine.record
        assert run(_both(engine)) == (True, True)
        assert record.url.startswith("http://127.0.0.1:")
        listening = {c.laddr.ip for p in records.processes(record) for c in p.net_connections("inet") if c.status == "LISTEN"}
        assert listening == {"127.0.0.1"}
        line = " ".join(" ".join(p.cmdline()) for p in records.processes(record))
        assert record.key not in line
        assert (records.folder(record.name) / "server.log").stat().st_mode & 0o077 == 0
    assert records.processes(record) == []
    assert records.everything() == []


async def _both(engine):
    health, answer = await engine.health(), await engine.generate(ASK, max_tokens=1)
    counted = await engine.count_prompt_tokens(ASK)
    await engine.aclose()
    return health.ok, answer.prompt_tokens == counted > 3


def test_a_server_that_stays_is_used_by_the_next_and_not_stopped_by_it(llama_engine):
    first = llama_engine()
    first.keep = True
    with first:
        first.proven({"gpu_share": 0.0})
        record = first.record
    assert records.leader(record) is not None
    with llama_engine() as second:
        assert (second.record.pid, second.record.name) == (record.pid, record.name)
        assert run(_both(second)) == (True, True)
    assert records.leader(record) is not None
    other = llama_engine("profile.slot_context_tokens=1024")
    with other:  # needs more than it has
        assert other.record.pid != record.pid
    assert records.end(record) == 1


def test_a_name_that_is_taken_by_something_else_is_not_taken_away(vllm_engine):
    first = vllm_engine("name=one")
    first.keep = True
    with first:
        first.proven({"gpu_share": 0.0})
    other = vllm_engine("name=one", "profile.concurrency=2")
    other.keep = True
    with pytest.raises(UsageError, match=r"one runs already: .*, 1 slots of 512 tokens") as caught, other:
        pass
    assert caught.value.hint == "llmc stop name=one, or deploy beside it under another name="
    again = vllm_engine("name=one")
    again.keep = True
    with again:
        assert again.record.pid == records.read("one").pid


def test_two_servers_run_side_by_side(vllm_engine):
    for name in ("one", "two"):
        engine = vllm_engine(f"name={name}")
        engine.keep = True
        with engine:
            engine.proven({"gpu_share": 0.0})
    one, two = records.everything()
    assert (one.name, two.name) == ("one", "two")
    assert one.url != two.url
    records.end(one)
    assert records.leader(one) is None
    assert records.leader(two) is not None


def test_vllm_speaks_as_the_real_one_did(vllm_engine):
    async def talk(engine):
        try:
            answer = await engine.generate(ASK, max_tokens=3)
            counted = await engine.count_tokens("hello world"), await engine.count_prompt_tokens(ASK)
            placement, activity = await engine.placement(), await engine.activity()
            with pytest.raises(ContextOverflow, match="maximum context length is 512 tokens"):
                await engine.generate([Message("user", "word " * 600)], max_tokens=1)
            return answer, counted, placement, activity, await engine.models()
        finally:
            await engine.aclose()

    with vllm_engine() as engine:
        answer, counted, placement, activity, listed = run(talk(engine))
    assert (answer.text, answer.prompt_tokens, answer.output_tokens, answer.cached_tokens) == ("I'm sorry", 33, 3, 0)
    assert answer.request_id == "chatcmpl-951a60af1c18d1a5"
    assert counted == (2, 2)
    assert placement.gpu_share == 0
    assert (activity.slots_busy, activity.queued, activity.output_tokens_total) == (1, 2, 14)
    assert activity.kv_used_share == 0.25
    assert listed == [engine.model]


def test_what_vllm_starts_is_ended_with_it_also_when_its_first_process_was_killed(vllm_engine):
    engine = vllm_engine("name=one")
    engine.keep = True
    with engine:
        record = engine.record
        assert len(records.processes(record)) == 2
        os.kill(record.pid, signal.SIGKILL)
        with pytest.raises(EngineUnavailable, match=r"one \(vllm\) was killed by SIGKILL"):
            run(engine.generate(ASK, max_tokens=1))
    assert len(records.processes(record)) == 1
    assert records.end(record) == 1
    assert records.processes(record) == []


def test_a_server_that_died_in_a_run_is_started_again_by_entering_it_again(vllm_engine):
    with vllm_engine() as engine:
        first = engine.record
        for process in records.processes(first):
            process.kill()
        with pytest.raises(EngineUnavailable):
            run(engine.generate(ASK, max_tokens=1))
        engine.__exit__(None, None, None)
        engine.__enter__()
        assert engine.record.pid != first.pid
        assert run(_both(engine))[0]
        assert records.read(first.name) is None


def test_a_fallback_rung_whose_model_is_on_the_cpu_is_not_asked(vllm_engine, monkeypatch):
    async def closed(words):
        tier = Tier("second", Identity("m", "vllm"), "", local=True, open=lambda: vllm_engine(*words))
        try:
            await tier.running()
        except Closed as error:
            return str(error)
        finally:
            await tier.aclose()

    assert run(closed(["backend=cuda"])).startswith("backend=cuda was asked for, but smollm2-135m-instruct is on the CPU")
    assert records.everything() == []
    assert run(closed(["backend=cuda", "allow_cpu=true"])) is None
    monkeypatch.setenv("FAKE_VLLM_PLATFORM", "GPU")
    assert run(closed(["backend=cuda"])) is None


def test_a_start_is_given_up_when_the_server_ends_and_says_why(vllm_engine, monkeypatch):
    monkeypatch.setenv("FAKE_VLLM_LOG", str(ROOT / "data" / "logs" / "vllm-memory.log"))
    with pytest.raises(EngineUnavailable) as caught, vllm_engine():
        pass
    assert caught.value.message.startswith("vllm ended with exit code 1 while starting: ValueError: Available memory on node 0")
    assert "profile.slot_context_tokens" in caught.value.hint
    assert caught.value.details[-1].startswith("RuntimeError: Engine core initialization failed")
    assert records.everything() == []


def test_a_start_is_given_up_when_nothing_moves(vllm_engine, monkeypatch):
    monkeypatch.setenv("FAKE_VLLM_STALL", "1")
    engine, ended = vllm_engine("engine.start_stall_seconds=1"), []
    monkeypatch.setattr(records, "end", lambda record, end=records.end: ended.append((record, end(record))))
    with pytest.raises(EngineUnavailable, match="vllm has done nothing for 1 s while starting"), engine:
        pass
    (record, count), *_ = ended
    assert count == 3
    assert records.processes(record) == []


def test_a_junk_file_is_said_to_be_one(config, tmp_path, real_llama_server):
    junk = tmp_path / "junk.gguf"
    junk.write_bytes(b"junk" * 1000)
    engine = load(config("engine=llama_server", f"engine.binary={real_llama_server}"), weights=junk, model_digest="")
    engine.usual_port = 9
    with pytest.raises(EngineUnavailable, match=r"exit code 1 while starting: .*invalid magic characters") as caught, engine:
        pass
    assert caught.value.hint.startswith(f"{junk} is no GGUF file, or a damaged one; its log: llmc logs name=")


@pytest.mark.parametrize(
    ("binary", "message"),
    [
        ("/no/such/program", "engine.binary=/no/such/program is not an executable file"),
        ("/bin/false", "ended with exit code 1"),
    ],
)
def test_a_program_that_is_none_is_an_unavailable_engine(config, weights, binary, message):
    engine = load(config("engine=llama_server", f"engine.binary={binary}"), weights=weights, model_digest="")
    engine.usual_port = 9
    with pytest.raises(EngineUnavailable, match=message), engine:
        pass


def test_a_port_that_is_taken_is_named(llama_engine, fake):
    port = fake("llama_server").url.rsplit(":", 1)[1]
    engine = llama_engine(f"engine.port={port}")
    with pytest.raises(EngineUnavailable) as caught, engine:
        pass
    assert re.fullmatch(rf"engine\.port={port} is held by python\S* \(process \d+, user \S+\)", caught.value.message)
    assert caught.value.hint.startswith("to take a free one: llmc deploy engine=llama_server backend=cpu ")
    assert "engine.port" not in caught.value.hint
    assert records.everything() == []


def test_a_server_the_user_runs_is_used_and_left_alone(llama_engine, config, weights, monkeypatch):
    with llama_engine() as theirs:
        record = theirs.record
        monkeypatch.setenv("MY_KEY", record.key)
        url = f"engine.url={record.url}"
        ours = load(
            config("engine=llama_server", url, "engine.key_env=MY_KEY", "profile.concurrency=3"),
            weights=weights,
            model_digest="b179",
        )
        with ours:
            assert ours.command() == []
            assert ours.model_digest == "b179"  # it says that it serves this very file
            assert (ours.slots, ours.slot_context_tokens) == (1, 512)  # what the server has, not what was asked for
            assert run(_both(ours)) == (True, True)
            assert run(ours.placement()).gpu_share is None
        assert records.leader(record) is not None
        wrong = load(
            config("engine=llama_server", url, "engine.key_env=MY_KEY", "model=gemma_270m"), weights=None, model_digest=""
        )
        with pytest.raises(EngineUnavailable, match="serves smollm2-135m-instruct, not gemma"), wrong:
            pass


def test_a_server_on_the_usual_port_that_has_the_model_is_found(vllm_engine):
    with vllm_engine() as theirs:
        found = vllm_engine()
        found.usual_port = int(theirs.record.url.rsplit(":", 1)[1])
        key = theirs.record.key
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("VLLM_API_KEY", key)
            with found:
                assert not found.record.ours
                assert found.slot_context_tokens == 512
        assert records.leader(theirs.record) is not None


def test_a_server_for_one_run_ends_when_llmc_is_killed(vllm_engine, config, vllm, tmp_path):
    code = textwrap.dedent(f"""
        import sys, time
        from hydra import compose, initialize_config_dir
        from llmc import cli, schema
        from llmc.engine import load
        schema.register()
        with initialize_config_dir(str(cli.CONF), version_base="1.3"):
            made = schema.typed(compose("config", overrides=["target=deploy", "engine=vllm", "+model.vllm.none=org/model",
                "backend=cpu", "profile.slot_context_tokens=512", "engine.binary={vllm}"]))
        engine = load(made, weights=None, model_digest="")
        engine.usual_port = 9
        with engine:
            print(engine.record.name, flush=True)
            time.sleep(60)
    """)
    import subprocess

    llmc = subprocess.Popen([sys.executable, "-P", "-c", code], stdout=subprocess.PIPE)
    name = llmc.stdout.readline().decode().strip()
    record = records.read(name)
    assert len(records.processes(record)) == 3  # the guard, the server, the server's child
    llmc.kill()
    llmc.communicate()
    deadline = time.monotonic() + 20
    while records.processes(record) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert records.processes(record) == []
    assert records.abandoned(record)
    with vllm_engine():  # the next one clears what is left of it
        assert records.read(name) is None


def test_a_server_whose_llmc_and_guard_were_both_killed_is_ended_by_the_next(vllm_engine):
    with vllm_engine() as engine:
        record = engine.record
        records.write(replace(record, owner_pid=os.getpid(), owner_create_time=1.0))
        with vllm_engine() as second:
            assert second.record.name != record.name
            assert records.processes(record) == []


def test_secrets_of_our_environment_stay_with_us_but_for_what_the_server_needs(vllm_engine, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "aws")
    monkeypatch.setenv("HF_TOKEN", "hf_1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    with vllm_engine() as engine:
        environments = [p.environ() for p in records.processes(engine.record)]
        kept = (records.folder(engine.record.name) / "server.json").read_text()
    server = next(e for e in environments if "VLLM_API_KEY" in e)
    assert (server["HF_TOKEN"], server["CUDA_VISIBLE_DEVICES"], server["VLLM_NO_USAGE_STATS"]) == ("hf_1", "1", "1")
    assert server["VLLM_CPU_KVCACHE_SPACE"] == "1"
    assert "OPENAI_API_KEY" not in server
    assert "AWS_SECRET_ACCESS_KEY" not in server
    assert '"CUDA_VISIBLE_DEVICES": "1"' in kept
    assert "hf_1" not in kept


def test_the_settings_reach_the_command_line(config, weights, vllm):
    words = ("profile.concurrency=3", "profile.slot_context_tokens=1024", "engine.gpu_memory_fraction=0.8")
    engine = load(
        config("engine=llama_server", "engine.binary=/bin/true", "engine.kv_cache_type=q8_0", "engine.flash_attention='on'",
               "engine.prefix_caching=false", "engine.threads=2", "engine.port=8123", "engine.arguments=[--mlock]", *words),
        weights=weights, model_digest="",
    )  # fmt: skip
    line = " ".join(engine.command())
    for said in (
        f"--model {weights}", "--host 127.0.0.1 --port 8123", "--parallel 3 --ctx-size 3072", "--device none --threads 2",
        "--flash-attn on", "--cache-type-k q8_0 --cache-type-v q8_0", "--no-cache-prompt", "--mlock",
    ):  # fmt: skip
        assert said in line
    engine = load(
        config("engine=vllm", f"engine.binary={vllm}", "+model.vllm.none=org/model", "engine.port=8123", "backend=cuda",
               "engine.prefix_caching=false", "engine.kv_cache_type=fp8", "engine.arguments=[--enforce-eager]", *words),
        weights=None, model_digest="",
    )  # fmt: skip
    assert engine.command() == [
        "env", "VLLM_NO_USAGE_STATS=1", "DO_NOT_TRACK=1", str(vllm), "serve", "org/model", "--served-model-name",
        "smollm2-135m-instruct", "--host", "127.0.0.1", "--port", "8123", "--max-model-len", "1024", "--max-num-seqs", "3",
        "--gpu-memory-utilization", "0.8", "--kv-cache-dtype", "fp8", "--no-enable-prefix-caching", "--enforce-eager",
    ]  # fmt: skip


def test_a_kv_type_llama_cpp_does_not_have_is_a_usage_error(config, weights):
    engine = load(config("engine=llama_server", "engine.kv_cache_type=fp8"), weights=weights, model_digest="")
    with pytest.raises(UsageError, match=r"engine\.kv_cache_type=fp8 is none of f32, f16"):
        engine.command()


def test_a_model_vllm_has_no_checkpoint_of_is_a_usage_error(config):
    with pytest.raises(UsageError, match=r"not known to vLLM as quant=q4_k_m; there is quant=none"):
        load(config("engine=vllm", "model=qwen", "quant=q4_k_m"), weights=None, model_digest="")


def test_a_gpu_is_asked_for_by_its_devices_and_their_memory(config, weights, tmp_path):
    program = tmp_path / "llama-server"
    listing = "Available devices:\n  Vulkan0: Radeon (16384 MiB, 16000 MiB free)\n  CUDA0: RTX (8192 MiB, 8000 MiB free)"
    program.write_text(f"#!/bin/sh\necho '{listing}'\n")
    program.chmod(0o700)
    words = ("engine=llama_server", f"engine.binary={program}", "engine.gpu_memory_fraction=0.75")
    line = " ".join(load(config(*words, "backend=vulkan"), weights=weights, model_digest="").command())
    assert "--device Vulkan0 --fit-target 4096" in line
    with pytest.raises(EngineUnavailable) as caught:
        load(config(*words, "backend=rocm"), weights=weights, model_digest="").command()
    assert caught.value.message.endswith("sees no rocm device; it sees Vulkan0 (Radeon), CUDA0 (RTX)")
    line = " ".join(load(config(*words, "backend=rocm", "allow_cpu=true"), weights=weights, model_digest="").command())
    assert "--device none" in line


@pytest.mark.parametrize("name", ["nope", "_http", "records", "served", "a.b", ""])
def test_an_engine_that_is_none_is_a_usage_error(config, name):
    made = config("engine=embedded")
    made.engine.name = name
    with pytest.raises(UsageError, match="there is no such engine"):
        load(made, weights=None, model_digest="")
