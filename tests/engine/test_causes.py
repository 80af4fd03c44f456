"""What a log says, told from logs of real failures and real starts (llama-server b10434, vLLM 0.32.0)."""

from pathlib import Path

import pytest

from llmc.engine import causes, llama_server, vllm

LOGS = Path(__file__).parent.parent / "data" / "logs"
MIB = 1 << 20


def log(name):
    return (LOGS / f"{name}.log").read_text()


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("llama_server-memory", "memory", "insufficient memory (attempted to allocate 878906.25 MB)"),
        ("llama_server-memory-2", "memory", "std::bad_alloc"),
        ("llama_server-port", "port", "couldn't bind HTTP server socket, hostname: 127.0.0.1, port: 18996"),
        ("llama_server-missing", "missing", "failed to open GGUF file 'nope.gguf'"),
        ("llama_server-junk", "damaged", "invalid magic characters"),
        ("llama_server-damaged", "damaged", "data is not within the file bounds, model is corrupted or incomplete"),
        ("llama_server-device", "option", "invalid device: ROCm0"),
        ("llama_server-option", "option", "invalid argument: --nonsense"),
        ("vllm-memory", "memory", "is less than requested memory for kv (900.0 GiB)"),
        ("vllm-port", "port", "Address already in use"),
        ("vllm-missing", "missing", "'/nonexistent-model'"),
        ("vllm-arch", "architecture", "Model architectures ['FrobForCausalLM'] are not supported"),
    ],
)
def test_a_failed_start_is_classified_by_the_line_that_names_the_cause(name, kind, words):
    found = causes.cause(log(name), 1)
    assert found.kind == kind
    assert words in found.line
    assert found.hint


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("error loading model: unknown model architecture: 'gemma9'", "architecture"),
        ("rocBLAS error: Cannot read /opt/rocm/lib/rocblas/library/TensileLibrary.dat for GPU arch : gfx906", "kernels"),
        ("ggml_vulkan: Device memory allocation failed: ErrorOutOfDeviceMemory", "memory"),
        ("ggml_cuda_init: failed to initialize CUDA: CUDA driver version is insufficient for CUDA runtime version", "driver"),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.5 GiB", "memory"),
        (
            "ValueError: Free memory on device cuda:0 (3.1/15.9 GiB) on startup is less than desired GPU memory utilization",
            "memory",
        ),
        ("ValueError: Available memory on node 0 (10.3/12.46 GiB) is less than desired CPU memory utilization (0.9)", "memory"),
        ("OSError: You are trying to access a gated repo. 401 Client Error.", "gated"),
        ("llama-server: error while loading shared libraries: libvulkan.so.1: cannot open shared object file", "library"),
    ],
)
def test_causes_that_need_a_machine_we_do_not_have_are_known_by_their_published_wording(line, kind):
    assert causes.cause(f"loading\n{line}\nexiting", 1).kind == kind


def test_a_log_without_a_known_cause_gives_its_first_error_without_the_clock():
    text = "0.1 I srv start: hello\n0.00.2 E srv load: the moon is full\n0.00.3 E srv main: exiting\n"
    assert causes.cause(text, 1) == causes.Cause("", "srv load: the moon is full", "")
    text = "".join(
        f"(VllmWorker-0 pid=6) ERROR 11-23 17:55:59 [m.py:9] {x}\n" for x in ("it failed", "AssertionError: no node")
    )
    assert causes.cause(text, 1).line == "AssertionError: no node"
    assert causes.cause("one\ntwo\n", 1).line == "two"
    assert causes.cause("", 1).line == "it said nothing"


def test_a_signal_says_what_the_log_could_not():
    assert causes.cause("loading\n", -4).kind == "processor"
    assert causes.cause("loading\n", -9).kind == "memory"
    assert causes.cause("loading\nCUDA out of memory\n", -6).line == "CUDA out of memory"


def test_a_line_loses_its_prefix_and_keeps_its_words():
    assert causes.shown("(Worker pid=32667) ERROR 11-23 17:02:31 [worker.py:1063] ValueError: no") == "ValueError: no"
    assert causes.shown("0.05.043.444 E llama_init: no") == "llama_init: no"


def test_errors_are_counted_as_the_server_calls_them():
    assert causes.errors(log("llama_server-port")) == 2
    assert causes.errors(log("vllm-ready-cpu")) == causes.errors(log("llama_server-ready-cpu")) == 0


def test_where_llama_cpp_put_the_model_is_told_by_its_buffers():
    placed = llama_server.placed(log("llama_server-ready-vulkan"))
    assert placed.gpu_share == 1
    assert placed.evidence.startswith("offloaded 31/31 layers to GPU; ")
    assert "Vulkan0 model buffer 92 MiB" in placed.evidence
    assert placed.memory_bytes["kv"] == round(11.95 * MIB)
    assert placed.memory_bytes["compute"] == pytest.approx((0.38 + 11.79 + 2.79) * MIB, abs=2)


def test_llama_cpps_word_for_offloaded_layers_is_not_believed_when_no_device_holds_any():
    text = log("llama_server-ready-cpu")
    assert "offloaded 31/31 layers to GPU" in text  # with --device none
    placed = llama_server.placed(text)
    assert (placed.gpu_share, placed.evidence) == (0, "CPU_Mapped model buffer 92 MiB")


def test_half_of_a_model_on_the_gpu_is_half():
    text = log("llama_server-ready-vulkan").replace("offloaded 31/31", "offloaded 10/31")
    assert llama_server.placed(text).gpu_share == pytest.approx(10 / 31)


def test_where_vllm_put_the_model_is_told_by_the_platform_it_names():
    placed = vllm.placed(log("vllm-ready-cpu"))
    assert (placed.gpu_share, placed.evidence) == (0, "CPU KV cache size: 46,592 tokens")
    assert placed.memory_bytes == {"kv": 1 << 30}
    gpu = "Model loading took 14.25 GiB memory\nAvailable KV cache memory: 5.50 GiB\nGPU KV cache size: 90,112 tokens, Maximum"
    placed = vllm.placed(gpu)
    assert placed.gpu_share == 1
    assert placed.memory_bytes == {"weights": round(14.25 * (1 << 30)), "kv": round(5.5 * (1 << 30))}


@pytest.mark.parametrize("placed", [llama_server.placed, vllm.placed])
def test_a_log_that_says_nothing_proves_nothing(placed):
    assert placed("").gpu_share is None
