"""llmc deploy, status, logs and stop as commands: servers that stay, are watched, killed, and stopped."""

import contextlib
import hashlib
import json
import os
import shutil
import signal
import stat
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
from running import shebang

from llmc import report, schema
from llmc.engine import records
from llmc.engine.served import free_port
from llmc.errors import EngineUnavailable, UsageError
from llmc.target import deploy as deploying
from llmc.target import stop as stopping
from llmc.target.export import Exported
from llmc.target.status import sample

ROOT = Path(__file__).parent
SMALL = ("profile.concurrency=1", "profile.slot_context_tokens=512")


@pytest.fixture
def servers(home, tmp_path, monkeypatch):
    """A state folder of the test's own with the session's weights; what was left running in it is ended."""
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "cache").symlink_to(home / "cache")
    monkeypatch.setenv("LLMC_HOME", str(folder))
    monkeypatch.setattr(records, "ORPHAN_SECONDS", 0.2)
    yield folder / "state" / "servers"
    for record in records.everything():
        records.end(record)


@pytest.fixture
def vllm(tmp_path, servers):
    """The words that deploy vLLM's stand-in."""
    program = tmp_path / "vllm"
    program.write_text(f"{shebang()}import runpy\nrunpy.run_path({str(ROOT / 'fakes' / 'vllm.py')!r})\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return ("engine=vllm", f"engine.binary={program}", "+model.vllm.none=org/model", "quant=none", *SMALL)


class Direct:
    """The targets as functions, without a command line: what they return, as it is printed."""

    def __init__(self, run_config):
        self.run_config = run_config

    def deploy(self, *words):
        """EngineUnavailable when it cannot."""
        backend = () if any(word.startswith("backend=") for word in words) else ("backend=cpu",)
        made = deploying.deploy(self.run_config("target=deploy", *backend, *words), "nothing: not pulled")
        if isinstance(made, Exported):
            return made
        with made:
            return made.report

    def status(self):
        return report.plain(sample(self.run_config("target=status"), None))["servers"]

    def stop(self, *words):
        return report.plain(stopping.stop(self.run_config("target=stop", *words)))["servers"]


@pytest.fixture
def direct(run_config):
    return Direct(run_config)


def wait_until(done, within=20.0):
    deadline = time.monotonic() + within
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def one(llmc, name):
    (server,) = llmc("status", f"name={name}").json["servers"]
    return server


@pytest.mark.slow
def test_a_real_server_is_started_proven_used_watched_and_stopped(llmc_inside, servers, weights, real_llama_server, corpus):
    words = ("engine=llama_server", f"engine.binary={real_llama_server}", *SMALL)
    report = llmc_inside("deploy", *words).ok().json
    assert (report["gpu_share"], report["ours"], report["stays"]) == (0, True, True)
    assert report["evidence"] == "CPU_Mapped model buffer 92 MiB"
    memory = report["memory_bytes"]
    assert memory["kv"] == 2 * 30 * 3 * 64 * 2 * 512
    assert memory["weights"] <= memory["process"] <= memory["predicted"]
    assert llmc_inside("deploy", *words).ok().json["pid"] == report["pid"]

    server = one(llmc_inside, report["name"])
    assert (server["state"], server["pid"], server["processes"], server["slots"]) == ("ready", report["pid"], 1, 1)
    assert server["activity"]["output_tokens_total"] == 2
    assert server["activity"]["slots_busy"] == server["activity"]["queued"] == 0
    assert server["resident_bytes"] > memory["weights"]

    compress = ("compress", f"input={corpus / 'notes'}", "output=notes.llmc", "view.max_tokens=16", *words)
    llmc_inside(*compress).ok()
    assert one(llmc_inside, report["name"])["activity"]["output_tokens_total"] > 2
    (record,) = records.everything()
    assert (record.name, record.pid) == (report["name"], report["pid"])

    assert "model loaded" in llmc_inside("logs", "lines=500").ok().stdout
    assert len(llmc_inside("logs", "lines=2").ok().stdout.splitlines()) == 2
    assert llmc_inside("stop").ok().json["servers"] == [{"name": report["name"], "outcome": "stopped", "processes": 1}]
    assert records.processes(record) == []
    assert llmc_inside("status").ok().json == {"servers": []}
    assert not servers.joinpath(report["name"]).exists()


@pytest.mark.slow
def test_two_names_run_side_by_side_and_are_stopped_one_by_one(llmc_inside, direct, vllm):
    for name in ("one", "two"):
        direct.deploy(f"name={name}", *vllm)
    assert [s["state"] for s in direct.status()] == ["ready", "ready"]
    message, hint = llmc_inside("stop").usage()
    assert message == "there are 2 servers: one, two"
    assert hint == "llmc stop name=one, or all: llmc stop name='*'"
    direct.stop("name=one")
    assert [s["name"] for s in direct.status()] == ["two"]
    assert llmc_inside("status", "name=one").usage(1) == ("no server is called one", "there is two")
    llmc_inside("stop", "name=*").ok()
    assert direct.status() == []


@pytest.mark.slow
def test_two_deploys_of_one_name_at_once_make_one_server(llmc, vllm):
    both = [llmc.start("deploy", *vllm) for _ in range(2)]
    reports = [json.loads(each.communicate(timeout=60)[0]) for each in both]
    assert reports[0]["pid"] == reports[1]["pid"]
    assert len(records.everything()) == 1


def test_a_killed_api_process_leaves_a_broken_server_that_stop_ends(llmc_inside, direct, vllm):
    pid = direct.deploy(*vllm)["pid"]
    os.kill(pid, signal.SIGKILL)
    (record,) = records.everything()
    wait_until(lambda: records.leader(record) is None)
    result = llmc_inside("status")
    (server,) = result.json["servers"]
    assert (result.code, server["state"], server["processes"]) == (1, "broken", 1)
    assert server["reason"] == "its main process is gone, 1 of its processes live on"
    assert server["next"] == f"llmc stop name={record.name}"
    assert direct.stop()[0]["processes"] == 1
    assert records.processes(record) == []


def test_a_server_that_has_ended_is_gone_with_its_reason_and_its_name_is_free(direct, vllm):
    direct.deploy(*vllm)
    (record,) = records.everything()
    with record.log.open("a") as log:
        log.write("torch.OutOfMemoryError: CUDA out of memory.\n")
    for process in records.processes(record):
        process.kill()
    wait_until(lambda: not records.processes(record))
    (server,) = direct.status()
    assert (server["state"], server["pid"]) == ("gone", None)
    assert server["reason"] == "it has ended: torch.OutOfMemoryError: CUDA out of memory."
    assert direct.deploy(*vllm)["pid"] != record.pid
    assert direct.stop()[0]["outcome"] == "stopped"


@pytest.mark.slow
def test_llmc_killed_during_deploy_leaves_a_server_that_status_shows_and_the_next_deploy_takes(
    llmc, direct, vllm, tmp_path, monkeypatch
):
    gate = tmp_path / "gate"
    monkeypatch.setenv("FAKE_VLLM_GATE", str(gate))
    process = llmc.start("deploy", *vllm)
    wait_until(lambda: [r for r in records.everything() if len(records.processes(r)) == 2])
    (record,) = records.everything()
    process.kill()
    process.communicate()
    (server,) = direct.status()
    assert (server["state"], server["pid"]) == ("starting", record.pid)
    gate.touch()
    assert direct.deploy(*vllm)["pid"] == record.pid
    assert direct.status()[0]["state"] == "ready"
    assert direct.stop()[0]["processes"] == 2


def test_a_gpu_that_was_asked_for_and_not_used_is_a_failure_and_nothing_stays(direct, vllm, monkeypatch):
    with pytest.raises(EngineUnavailable) as caught:
        direct.deploy("backend=cuda", *vllm)
    assert caught.value.message == (
        "backend=cuda was asked for, but smollm2-135m-instruct is on the CPU: CPU KV cache size: 46,592 tokens"
    )
    program = next(word for word in vllm if word.startswith("engine.binary="))
    asked = f"engine=vllm backend=cuda quant=none profile.concurrency=1 profile.slot_context_tokens=512 {program}"
    assert caught.value.hint == f"llmc doctor {asked}; or accept it: llmc deploy {asked} allow_cpu=true"
    assert records.everything() == []
    assert direct.deploy("backend=cuda", "allow_cpu=true", *vllm)["gpu_share"] == 0
    direct.stop()
    monkeypatch.setenv("FAKE_VLLM_PLATFORM", "GPU")
    assert direct.deploy("backend=cuda", *vllm)["gpu_share"] == 1


def test_a_server_that_does_not_say_where_its_model_is_has_proven_nothing(direct, vllm, monkeypatch):
    monkeypatch.setenv("FAKE_VLLM_PLATFORM", "-")
    with pytest.raises(EngineUnavailable) as caught:
        direct.deploy("backend=cuda", *vllm)
    assert caught.value.message == (
        "backend=cuda was asked for, and nothing shows that smollm2-135m-instruct is on it: its log names no platform"
    )
    assert records.everything() == []


def test_a_failed_start_shows_the_last_lines_the_cause_and_what_to_do(llmc_inside, vllm, monkeypatch):
    monkeypatch.setenv("FAKE_VLLM_LOG", str(ROOT / "data" / "logs" / "vllm-arch.log"))
    result = llmc_inside("deploy", "name=one", *vllm)
    _, *tail, error, hint = result.stderr.splitlines()
    assert result.code == 1
    assert error.startswith(
        "error: vllm ended with exit code 1 while starting: Value error, Model architectures ['FrobForCausalLM']"
    )
    assert hint == "hint:  a newer engine, or another model=; its log: llmc logs name=one"
    assert [line[:4] for line in tail] == ["  | "] * 8
    assert "FrobForCausalLM" in llmc_inside("logs", "name=one").ok().stdout
    assert llmc_inside("status").ok().json == {"servers": []}


def test_a_server_of_the_users_own_is_adopted_shown_and_never_stopped(direct, servers, fake):
    server = fake("llama_server")
    words = ("engine=llama_server", f"engine.url={server.url}", "model.name=fake", *SMALL)
    report = direct.deploy(*words)
    assert (report["ours"], report["stays"], report["url"], report["gpu_share"]) == (False, False, server.url, None)
    assert (report["slots"], report["slot_context_tokens"], report["model_sha256"]) == (2, 2048, "")
    assert direct.status()[0]["state"] == "ready"
    assert direct.stop() == [{"name": "fake", "outcome": "left running", "processes": 0}]
    assert server.process.poll() is None


def test_following_a_log_ends_with_its_server(llmc, direct, vllm):
    direct.deploy(*vllm)
    following = llmc.start("logs", "follow=true")
    first = following.stdout.readline().decode()
    record = records.everything()[0]
    with record.log.open("a") as log:
        log.write("a line that came later\n")
    direct.stop()
    rest = following.communicate(timeout=20)[0].decode()
    assert first
    assert "a line that came later" in rest
    assert following.returncode == 0


@pytest.mark.slow
def test_watching_gives_a_document_a_second_with_rates(llmc, direct, vllm):
    direct.deploy(*vllm)
    watching = llmc.start("status", "watch=true")
    samples = [json.loads(watching.stdout.readline()) for _ in range(2)]
    watching.send_signal(signal.SIGINT)
    watching.communicate(timeout=20)
    rates = [s["servers"][0]["output_tokens_per_second"] for s in samples]
    assert rates == [None, 0]
    assert watching.returncode == 130


def test_a_rate_is_of_the_time_that_passed(direct, run_config, vllm):
    direct.deploy(*vllm)
    before = sample(run_config("target=status"), None)
    server = before.servers[0]
    server.activity = replace(server.activity, output_tokens_total=server.activity.output_tokens_total - 10)
    assert sample(run_config("target=status"), before, 5.0).servers[0].output_tokens_per_second == 2


def test_a_dry_run_shows_the_exact_command_and_starts_nothing(llmc_inside, vllm, servers):
    steps = dict(llmc_inside("deploy", "dry_run=true", "engine.port=8123", *vllm).ok().json["steps"])
    assert steps["deploy"].startswith("env VLLM_NO_USAGE_STATS=1 DO_NOT_TRACK=1 VLLM_CPU_KVCACHE_SPACE=1 ")
    assert " serve org/model --served-model-name smollm2-135m-instruct --host 127.0.0.1 --port 8123 " in steps["deploy"]
    assert not servers.exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["export=kube"], "export=kube is none of systemd, compose, command"),
        (["engine.gpu_memory_fraction=1.5"], "engine.gpu_memory_fraction=1.5 is not above 0 and at most 1"),
        (["engine.flash_attention=maybe"], "engine.flash_attention=maybe is none of auto, on, off"),
        (["engine.port=80"], "engine.port=80 is not between 1024 and 65535"),
        (["name=a/b"], "name=a/b: letters, digits, dots, dashes and underscores, at most 64"),
    ],
)
def test_a_wrong_setting_is_said_before_anything_is_done(llmc_inside, servers, words, message):
    assert llmc_inside("deploy", "engine=llama_server", *words).usage()[0] == message


@pytest.mark.parametrize("kind", ["systemd", "compose", "command"])
@pytest.mark.parametrize("engine", ["llama_server", "vllm"])
def test_an_export_is_what_it_always_was(direct, servers, weights, tmp_path, kind, engine):
    program = tmp_path / "a server"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o700)
    written = tmp_path / "written"
    words = ["name=notes", f"engine={engine}", f"engine.binary={program}", "engine.threads=2", *SMALL]
    if engine == "vllm":
        words += ["+model.vllm.none=org/model", "backend=cuda", "engine.arguments=['--chat-template','a \"b\" $HOME 5%']"]
    made = direct.deploy(*words, f"export={kind}", f"output={written}")
    assert made.output == str(written)
    text = written.read_text()
    key = servers.parent / "keys" / "notes.env"
    assert key.stat().st_mode & 0o077 == 0
    secret = key.read_text().strip().partition("=")[2]
    assert len(secret) == 32
    assert secret not in text
    model = servers.parent.parent / "cache" / "models" / weights.name
    for path, name in ((program, "/opt/a server"), (model, "/data/model.gguf"), (key, "/keys/notes.env")):
        text = text.replace(str(path), name)
    golden = ROOT / "golden" / "export" / f"{engine}.{ {'systemd': 'service', 'compose': 'yaml', 'command': 'sh'}[kind] }"
    assert text.replace(weights.name, "model.gguf") == golden.read_text()


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not here")
def test_systemd_finds_nothing_wrong_with_the_unit(direct, servers, weights, tmp_path):
    unit = tmp_path / "notes.service"
    words = ("engine=llama_server", "engine.binary=/bin/true", *SMALL, "export=systemd", f"output={unit}")
    assert direct.deploy(*words).next == f"systemctl --user enable --now {unit}"
    checked = subprocess.run(
        ["systemd-analyze", "--user", "verify", unit],
        capture_output=True,
        text=True,
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
        check=False,
    )
    assert (checked.returncode, checked.stderr) == (0, "")
    with pytest.raises(UsageError, match=r"notes\.service exists"):
        direct.deploy(*words)


def test_an_exported_command_serves_and_is_found_with_its_key(direct, vllm, tmp_path):
    words = (f"engine.port={free_port()}", "name=notes", *vllm)
    script = tmp_path / "serve.sh"
    url = direct.deploy("export=command", f"output={script}", *words).url
    server = subprocess.Popen(["sh", str(script)], stderr=subprocess.DEVNULL)

    def adopted():
        with contextlib.suppress(EngineUnavailable):
            return direct.deploy(f"engine.url={url}", *words)

    try:
        wait_until(adopted)
        assert direct.status()[0]["ours"] is False
    finally:
        server.terminate()
        server.wait()


def test_embedded_cannot_be_exported(llmc_inside, servers, weights):
    assert llmc_inside("deploy", "export=systemd").error(2) == (
        "engine=embedded ends with llmc: there is nothing to export",
        "llmc deploy engine=llama_server export=systemd",
    )


@pytest.mark.slow
def test_vulkan_is_proven_by_the_devices_buffers(llmc_inside, servers, weights, real_llama_server):
    words = ("engine=llama_server", f"engine.binary={real_llama_server}", "backend=vulkan", *SMALL)
    message, _ = llmc_inside("deploy", *words).error(1)
    assert message.endswith("sees no vulkan device; it sees none")  # software is hidden unless it is asked for
    report = llmc_inside("deploy", *words, env={"GGML_VK_VISIBLE_DEVICES": "0"}).ok().json
    assert report["gpu_share"] == 1
    assert report["evidence"].startswith("offloaded 31/31 layers to GPU; ")
    assert "Vulkan0 model buffer 92 MiB" in report["evidence"]
    assert one(llmc_inside, report["name"])["gpu_share"] == 1
    llmc_inside("stop").ok()


def test_a_model_of_the_users_ollama_is_shown_and_given_back_and_the_server_goes_on(direct, servers, fake):
    server = fake("ollama_server", "--has", "qwen2.5:7b-instruct-q4_K_M")
    words = ("engine=ollama", f"engine.url={server.url}", "model=qwen", "quant=q4_k_m", "backend=vulkan", *SMALL)
    report = direct.deploy(*words)
    assert (report["ours"], report["gpu_share"], report["url"]) == (False, 1, server.url)
    assert (direct.status()[0]["name"], direct.status()[0]["state"]) == ("qwen2.5-7b-instruct", "ready")
    assert direct.stop()[0]["outcome"] == "unloaded"
    asked = server.log[-1]
    assert (asked["path"], asked["body"]["keep_alive"]) == ("/api/generate", 0)
    assert server.process.poll() is None
    assert direct.status() == []


def test_an_ollama_that_put_the_model_on_the_cpu_is_not_what_was_asked_for(direct, servers, fake):
    url = fake("ollama_server", "--has", "qwen2.5:7b-instruct-q4_K_M", "--vram-share", 0).url
    words = ("engine=ollama", f"engine.url={url}", "model=qwen", "quant=q4_k_m", "backend=vulkan", *SMALL)
    with pytest.raises(EngineUnavailable, match=r"backend=vulkan was asked for, but .* is on the CPU: /api/ps: size_vram 0 of"):
        direct.deploy(*words)
    assert direct.deploy(*words, "allow_cpu=true")["gpu_share"] == 0


@pytest.fixture
def ollama(tmp_path, servers, monkeypatch):
    """``ollama`` on PATH, with no server running and a store of its own; the words that deploy with it."""
    program = tmp_path / "bin" / "ollama"
    program.parent.mkdir()
    fake = str(ROOT / "fakes" / "ollama_server.py")
    program.write_text(f"{shebang()}import runpy\nrunpy.run_path({fake!r}, run_name='__main__')\n")
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("OLLAMA_HOST", f"127.0.0.1:{free_port()}")
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "store"))
    monkeypatch.setenv("FAKE_OLLAMA", "--has qwen2.5:7b-instruct-q4_K_M --library llama3.1:8b-instruct-q4_K_M")
    return ("engine=ollama", "model=qwen", "quant=q4_k_m", "backend=vulkan", *SMALL)


def test_ollama_is_started_where_none_runs_stays_and_is_stopped_with_what_it_has_started(direct, ollama, tmp_path):
    theirs = os.environ["OLLAMA_HOST"]
    report = direct.deploy(*ollama, "engine.kv_cache_type=q8_0")
    (record,) = records.everything()
    assert (report["ours"], report["stays"], report["gpu_share"], report["pid"]) == (True, True, 1, record.pid)
    assert report["url"] != f"http://{theirs}"  # a free port: theirs may be started any moment
    server, runner = (p.environ() for p in records.processes(record))
    said = {name: server[name] for name in server if name.startswith("OLLAMA_")}
    assert said == {
        "OLLAMA_HOST": report["url"].removeprefix("http://"),
        "OLLAMA_MODELS": str(tmp_path / "store"),
        "OLLAMA_NUM_PARALLEL": "1",
        "OLLAMA_KEEP_ALIVE": "-1",
        "OLLAMA_NOPRUNE": "1",
        "OLLAMA_KV_CACHE_TYPE": "q8_0",
        "OLLAMA_FLASH_ATTENTION": "1",
        "OLLAMA_LLM_LIBRARY": "vulkan",
        "OLLAMA_NO_CLOUD": "1",
    }
    assert runner[records.MARK] == record.mark
    assert direct.deploy(*ollama)["pid"] == record.pid
    (shown,) = direct.status()
    assert (shown["name"], shown["state"], shown["processes"]) == ("qwen2.5-7b-instruct", "ready", 2)
    assert direct.stop()[0] == {"name": "qwen2.5-7b-instruct", "outcome": "stopped", "processes": 2}
    assert records.processes(record) == []


def test_a_model_that_is_not_there_is_pulled_by_a_server_for_that_time(llmc_inside, ollama):
    words = ("engine=ollama", "model=llama", "quant=q4_k_m", "backend=cpu", *SMALL)
    assert dict(llmc_inside("deploy", "dry_run=true", *words).ok().json["steps"])["pull"].startswith("start ollama serve and")
    assert records.everything() == []
    report = llmc_inside("deploy", *words).ok().json
    assert (report["ours"], report["gpu_share"], report["model"]) == (True, 0, "llama3.1:8b-instruct-q4_K_M")
    assert [r.name for r in records.everything()] == ["llama-3.1-8b-instruct"]
    assert llmc_inside("pull", *words).ok().json["downloaded_bytes"] == 0


def test_an_ollama_that_runs_is_used_and_none_is_started(direct, ollama, fake, monkeypatch):
    server = fake("ollama_server", "--has", "qwen2.5:7b-instruct-q4_K_M")
    monkeypatch.setenv("OLLAMA_HOST", server.url)
    assert direct.deploy(*ollama)["ours"] is False
    assert direct.stop()[0]["outcome"] == "unloaded"
    assert server.process.poll() is None


def test_a_gguf_file_of_ones_own_is_given_to_ollama_once_and_served(llmc_inside, servers, fake, tmp_path):
    file = tmp_path / "my model.gguf"
    file.write_bytes(b"GGUF" + bytes(5000))
    name = f"llmc-qwen2.5-7b-instruct:{hashlib.sha256(file.read_bytes()).hexdigest()[:12]}"
    server = fake("ollama_server")
    words = (
        "deploy",
        "engine=ollama",
        f"engine.url={server.url}",
        f"model.path={file}",
        "model=qwen",
        "backend=vulkan",
        *SMALL,
    )
    planned = dict(llmc_inside(*words, "dry_run=true").ok().json["steps"])
    assert planned["pull"] == f"have {server.url} take {file}"
    assert llmc_inside(*words).ok().json["model"] == name
    llmc_inside(*words).ok()
    sent = [line["body"] for line in server.log if line["path"].startswith("/api/blobs/") and line["method"] == "POST"]
    assert sent == [5004]


def test_video_memory_in_use_is_the_models_the_cards_or_said_to_be_unknown(run_config, servers, fake, tmp_path):
    from llmc.machine import Host

    url = fake("ollama_server", "--has", "m:latest").url
    shared = {"model_digest": "", "slots": 1, "slot_context_tokens": 512, "ours": False}
    Direct(run_config).deploy(
        "engine=ollama", f"engine.url={url}", "model=qwen", "+model.ollama.q4_k_m=m", "backend=vulkan", "name=a", *SMALL
    )
    records.write(records.Record("b", "llama_server", "m", backend="vulkan", url="http://127.0.0.1:9", **shared))
    records.write(records.Record("c", "llama_server", "m", backend="cpu", url="http://127.0.0.1:9", **shared))
    device = tmp_path / "sys" / "class" / "drm" / "renderD128" / "device"
    device.mkdir(parents=True)
    for name, text in (("vendor", "0x1002"), ("mem_info_vram_total", 1 << 34), ("mem_info_vram_used", 3 << 30)):
        (device / name).write_text(str(text))
    host = Host(root=tmp_path, environ={"PATH": ""})
    a, b, c = sample(run_config("target=status"), None, host=host).servers
    assert (a.vram.used_bytes, a.vram.source, a.activity.loaded) == (98_362_432, "/api/ps, of this model", True)
    assert (b.vram.used_bytes, b.vram.total_bytes) == (3 << 30, 1 << 34)
    assert b.vram.source == "drm, all of AMD GPU"
    assert c.vram is None
    (device / "mem_info_vram_used").unlink()
    unknown = sample(run_config("target=status"), None, host=host).servers[1].vram
    assert (unknown.used_bytes, unknown.source) == (None, "neither the driver nor nvidia-smi tells")


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (
            ["engine=vllm", "model=qwen", "quant=none", "backend=cpu", "engine.flash_attention='on'"],
            "engine=vllm: engine.flash_attention does not reach it; engine=llama_server or engine=ollama would take it",
            "llmc deploy model=qwen engine=vllm backend=cpu quant=none",
        ),
        (
            ["engine=embedded", "engine.url=http://127.0.0.1:9"],
            "engine=embedded: engine.url does not reach it; engine=llama_server or engine=ollama or engine=vllm would take it",
            "llmc deploy engine=embedded",
        ),
        (
            ["engine=llama_server", "engine.url=http://127.0.0.1:9", "engine.threads=2"],
            "engine.url=http://127.0.0.1:9 is a server that runs already: engine.threads does not reach it; "
            "engine=embedded or engine=llama_server would take it",
            "llmc deploy engine=llama_server engine.url=http://127.0.0.1:9",
        ),
    ],
)
def test_a_setting_that_would_be_ignored_is_refused(run_config, words, message, hint):
    with pytest.raises(UsageError) as caught:
        deploying.check(run_config("target=deploy", *words))
    assert (caught.value.message, caught.value.hint) == (message, hint)


def test_the_documented_table_of_settings_is_what_each_engine_takes():
    lines = (ROOT.parent / "docs" / "deploy.md").read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("| setting |"))
    engines = ("llama_server", "vllm", "ollama", "embedded")
    told = {engine: set() for engine in engines}
    for line in lines[start + 2 :]:
        if not line.startswith("| `"):
            break
        setting, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        for engine, cell in zip(engines, cells, strict=True):
            if "engine." in setting and cell != "-":
                told[engine].add(setting.split("`")[1].removeprefix("engine."))
    elsewhere = {"url", "key_env", "binary", "port"}  # where it is, not how it computes
    assert told == {engine: set(schema.option("engine", engine).takes) - elsewhere for engine in engines}


def test_ollama_is_exported_without_a_key_it_would_not_know(direct, ollama, servers, tmp_path):
    script = tmp_path / "serve.sh"
    direct.deploy(*ollama, "export=command", f"output={script}")
    first, line = script.read_text().splitlines()
    assert first == "#!/bin/sh"
    assert line.startswith("exec env OLLAMA_HOST=127.0.0.1:11434 ")
    assert line.endswith("/bin/ollama serve")
    assert not (servers.parent / "keys").exists()
    with pytest.raises(UsageError, match="export=compose does not know Ollama's container"):
        direct.deploy(*ollama, "export=compose")


def test_a_file_of_ones_own_reaches_an_ollama_that_llmc_starts(llmc_inside, ollama, tmp_path):
    file = tmp_path / "mine.gguf"
    file.write_bytes(b"GGUF")
    report = llmc_inside("deploy", "engine=ollama", "model=qwen", "backend=cpu", f"model.path={file}", *SMALL).ok().json
    assert report["ours"]
    assert report["model"].startswith("llmc-qwen2.5-7b-instruct:")


def test_an_export_has_threads_for_all_cores_however_busy_the_machine_is(direct, servers, weights, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "getloadavg", lambda: (99.0, 99.0, 99.0))
    script = tmp_path / "serve.sh"
    direct.deploy("engine=llama_server", "engine.binary=/bin/true", "export=command", f"output={script}", *SMALL)
    assert f" --threads {len(os.sched_getaffinity(0))} " in script.read_text()
