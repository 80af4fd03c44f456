"""Memory of models: the sums of llama.cpp's own log, to the byte."""

import pytest

from llmc.machine.fit import fit, kv_bytes, reserve_bytes, weights_bytes
from llmc.schema import ModelConfig, ModelFile

GEMMA_270M = ModelConfig(layers=18, kv_heads=1, head_dim=256, window_layers=15, window_tokens=512)
GEMMA_4B = ModelConfig(layers=34, kv_heads=4, head_dim=256, window_layers=29, window_tokens=1024)
SMOLLM = ModelConfig(layers=30, kv_heads=3, head_dim=64)
QWEN = ModelConfig(layers=28, kv_heads=4, head_dim=128)
MIB = 1 << 20


@pytest.mark.parametrize(
    ("model", "slots", "context", "kv_type", "logged_mib"),
    [
        # "KV buffer size" of llama-server b10434 on the real files: global layers + window layers
        (SMOLLM, 4, 4096, "f16", 360.00),
        (SMOLLM, 1, 2048, "f16", 45.00),
        (GEMMA_270M, 1, 8192, "f16", 24.00 + 15.00),
        (GEMMA_270M, 4, 2048, "f16", 24.00 + 60.00),
        (GEMMA_270M, 1, 8192, "q8_0", 12.75 + 7.96875),
        (GEMMA_270M, 1, 8192, "q4_0", 6.75 + 4.21875),
        # of llama.cpp's formula for the models that are too large to run here
        (GEMMA_4B, 1, 8192, "f16", 334),
        (GEMMA_4B, 1, 32768, "f16", 814),
        (QWEN, 1, 32768, "f16", 1792),
    ],
)
def test_the_cache_is_what_llama_cpp_allocates(model, slots, context, kv_type, logged_mib):
    assert kv_bytes(model, slots, context, kv_type) == logged_mib * MIB


def test_what_is_needed_is_the_sum_of_its_parts_and_is_compared_with_what_is_free():
    made = fit(SMOLLM, (98362432, True), slots=1, slot_context_tokens=2048, free_bytes=1 << 30, reserve=512 * MIB)
    assert made.needed_bytes == 98362432 + 45 * MIB + 300 * MIB + 512 * MIB
    assert made.fits
    assert not fit(SMOLLM, (98362432, True), slots=4, slot_context_tokens=4096, free_bytes=1 << 30).fits


def test_each_number_of_the_report_says_whether_it_is_exact():
    report = fit(SMOLLM, (98362432, False), slots=1, slot_context_tokens=2048, free_bytes=1 << 30).report
    assert {part: report[part]["how"] for part in ("weights", "kv_cache", "compute", "reserve")} == {
        "weights": "modelled",
        "kv_cache": "exact",
        "compute": "modelled",
        "reserve": "modelled",
    }


def test_ollama_loads_the_vision_tower_too():
    model = ModelConfig(parameters=3_880_263_168, files={"q4_k_m": ModelFile(bytes=2_489_758_112)}, vision_bytes=851_251_104)
    assert weights_bytes(model, "ollama", "q4_k_m") == (2_489_758_112 + 851_251_104, False)
    assert weights_bytes(model, "llama_server", "q4_k_m") == (2_489_758_112, True)


def test_each_engine_leaves_another_share_of_a_card_free():
    gib = 1 << 30
    assert reserve_bytes("llama_server", "vulkan", 15 * gib, 20 * gib, 0.9) == 2 * gib  # its --fit-target
    assert reserve_bytes("ollama", "vulkan", 15 * gib, 16 * gib, 0.9) == pytest.approx(3 * gib, abs=1)
    assert reserve_bytes("vllm", "cuda", 15 * gib, 16 * gib, 0.9) == 15 * gib - int(16 * gib * 0.9)
    assert reserve_bytes("vllm", "cpu", 15 * gib, 16 * gib, 0.9) == gib // 2
