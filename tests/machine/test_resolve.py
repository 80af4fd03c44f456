"""``auto``: what is chosen on which machine, as a pure function of what was probed."""

from dataclasses import replace

import pytest
from described import configured, found

from llmc.machine import choose
from llmc.machine.found import Probed, Program, Server

BARE = Probed(processor="x", flags=frozenset({"avx2"}), memory_bytes=16 << 30, available_bytes=14 << 30)
EMBEDDED = {"embedded": Program("xllamacpp", "1")}


def chosen(words, machine):
    config, reasons = choose.resolve(configured(words), machine)
    return (config.engine.name, config.backend.name, config.quant.name), reasons


def test_the_default_model_is_served_by_the_embedded_engine_whatever_gpu_there_is(tmp_path):
    for machine in (replace(BARE, programs=EMBEDDED), found("xtx", tmp_path)):
        assert chosen("model=smollm", machine) == (
            ("embedded", "cpu", "auto"),
            ["smollm2-135m-instruct is small: the processor is enough"],
        )


def test_what_is_named_stays_as_named():
    config = configured("model=qwen engine=embedded backend=cpu quant=q8_0")
    assert choose.resolve(config, BARE) == (config, [])


@pytest.mark.parametrize(
    ("name", "words", "expected"),
    [
        ("mi50", "model=qwen", ("llama_server", "vulkan", "auto")),
        ("mi50", "model=qwen quant=none", ("embedded", "cpu", "none")),  # 16 GiB that Vulkan sees do not hold it
        ("mi50", "model=qwen engine=embedded", ("embedded", "cpu", "auto")),
        ("xtx", "model=qwen", ("llama_server", "rocm", "auto")),
        ("driver6", "model=qwen", ("ollama", "vulkan", "auto")),
        ("mixed", "model=qwen", ("llama_server", "vulkan", "auto")),
        ("igpu", "model=gemma", ("llama_server", "vulkan", "auto")),
        ("nvidia", "model=llama", ("llama_server", "cuda", "auto")),
        ("nvidia", "model=llama engine=vllm", ("vllm", "cuda", "int8")),  # 16-bit weights do not fit into 12 GB
        ("software", "model=qwen", ("embedded", "cpu", "auto")),
        ("none", "model=qwen", ("embedded", "cpu", "auto")),
    ],
)
def test_the_best_that_works_and_fits_is_chosen(name, words, expected, tmp_path):
    assert chosen(words, found(name, tmp_path))[0] == expected


def test_why_something_better_was_passed_over_is_said(tmp_path):
    reasons = chosen("model=qwen", found("driver6", tmp_path))[1]
    assert reasons[1:] == [
        "not ollama on rocm: amdgpu 6.12.12 is older than ROCm 7, which Ollama's libraries need: it would fall to the CPU"
    ]


def test_a_running_ollama_is_an_engine_although_its_program_is_not_found():
    machine = replace(BARE, servers=(Server("ollama", "http://127.0.0.1:11434"),))
    assert chosen("model=qwen engine=auto backend=cpu", machine)[0] == ("ollama", "cpu", "auto")


def test_settings_beside_engine_auto_are_kept():
    config = configured("model=qwen")
    config = replace(config, engine=replace(config.engine, threads=3))
    made, _ = choose.resolve(config, replace(BARE, programs=EMBEDDED))
    assert (made.engine.name, made.engine.threads, made.engine.package) == ("embedded", 3, "xllamacpp")


def test_what_does_not_fit_is_made_smaller_by_settings_that_do_fit(tmp_path):
    machine = found("nvidia", tmp_path)
    config = configured("model=llama engine=llama_server backend=cuda quant=q8_0")
    config = replace(config, profile=replace(config.profile, slot_context_tokens=8192, concurrency=4))
    assert not choose.fitted(config, machine, "llama_server", "cuda", "q8_0").fits
    steps = choose.smaller(config, machine)
    assert steps[0] == {"profile.concurrency": "1"}
    assert {"profile.slot_context_tokens": "2048"} in steps
    assert all(choose.changed(config, machine, step).fits for step in steps)


def test_vulkan_has_only_as_much_of_a_card_as_it_shows(tmp_path):
    machine = found("mi50", tmp_path)
    assert choose.room(machine, "vulkan").total_bytes == 17163091968
    assert choose.room(machine, "rocm").total_bytes == 34342961152


def test_an_integrated_gpu_has_no_more_than_the_machine_has_free(tmp_path):
    machine = found("igpu", tmp_path)
    assert choose.room(machine, "vulkan").free_bytes == machine.available_bytes == 9000000 << 10


def test_an_ollama_elsewhere_is_not_chosen_where_the_texts_must_stay(tmp_path):
    machine = found("xtx", tmp_path)
    programs = {name: program for name, program in machine.programs.items() if name != "llama_server"}
    elsewhere = replace(machine, programs={**programs, **EMBEDDED}, environ={"OLLAMA_HOST": "box:11434"}, servers=())
    assert chosen("model=qwen", elsewhere)[0][:2] == ("embedded", "cpu")
    assert chosen("model=qwen profile=hybrid", elsewhere)[0][0] == "ollama"


def test_a_gpu_that_the_environment_hides_is_not_chosen(tmp_path):
    config, _ = choose.resolve(configured("model=llama engine=vllm"), found("nvidia", tmp_path / "seen"))
    assert config.backend.name == "cuda"
    hidden = found("nvidia", tmp_path / "hidden", CUDA_VISIBLE_DEVICES="-1")
    config, _ = choose.resolve(configured("model=llama engine=vllm"), hidden)
    assert config.backend.name != "cuda"
    assert not choose.able(hidden, "vllm", "cuda").able
