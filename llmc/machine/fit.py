"""Whether a model fits in the memory there is, before anything is downloaded.

weights    exact: the file's size (for vLLM and where no size is published: computed from the parameters, and said so)
KV cache   exact: for each cell of each layer K and V of kv_heads x head_dim, in the cache's type. A layer with a sliding
           window keeps only the window and one batch, rounded up to 256 cells; the same sum as llama.cpp's log, to the byte
compute    modelled: graph buffers and the process itself
reserve    modelled: what must stay free; each engine wants another share
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmc.schema import ModelConfig

COMPUTE_BYTES = 300 << 20
"""llama.cpp's compute buffers at a batch of 512, and the process itself. Modelled: 120 to 300 MiB were measured."""
BATCH_TOKENS = 512
"""llama.cpp's ``--ubatch-size``: what a window's cache holds beside the window."""
CELLS_MULTIPLE = 256
KV_BITS = {"f32": 32.0, "f16": 16.0, "bf16": 16.0, "q8_0": 8.5, "q5_1": 6.0, "q5_0": 5.5, "q4_1": 5.0, "q4_0": 4.5}
"""Bits of one number in llama.cpp's cache: a block of 32 has a scale of 16 bits, in the ``_1`` types two."""
QUANT_BITS = {"f16": 16.0, "q8_0": 8.5, "q5_k_m": 5.7, "q4_k_m": 4.9, "q4_1": 5.0, "q4_0": 4.6}
"""Bits a parameter of a GGUF file, averaged over the files whose size is known; for one whose size nobody publishes."""
RAM_RESERVE_BYTES = 512 << 20  # so that the rest of the machine does not start to swap
OLLAMA_FREE_SHARE = 0.8  # Ollama puts a model on the GPU if it is predicted to take at most this share of what is free


@dataclass(frozen=True, slots=True)
class Fit:
    """Memory a model will take, in bytes, and what is free."""

    weights_bytes: int
    kv_bytes: int
    compute_bytes: int
    reserve_bytes: int
    free_bytes: int
    weights_exact: bool = True
    memory: str = "memory"
    """Whose memory it is: the machine's, or a card's name."""

    @property
    def needed_bytes(self) -> int:
        """What it takes, and what must stay free."""
        return self.weights_bytes + self.kv_bytes + self.compute_bytes + self.reserve_bytes

    @property
    def fits(self) -> bool:
        return self.needed_bytes <= self.free_bytes

    @property
    def report(self) -> dict[str, Any]:
        """For JSON, and to be recorded beside what was measured after the start."""
        return {
            "memory": self.memory,
            "weights": {"bytes": self.weights_bytes, "how": "exact" if self.weights_exact else "modelled"},
            "kv_cache": {"bytes": self.kv_bytes, "how": "exact"},
            "compute": {"bytes": self.compute_bytes, "how": "modelled"},
            "reserve": {"bytes": self.reserve_bytes, "how": "modelled"},
            "needed_bytes": self.needed_bytes,
            "free_bytes": self.free_bytes,
            "fits": self.fits,
        }


def kv_bits(kv_type: str) -> float:
    """Bits of one number of any engine's cache; vLLM's ``auto`` is 16, its ``fp8`` types are 8."""
    return 8.0 if kv_type.startswith("fp8") else KV_BITS.get(kv_type, 16.0)


def kv_bytes(model: ModelConfig, slots: int, slot_context_tokens: int, kv_type: str = "f16") -> int:
    """Of the cache that llama.cpp makes for ``slots`` requests at once, each with its own part (``-np N``, not ``-kvu``)."""
    cell_bytes = 2 * model.kv_heads * model.head_dim * kv_bits(kv_type) / 8  # K and V of one token in one layer
    window_cells = _padded(min(slot_context_tokens, model.window_tokens + BATCH_TOKENS))
    cells = (model.layers - model.window_layers) * _padded(slot_context_tokens) + model.window_layers * window_cells
    return int(slots * cells * cell_bytes)


def _padded(cells: int) -> int:
    return -(-cells // CELLS_MULTIPLE) * CELLS_MULTIPLE


def weights_bytes(model: ModelConfig, engine: str, quant: str) -> tuple[int, bool]:
    """Of the weights that an engine loads, and whether that is exact. ``quant``: for vLLM as in ``quant=``, else the format."""
    if engine == "vllm":
        return model.vllm_bytes.get(quant) or int(model.parameters * {"int8": 1.1, "int4": 0.7}.get(quant, 2)), False
    if engine != "ollama" and (own := own_file_bytes(model)):
        return own, True
    vision = model.vision_bytes if engine == "ollama" else 0
    if quant in model.files:
        return model.files[quant].bytes + vision, not vision
    return int(model.parameters * QUANT_BITS.get(quant, 16.0) / 8) + vision, False


def own_file_bytes(model: ModelConfig) -> int:
    """Of the file that ``model.path`` names; 0 without one."""
    path = Path(model.path).expanduser() if model.path else None
    return path.stat().st_size if path is not None and path.is_file() else 0


def reserve_bytes(engine: str, backend: str, free_bytes: int, total_bytes: int, gpu_memory_fraction: float) -> int:
    """What an engine leaves free, or wants to."""
    if backend == "cpu":
        return RAM_RESERVE_BYTES
    if engine == "ollama":
        return int(free_bytes * (1 - OLLAMA_FREE_SHARE))
    if engine == "vllm":  # it takes that share of the whole card for itself, and must find it free
        return max(0, free_bytes - int(total_bytes * gpu_memory_fraction))
    return round(
        total_bytes * (1 - gpu_memory_fraction)
    )  # llama-server's --fit-target: with less free, layers stay off the GPU


def fit(
    model: ModelConfig,
    weights: tuple[int, bool],
    *,
    slots: int,
    slot_context_tokens: int,
    kv_type: str = "f16",
    free_bytes: int,
    reserve: int = RAM_RESERVE_BYTES,
    memory: str = "memory",
) -> Fit:
    """What serving a model takes, against what is free."""
    size, exact = weights
    kv = kv_bytes(model, slots, slot_context_tokens, kv_type)
    return Fit(size, kv, COMPUTE_BYTES, reserve, free_bytes, exact, memory)
