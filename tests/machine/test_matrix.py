"""What can work with what: refused with a reason, and with a command that would have worked."""

import shlex
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmc import schema
from llmc.machine import matrix
from llmc.machine.found import Gpu

DOCUMENT = Path(__file__).parents[2] / "docs" / "matrix.md"
QWEN, LLAMA, GEMMA = (schema.option("model", name) for name in matrix.MODELS)
MI50 = Gpu("amd", gfx="gfx906")
XTX = Gpu("amd", gfx="gfx1100")
GTX_1080 = Gpu("nvidia", compute_capability="6.1")
INTEL = Gpu("intel", name="Intel Arc A770")


def test_the_document_is_the_one_that_the_data_makes():
    assert DOCUMENT.read_text() == matrix.document(), "python -m llmc.machine.matrix > docs/matrix.md"


def test_the_document_has_a_cell_for_every_combination():
    rows = [line for line in DOCUMENT.read_text().splitlines() if line.count("|") == len(matrix.QUANTS) + 3]
    cells = [cell.strip() for row in rows for cell in row.split("|")[3:-1] if row.split("|")[1].strip() in matrix.ENGINES]
    assert len(cells) == 3 * len(matrix.ENGINES) * len(matrix.BACKENDS) * len(matrix.QUANTS)
    assert all(cell.startswith(("works", "no (")) for cell in cells)


def test_every_quant_and_backend_of_the_configuration_is_in_the_matrix():
    options = {group: {f.stem for f in (schema.state.CONF / group).glob("*.yaml")} - {"auto"} for group in ("quant", "backend")}
    assert options == {"quant": {*matrix.QUANTS}, "backend": {*matrix.BACKENDS}}


@pytest.mark.parametrize(("engine", "backend", "model"), [*product(matrix.ENGINES, matrix.BACKENDS, (QWEN, LLAMA, GEMMA))])
def test_what_is_refused_has_a_reason_and_a_neighbour_that_works(engine, backend, model):
    for quant in (*matrix.QUANTS, "auto"):
        for gpu in (None, MI50, XTX, GTX_1080, INTEL):
            found = matrix.cell(engine, backend, quant, model, gpu)
            near = matrix.nearest(engine, backend, quant, model, gpu)
            assert near is not None
            assert matrix.cell(*near, model, gpu).works
            assert found.works == (near == (engine, backend, quant))
            assert found.works or found.reason


@pytest.mark.parametrize(
    ("asked", "model", "gpu", "near"),
    [
        (("ollama", "opencl", "auto"), QWEN, None, ("ollama", "vulkan", "auto")),
        (("vllm", "cuda", "q4_k_m"), LLAMA, None, ("vllm", "cuda", "int4")),
        (("vllm", "cuda", "q8_0"), LLAMA, None, ("vllm", "cuda", "int8")),
        (("embedded", "vulkan", "auto"), QWEN, None, ("llama_server", "vulkan", "auto")),
        (("vllm", "rocm", "none"), QWEN, MI50, ("llama_server", "vulkan", "none")),
        (("ollama", "rocm", "q4_k_m"), GEMMA, MI50, ("ollama", "vulkan", "q4_k_m")),
        (("llama_server", "rocm", "q4_k_m"), QWEN, MI50, ("llama_server", "vulkan", "q4_k_m")),
        (("llama_server", "opencl", "auto"), QWEN, MI50, ("llama_server", "vulkan", "auto")),
        (("vllm", "cuda", "none"), QWEN, GTX_1080, ("llama_server", "cuda", "none")),
        (("embedded", "cpu", "int4"), QWEN, None, ("embedded", "cpu", "q4_k_m")),
    ],
)
def test_the_neighbour_is_the_one_that_differs_least(asked, model, gpu, near):
    assert matrix.nearest(*asked, model, gpu) == near


def test_gemma_has_no_q5_k_m_in_ollamas_library_but_a_tag_that_works():
    assert GEMMA.ollama["q5_k_m"] == "hf.co/bartowski/google_gemma-3-4b-it-GGUF:Q5_K_M"
    assert matrix.cell("ollama", "vulkan", "q5_k_m", GEMMA).works


def test_rocm_on_an_mi50_works_only_with_a_program_of_ones_own_above_libraries_that_have_its_kernels():
    assert not matrix.cell("llama_server", "rocm", "q4_k_m", QWEN, MI50).works
    own = matrix.cell("llama_server", "rocm", "q4_k_m", QWEN, MI50, kernels=("gfx900", "gfx906"))
    assert own.works
    assert "built for gfx906" in own.reason
    assert not matrix.cell("ollama", "rocm", "q4_k_m", QWEN, MI50, kernels=("gfx900", "gfx906")).works


@given(st.sampled_from(matrix.ENGINES), st.sampled_from(matrix.BACKENDS), st.from_regex(r"gfx[0-9]{1,4}[a-f]?", fullmatch=True))
def test_a_gpu_that_nobody_has_heard_of_is_refused_on_rocm_and_never_on_the_processor(engine, backend, gfx):
    rocm = [said["backends"]["rocm"] for said in matrix.facts()["engines"].values()]
    known = {name for asks in rocm if isinstance(asks, dict) for name in asks["gfx"]}
    gpu = Gpu("amd", gfx=gfx)
    if backend == "cpu":
        assert matrix.backend_cell(engine, backend, gpu).works
    elif backend == "rocm" and gfx not in known:
        assert not matrix.backend_cell(engine, backend, gpu).works


def test_the_facts_say_when_they_were_checked_and_each_engines_from_where():
    assert str(matrix.facts()["checked"]) >= "2026-11-23"
    assert all(engine["source"] for engine in matrix.facts()["engines"].values())


REFUSED = {
    "deploy engine=ollama backend=opencl model=qwen": (
        "Ollama has no OpenCL",
        "llmc deploy model=qwen engine=ollama backend=vulkan",
    ),
    "deploy engine=embedded backend=cuda model=gemma profile.concurrency=2": (
        "the embedded engine's wheel is built for the processor only",
        "llmc deploy model=gemma engine=llama_server backend=cuda profile.concurrency=2",
    ),
    "pull engine=embedded model=qwen quant=int4": (
        "no GGUF file of qwen2.5-7b-instruct as int4 is known",
        "llmc pull model=qwen engine=embedded quant=q4_k_m",
    ),
}


@pytest.mark.parametrize("words", REFUSED)
def test_an_impossible_combination_ends_with_the_command_that_works_and_nothing_is_downloaded(words, llmc_inside, tmp_path):
    home = tmp_path / "home"
    message, hint = llmc_inside(*words.split(), env={"LLMC_HOME": str(home)}).usage()
    reason, command = REFUSED[words]
    assert message.endswith(reason)
    assert hint == command
    assert not (home / "cache").exists()
    if "llama_server" not in command:
        again = llmc_inside(*shlex.split(command)[1:], "dry_run=true", env={"LLMC_HOME": str(home)})
        assert "cannot serve" not in again.stderr


def test_gemma_on_vllm_wants_a_gpu_with_bfloat16():
    turing, ampere = (Gpu("nvidia", name="card", compute_capability=capability) for capability in ("7.5", "8.0"))
    gemma, qwen = schema.option("model", "gemma"), schema.option("model", "qwen")
    assert matrix.cell("vllm", "cuda", "none", gemma, ampere).works
    assert matrix.cell("vllm", "cuda", "none", qwen, turing).works
    cell = matrix.cell("vllm", "cuda", "none", gemma, turing)
    assert cell.reason == ("gemma-3-4b-it needs bfloat16, which vllm has from compute capability 8.0 on; this GPU has 7.5")
