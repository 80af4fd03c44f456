"""What the doctor says about machines, word for word: ``golden/`` (LLMC_WRITE_GOLDEN=1 writes it anew)."""

import os
import shutil
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from described import HOSTS, configured, found

from llmc.engine import records
from llmc.machine import advice, choose, ports
from llmc.model import weights
from llmc.report import plain, tables
from llmc.schema import RunConfig
from llmc.target import doctor

GOLDEN = Path(__file__).parent / "golden"
CASES = [
    ("mi50", "model=qwen"),
    ("mi50", "model=qwen engine=ollama backend=vulkan"),
    ("mi50", "model=llama engine=ollama backend=rocm"),
    ("mi50", "model=qwen backend=opencl"),
    ("mi50", "model=qwen engine=llama_server backend=vulkan quant=none"),
    ("xtx", "model=qwen"),
    ("xtx", "model=llama engine=vllm backend=rocm"),
    ("hanging", "model=qwen"),
    ("igpu", "model=gemma"),
    ("mixed", "model=qwen"),
    ("driver6", "model=qwen engine=ollama backend=rocm"),
    ("driver6", "model=qwen"),
    ("no_permission", "model=qwen engine=llama_server backend=rocm"),
    ("nvidia", "model=llama"),
    ("nvidia", "model=llama engine=vllm backend=cuda quant=q4_k_m"),
    ("nvidia", "model=llama engine=vllm"),
    ("nvidia_no_driver", "model=qwen engine=llama_server backend=cuda"),
    ("none", "model=qwen"),
    ("software", "model=qwen engine=llama_server backend=vulkan"),
    ("software", "model=smollm"),
]


def doctored(name: str, words: str, folder: Path, **environ: str) -> tuple[RunConfig, doctor.Diagnosis | str]:
    machine = found(name, folder, **environ)
    config, _ = choose.resolve(configured(words), machine)
    if refused := advice.refusal(config, machine):
        return config, f"error: {refused[0]}\nhint:  {refused[1]}\n"
    return config, doctor.diagnose(config, machine, whole=True)


@pytest.fixture(autouse=True)
def no_weights(tmp_path, monkeypatch):
    """Sizes to download are part of the text, the disk of whoever runs this is not."""
    monkeypatch.setenv("LLMC_HOME", str(tmp_path / "home"))


@pytest.mark.parametrize(("name", "words"), CASES, ids=[f"{n} {w}" for n, w in CASES])
def test_the_verdict_is_the_one_that_was_read_and_agreed(name, words, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: False, raising=False)
    _, said = doctored(name, words, tmp_path)
    if isinstance(said, doctor.Diagnosis):
        said.findings[:] = [f for f in said.findings if f.subject != "disk"]
        tables.render(said)
        said = capsys.readouterr().out
    text = f"$ llmc doctor {words}\n" + "".join(line.rstrip() + "\n" for line in said.replace(str(tmp_path), "").splitlines())
    file = GOLDEN / f"{name}-{words.replace('=', '-').replace(' ', '-')}.txt"
    if os.environ.get("LLMC_WRITE_GOLDEN"):
        file.write_text(text)
    assert text == file.read_text()


@pytest.mark.parametrize("name", [name for name in HOSTS if name != "hanging"])
def test_the_gfx_override_is_never_suggested(name, tmp_path):
    for number, words in enumerate(("model=qwen", "model=qwen engine=llama_server backend=rocm", "model=qwen engine=vllm")):
        _, said = doctored(name, words, tmp_path / str(number))
        assert "HSA_OVERRIDE" not in str(plain(said))


def test_an_override_that_is_set_on_an_mi50_is_to_be_removed(tmp_path):
    _, said = doctored("mi50", "model=qwen", tmp_path, HSA_OVERRIDE_GFX_VERSION="9.0.8")
    (finding,) = [f for f in said.findings if "HSA_OVERRIDE" in f.text]
    assert finding.fix == "unset HSA_OVERRIDE_GFX_VERSION"
    assert finding.text == ("HSA_OVERRIDE_GFX_VERSION=9.0.8 cannot help gfx906: other cards' code uses instructions it lacks")


def told(tmp_path, name, words, **environ):
    _, said = doctored(name, words, tmp_path, **environ)
    return [(f.level, f.text, f.fix) for f in said.findings if f.subject == "environment"]


def test_a_variable_for_a_server_that_systemd_starts_cannot_take_effect_and_where_it_can_is_said(tmp_path):
    ((level, text, fix),) = told(tmp_path, "driver6", "engine=ollama backend=vulkan model=qwen", GGML_VK_VISIBLE_DEVICES="0")
    assert level == "warning"
    assert text.startswith("GGML_VK_VISIBLE_DEVICES=0 cannot take effect: the Ollama server is started by systemd")
    assert "Environment=%s\\n' GGML_VK_VISIBLE_DEVICES=0" in fix
    assert fix.endswith("sudo systemctl restart ollama")


def test_a_variable_that_hides_every_gpu_is_a_problem_only_for_the_backend_that_reads_it(tmp_path):
    words = "engine=llama_server backend=rocm model=qwen"
    ((level, _, fix),) = told(tmp_path / "1", "xtx", words, HIP_VISIBLE_DEVICES="-1")
    assert (level, fix) == ("problem", "unset HIP_VISIBLE_DEVICES")
    ((level, text, _),) = told(tmp_path / "2", "xtx", words, GGML_VK_VISIBLE_DEVICES="-1")
    assert (level, text) == ("ok", "GGML_VK_VISIBLE_DEVICES=-1 is passed on to servers that llmc starts")


def test_an_ollama_elsewhere_is_a_problem_for_a_profile_that_stays_on_this_machine(tmp_path):
    words = "engine=ollama backend=cpu model=qwen"
    ((level, text, fix),) = told(tmp_path, "none", words, OLLAMA_HOST="http://anna:secret@gpu.example.org:11434")
    assert (level, fix) == ("problem", "unset OLLAMA_HOST")
    assert "secret" not in text


def test_the_predecessors_variables_are_explained(tmp_path):
    said = told(tmp_path, "none", "model=smollm", OLLAMA_ENDPOINT="http://127.0.0.1:11434", MODEL_PREFER_LOCAL="1")
    assert [level for level, _, _ in said] == ["ok", "warning"]
    assert "profile=local, hybrid or cloud" in said[1][1]


def test_a_token_is_never_shown(tmp_path, capsys):
    token = "hf_" + "x" * 34
    _, said = doctored("xtx", "model=llama", tmp_path, HF_TOKEN=token, HF_HOME="/data/hf")
    tables.render(said)
    assert token not in capsys.readouterr().out
    assert token not in str(plain(said))
    assert any("HF_TOKEN is set (not shown)" in finding.text for finding in said.findings)


def test_json_has_the_prediction_the_machine_and_every_finding(tmp_path):
    _, diagnosis = doctored("mi50", "model=qwen", tmp_path)
    said = plain(diagnosis)
    assert said["exit_code"] == 0
    assert said["fit"]["weights"] == {"bytes": 4683074240, "how": "exact"}
    assert said["machine"]["gpus"][0]["gfx"] == "gfx906"
    assert {f["level"] for f in said["findings"]} == {"ok", "warning"}


def test_a_configuration_that_cannot_work_ends_with_a_code_that_is_not_zero(tmp_path):
    _, diagnosis = doctored("no_permission", "model=qwen engine=llama_server backend=rocm", tmp_path)
    assert diagnosis.exit_code == 1


def test_a_file_of_ones_own_is_there_or_is_a_problem_and_its_size_is_what_is_to_fit(tmp_path, monkeypatch):
    machine, config = found("none", tmp_path), configured("model=qwen engine=embedded backend=cpu quant=auto")
    missing = replace(config, model=replace(config.model, path=str(tmp_path / "mine.gguf")))
    said = {f.subject: f for f in doctor.diagnose(missing, machine, whole=True).findings}
    assert (said["weights"].level, said["weights"].text) == ("problem", f"{tmp_path / 'mine.gguf'} is not there")
    assert said["weights"].fix == "llmc deploy model=qwen engine=embedded backend=cpu"
    (tmp_path / "mine.gguf").write_bytes(bytes(3 << 20))
    diagnosis = doctor.diagnose(missing, machine, whole=True)
    assert {f.subject: f.level for f in diagnosis.findings}["weights"] == "ok"
    assert (diagnosis.fit.weights_bytes, diagnosis.fit.weights_exact) == (3 << 20, True)
    assert choose.is_small(missing)


def test_what_of_a_download_is_here_needs_no_more_room(tmp_path):
    machine, config = found("none", tmp_path), configured("model=qwen engine=embedded backend=cpu")
    part = weights(config).path.with_name(weights(config).path.name + ".part")
    part.parent.mkdir(parents=True)
    with part.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, 256 << 20)
    large = replace(config.model.files["q4_k_m"], bytes=shutil.disk_usage(tmp_path).free + (128 << 20))
    config = replace(config, model=replace(config.model, files={"q4_k_m": large}))
    assert disk(doctor.diagnose(config, machine, whole=False)) == "ok"
    part.write_bytes(b"")
    larger = replace(large, bytes=shutil.disk_usage(tmp_path).free + (128 << 20))
    config = replace(config, model=replace(config.model, files={"q4_k_m": larger}))
    assert disk(doctor.diagnose(config, machine, whole=False)) == "problem"


def disk(diagnosis):
    return next(f.level for f in diagnosis.findings if f.subject == "disk")


def test_a_hint_keeps_what_was_set_besides(tmp_path):
    config = configured("model=qwen engine=llama_server backend=cpu")
    config = replace(config, engine=replace(config.engine, kv_cache_type="q8_0", port=9000), allow_cpu=True)
    assert advice.mending(config, "quant=q8_0") == (
        "llmc deploy model=qwen engine=llama_server backend=cpu quant=q8_0 "
        "engine.port=9000 engine.kv_cache_type=q8_0 allow_cpu=true"
    )


def test_doctor_tells_of_servers_on_record_and_of_one_that_was_named_and_does_not_answer(llmc_inside):
    gone = records.Record("mine", "llama_server", "m", "", "cpu", "http://127.0.0.1:9", 1, 512, ours=True, boot=records.boot())
    records.write(gone)
    url = "http://127.0.0.1:9"
    said = llmc_inside("doctor", "engine=llama_server", f"engine.url={url}").json
    servers = [(f["level"], f["text"], f["fix"]) for f in said["findings"] if f["subject"] == "server"]
    assert servers == [
        ("warning", f"mine: m on llama_server (cpu) at {url}, gone: it has ended", "llmc stop name=mine"),
        ("problem", f"{url} cannot be reached: All connection attempts failed", "llmc deploy engine=llama_server"),
    ]
    assert said["exit_code"] == 1


def test_a_password_in_an_address_is_refused_before_it_is_shown(llmc_inside):
    message, _ = llmc_inside("doctor", "engine=llama_server", "engine.url=http://anna:secret@127.0.0.1:9").usage()
    assert message.startswith("engine.url has a name or a password in it")


def test_doctor_on_this_machine_tells_about_it(llmc_inside):
    said = llmc_inside("doctor").ok().json
    assert {"processor", "memory", "choice", "fit"} <= {f["subject"] for f in said["findings"]}
    assert said["machine"]["cores"] >= 1
    assert said["next"] == "llmc deploy"


def test_a_port_that_somebody_else_holds_is_a_problem_when_it_was_asked_for_and_says_who(llmc_inside):
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        said = llmc_inside("doctor", "engine=llama_server", "backend=cpu", f"engine.port={port}").json
        ((level, text, fix),) = [
            (f["level"], f["text"], f["fix"]) for f in said["findings"] if f["subject"] == "port" and str(port) in f["text"]
        ]
    assert level == "problem"
    assert text.startswith(f"engine.port={port} is held by python")
    assert f"(process {os.getpid()}, user " in text
    assert fix == "llmc deploy engine=llama_server backend=cpu"
    assert ports.holder(port) == ""


def test_a_gated_repository_without_a_token_is_told_before_it_is_fetched(tmp_path):
    words = "model=llama engine=vllm quant=none"
    for environ, count in (({}, 1), ({"HF_TOKEN": "hf_x"}, 0)):
        _, said = doctored("nvidia", words, tmp_path / str(count), **environ)
        assert sum("wants its licence accepted" in f.text for f in said.findings) == count
    _, said = doctored("nvidia", "model=llama engine=vllm quant=int4", tmp_path / "open")
    assert not any("licence" in f.text for f in said.findings)
