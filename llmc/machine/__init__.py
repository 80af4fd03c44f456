"""What this machine has, and whether a model fits on it."""

import platform
from dataclasses import dataclass
from pathlib import Path

import psutil

from llmc.schema import ModelConfig

COMPUTE_BYTES = 300 << 20
"""llama.cpp's compute buffers at a batch of 512, and the process itself. Modelled: 120 to 300 MiB were measured."""


@dataclass(frozen=True, slots=True)
class Fit:
    """Memory a model will take, in bytes, and what is free."""

    weights_bytes: int
    """Exact: the file's size."""
    kv_bytes: int
    """Exact: 2 * layers * kv_heads * head_dim * 2 bytes (f16) for every token of context of every slot."""
    compute_bytes: int
    """Modelled."""
    free_bytes: int

    @property
    def needed_bytes(self) -> int:
        return self.weights_bytes + self.kv_bytes + self.compute_bytes

    @property
    def fits(self) -> bool:
        return self.needed_bytes <= self.free_bytes


def fit(model: ModelConfig, weights_bytes: int, slots: int, slot_context_tokens: int) -> Fit:
    """Whether a model fits in the memory that is free now, served on the CPU."""
    kv = 2 * model.layers * model.kv_heads * model.head_dim * 2 * slots * slot_context_tokens
    return Fit(weights_bytes, kv, COMPUTE_BYTES, psutil.virtual_memory().available)


def cpu_name() -> str:
    """The processor as its maker calls it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def cpu_flags() -> frozenset[str]:
    """Instruction set extensions, as Linux names them; empty where it does not say."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("flags"):
                return frozenset(line.split(":", 1)[1].split())
    except OSError:
        pass
    return frozenset()
