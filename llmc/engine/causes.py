"""Why a server did not start, read from its log: the first line that names a cause, and what to do about it.

The wording is llama.cpp's (b10434) and vLLM's (0.32), from logs of real failures. The first match is taken, in the log's order:
what follows it ("failed to load model", "Engine core initialization failed") only says that it mattered.
"""

import re
import signal
from dataclasses import dataclass
from pathlib import Path

TAIL_LINES = 8
_READ_BYTES = 4 << 20  # of the end of a log: a start writes some hundred kB


@dataclass(frozen=True, slots=True)
class Cause:
    kind: str
    """``memory``, ``port``, ``missing``, ``damaged``, ``gated``, ``architecture``, ``kernels``, ``driver``, ``option``,
    ``library``, ``processor``, or ``""``."""
    line: str
    """The words of the log."""
    hint: str
    """What to do; for a kind that a command of llmc mends or explains, what that command is for."""


_CAUSES = (
    ("port", r"couldn't bind HTTP server socket|address already in use", "to take a free one"),
    (
        "gated",
        r"gated repo|GatedRepo|401 Client Error|403 Client Error",
        "accept the model's licence on its page, then set HF_TOKEN",
    ),
    (
        "missing",
        r"failed to open GGUF file|Repository Not Found|is not a valid model identifier|is not a local folder"
        r"|No such file or directory: .*(model|config|gguf)|Can't load the configuration|HFValidationError: ",
        "to fetch it",
    ),
    (
        "damaged",
        r"invalid magic characters|corrupted or incomplete|failed to read key-value"
        r"|tensor .* (missing|wrong shape)",
        "to fetch it anew",
    ),
    (
        "memory",
        r"out of memory|OutOf\w*Memory|insufficient memory|failed to allocate|bad_alloc|Cannot allocate memory"
        r"|less than desired \w+ memory utilization|less than requested memory for kv"
        r"|No available memory for the cache blocks|KV cache is needed",
        "a smaller quant=, profile.concurrency= or profile.slot_context_tokens=; what fits",
    ),
    (
        "architecture",
        r"unknown model architecture|Model architectures? .*not supported|does not recognize this architecture",
        "a newer engine, or another model=",
    ),
    (
        "kernels",
        r"no kernel image is available|TensileLibrary|invalid device function|unsupported GPU",
        "what computes on most GPUs",
    ),
    (
        "driver",
        r"driver version is insufficient|no CUDA-capable device|ErrorIncompatibleDriver|failed to initialize (ROCm|CUDA|HIP)"
        r"|hipErrorNoDevice|libcuda\.so|No HIP GPUs|no usable GPU found|Failed to infer device type|ErrorInitializationFailed",
        "what is missing",
    ),
    (
        "option",
        r"invalid argument:|error while handling argument|unrecognized arguments|error: argument ",
        "its command",
    ),
    ("library", r"error while loading shared libraries", "install what is missing, or set engine.binary"),
)
_SIGNALS = {
    signal.SIGILL: Cause("processor", "it was built for a newer processor", "another build: engine.binary=…"),
    signal.SIGKILL: Cause("memory", "killed, most likely by the kernel for want of memory", "what fits"),
}
# llama.cpp: "0.05.043.444 E "; vLLM: "(EngineCore pid=7) ERROR 11-23 16:59:01 [core.py:12] "; colours
_PREFIX = re.compile(r"^(\d[\d.]+ [EWI] |\([\w-]+ pid=\d+\) |(ERROR|WARNING|INFO) [\d-]+ [\d:]+ (\[[^\]]*\] )?)+|\x1b\[[\d;]*m")
_ERROR = re.compile(r"^[\d.]+ E |\bERROR\b|\b\w*Error: |^error")
_NAMED = re.compile(r"[\w.]*(Error|Exception): ")  # the end of a traceback, which says what it was
_MILDER = re.compile(r"\b(INFO|WARNING) \d")  # vLLM's other levels, whose text may hold the word


def text_of(log: Path) -> str:
    """The end of a log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _READ_BYTES))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def cause(text: str, code: int | None = None) -> Cause:
    """Why a server ended; kind ``""`` when the log names none that is known: then its first error, or its last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for line in lines:
        for kind, pattern, hint in _CAUSES:
            if re.search(pattern, line, re.I):
                return Cause(kind, shown(line), hint)
    if code is not None and code < 0 and (known := _SIGNALS.get(signal.Signals(-code))):
        return known
    errors = [line for line in lines if _ERROR.search(line) and not _MILDER.search(line)] or lines[-1:]
    named = next((line for line in errors if _NAMED.match(shown(line))), errors[0] if errors else "it said nothing")
    return Cause("", shown(named), "")


def errors(text: str) -> int:
    """Lines that the server itself calls errors."""
    return sum(bool(_ERROR.search(line)) and not _MILDER.search(line) for line in text.splitlines())


def shown(line: str) -> str:
    """A line of a log without its clock and level."""
    return _PREFIX.sub("", line)[:300]


def tail(text: str) -> tuple[str, ...]:
    """The last lines."""
    return tuple(line.rstrip()[:200] for line in text.splitlines() if line.strip())[-TAIL_LINES:]


def ended(code: int) -> str:
    """How a process ended, by its exit code."""
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
