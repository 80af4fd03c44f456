"""What can work with what: engine x backend x quant x GPU x model, from ``conf/matrix.yaml`` and the models' own files.

An impossible combination is refused before anything is downloaded, with its reason and the nearest one that works.

    python -m llmc.machine.matrix > docs/matrix.md      the whole of it, as a table
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

from llmc import schema
from llmc.machine.found import Gpu
from llmc.schema import ModelConfig

ENGINES = ("embedded", "llama_server", "ollama", "vllm")
BACKENDS = ("cpu", "vulkan", "rocm", "opencl", "cuda", "metal")
QUANTS = ("int4", "int8", "none", "q4_1", "q4_k_m", "q5_k_m", "q8_0")
MODELS = ("qwen", "llama", "gemma")
QUANT_BITS = {"none": 16, "int8": 8, "q8_0": 8, "q5_k_m": 5}  # of a weight; 4 for the others
VENDORS = {"rocm": ("amd",), "cuda": ("nvidia",), "metal": ("apple",)}
"""Whose GPUs a backend is for; Vulkan and OpenCL are for any."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One combination: ``reason`` says why it cannot work, or what to know although it does."""

    works: bool
    reason: str = ""


@cache
def facts() -> Any:  # noqa: ANN401 - the YAML's mappings
    """``conf/matrix.yaml``."""
    return schema.data("matrix")


def gfx_facts(gfx: str) -> dict[str, Any]:
    """What there is to say about one kind of AMD GPU."""
    return dict(facts()["gfx"].get(gfx, {}))


def backend_cell(engine: str, backend: str, gpu: Gpu | None = None, kernels: tuple[str, ...] = ()) -> Cell:
    """Whether an engine computes on a backend, on this GPU if one is given. ``kernels``: the gfx that the installed ROCm was
    built for; what a llama-server built against it can use, whatever its releases contain."""
    asks = facts()["engines"][engine]["backends"][backend]
    if isinstance(asks, str):
        return Cell(False, asks)
    if gpu is None or backend == "cpu":
        return Cell(True)
    asks = {} if asks is True else asks
    if gpu.vendor not in VENDORS.get(backend, asks.get("vendors", (gpu.vendor,))):
        return Cell(False, asks.get("why", f"{backend} is not for this GPU"))
    if gpu.gfx and "gfx" in asks and gpu.gfx not in asks["gfx"]:
        if engine == "llama_server" and gpu.gfx in kernels:
            return Cell(True, f"with a llama-server of your own built for {gpu.gfx}: the released ones leave it out")
        last = gfx_facts(gpu.gfx).get("last_rocm")
        return Cell(False, f"{engine} has no ROCm kernels for {gpu.gfx}" + (f" (last ROCm with them: {last})" if last else ""))
    wanted = asks.get("compute_capability")
    if wanted and gpu.compute_capability and _version(gpu.compute_capability) < _version(str(wanted)):
        return Cell(False, f"{engine} needs compute capability {wanted}, this GPU has {gpu.compute_capability}")
    return Cell(True)


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdigit())


def quant_cell(engine: str, backend: str, quant: str, model: ModelConfig) -> Cell:
    """Whether an engine can have this model in this quantisation; ``auto`` always can."""
    said = facts()["engines"][engine]
    offered = offers(engine, model)
    if quant != "auto" and quant not in said.get("quants", QUANTS):
        return Cell(False, said["why"])
    if not offered or (quant != "auto" and quant not in offered):
        what = {"vllm": "safetensors repository", "ollama": "tag in Ollama's library"}.get(engine, "GGUF file")
        return Cell(False, f"no {what} of {model.name}" + (f" as {quant}" if offered else "") + " is known")
    return Cell(True, said.get("notes", {}).get(f"{backend} {quant}", ""))


@cache
def gguf(quant: str) -> str:
    """llama.cpp's name of a quantisation, in lower case: ``int8`` is ``q8_0``."""
    return schema.option("quant", quant).gguf or quant


def offers(engine: str, model: ModelConfig) -> list[str]:
    """The values of ``quant=`` that a model is published in for an engine, the recommended one first."""
    if engine == "vllm":
        return list(model.vllm)
    own = model.path or model.url  # a file, whoever serves it
    formats = list(model.ollama if engine == "ollama" and not own else model.files)
    named = [(quant, gguf(quant)) for quant in QUANTS]
    # A format has up to two names here (int8 is q8_0): llama.cpp's own first.
    return [q for form in formats for q, meant in sorted(named, key=lambda pair: pair[0] != pair[1]) if meant == form]


def cell(
    engine: str, backend: str, quant: str, model: ModelConfig, gpu: Gpu | None = None, kernels: tuple[str, ...] = ()
) -> Cell:
    """Whether the combination can work at all."""
    first = backend_cell(engine, backend, gpu, kernels)
    if not first.works:
        return first
    asks = facts()["engines"][engine]["backends"][backend]
    wanted = asks.get("bfloat16") if isinstance(asks, dict) and model.bfloat16 else None
    if wanted and gpu and gpu.compute_capability and _version(gpu.compute_capability) < _version(str(wanted)):
        needs = f"{model.name} needs bfloat16, which {engine} has from compute capability {wanted} on"
        return Cell(False, f"{needs}; this GPU has {gpu.compute_capability}")
    second = quant_cell(engine, backend, quant, model)
    return second if not second.works or second.reason else first


def nearest(
    engine: str, backend: str, quant: str, model: ModelConfig, gpu: Gpu | None = None, kernels: tuple[str, ...] = ()
) -> tuple[str, str, str] | None:
    """The combination that works and differs least: another quant before another engine, a GPU before the processor."""

    def distance(candidate: tuple[str, str, str]) -> tuple[int, int]:
        e, b, q = candidate
        quant_steps = 0 if q == quant else 2 if engine == e else 1 if q in ("auto", *_same(quant)) else 2
        backend_steps = 0 if b == backend else 6 if b == "cpu" else 9 if b == "metal" else 2
        preferred = gfx_facts(gpu.gfx).get("best") if gpu else None
        # Among equals: what the card does best, then Vulkan, which needs the least; llama_server before the others.
        order = (0 if b == preferred else 1 + ("vulkan", "rocm", "cuda", "opencl", "cpu", "metal").index(b)) * 10
        order += ("llama_server", "ollama", "vllm", "embedded").index(e)
        coarser = abs(QUANT_BITS.get(q, 4) - QUANT_BITS.get(quant, 4)) if "auto" not in (q, quant) else 0
        return quant_steps + backend_steps + (0 if e == engine else 3), order * 100 + coarser

    works = [
        (e, b, q)
        for e in ENGINES
        for b in BACKENDS
        for q in dict.fromkeys((quant, *offers(e, model)))
        if cell(e, b, q, model, gpu, kernels).works and _possible(b, gpu)
    ]
    return min(works, key=distance, default=None)


def _same(quant: str) -> tuple[str, ...]:
    return tuple(q for q in QUANTS if gguf(q) == gguf(quant)) if quant != "auto" else ()


def _possible(backend: str, gpu: Gpu | None) -> bool:
    """Nobody is sent to a backend that the GPU they have cannot be."""
    return gpu is None or backend not in VENDORS or gpu.vendor in VENDORS[backend]


def document() -> str:
    """``docs/matrix.md``: every cell for the three models, and every GPU that somebody ships kernels for."""
    known = facts()
    reasons: dict[str, int] = {}
    lines = [
        "# What works with what",
        "",
        "Made by `python -m llmc.machine.matrix` from `conf/matrix.yaml` and `conf/model/*.yaml`; a test keeps it current.",
        f"Checked {known['checked']}. A number is the reason why not, below; llmc says the same before it downloads anything.",
        "",
    ]
    for name in MODELS:
        model = schema.option("model", name)
        lines += [f"## model={name}", "", f"{model.name}; `quant=auto` takes {_autos(model)}.", ""]
        lines += [f"| engine | backend | {' | '.join(QUANTS)} |", f"|---|---|{'---|' * len(QUANTS)}"]
        for engine in ENGINES:
            for backend in BACKENDS:
                row = []
                for quant in QUANTS:
                    found = cell(engine, backend, quant, model)
                    number = reasons.setdefault(found.reason, len(reasons) + 1) if found.reason else 0
                    row.append(("works" if found.works else "no") + (f" ({number})" if number else ""))
                lines.append(f"| {engine} | {backend} | {' | '.join(row)} |")
        lines.append("")
    lines += ["## Why not, or what to know", "", *(f"{n}. {reason}." for reason, n in reasons.items()), ""]
    return "\n".join(lines + _gpus(known))


def _autos(model: ModelConfig) -> str:
    return ", ".join(f"{offers(engine, model)[0]} on {engine}" for engine in ENGINES if offers(engine, model))


def _gpus(known: Any) -> list[str]:  # noqa: ANN401
    """The table of AMD GPUs, and what NVIDIA's must have."""
    engines = [engine for engine in ENGINES if isinstance(known["engines"][engine]["backends"]["rocm"], dict)]
    every = {gfx for engine in engines for gfx in known["engines"][engine]["backends"]["rocm"]["gfx"]} | set(known["gfx"])
    lines = ["## AMD GPUs on ROCm", "", f"| GPU | {' | '.join(engines)} | Vulkan |", f"|---|{'---|' * len(engines)}---|"]
    for gfx in sorted(every, key=lambda name: (len(name), name)):
        gpu = Gpu("amd", gfx=gfx)
        row = ["yes" if backend_cell(engine, "rocm", gpu).works else "no" for engine in engines]
        said = gfx_facts(gfx)
        text = f"{gfx}: {said['names']}; last ROCm with kernels for it {said['last_rocm']}" if said else gfx
        lines.append(f"| {text} | {' | '.join(row)} | yes |")
    lines += ["", "## NVIDIA GPUs", "", "| engine | compute capability |", "|---|---|"]
    for engine in ENGINES:
        asks = known["engines"][engine]["backends"]["cuda"]
        text = f"{asks['compute_capability']} or newer" if isinstance(asks, dict) else "any" if asks is True else "none works"
        if isinstance(asks, dict) and "bfloat16" in asks:
            text += f"; {asks['bfloat16']} for {', '.join(m for m in MODELS if schema.option('model', m).bfloat16)} (bfloat16)"
        lines.append(f"| {engine} | {text} |")
    lines += ["", "## Sources", ""]
    return lines + [f"- {engine}: {known['engines'][engine]['source']}." for engine in ENGINES] + [""]


if __name__ == "__main__":
    print(document(), end="")  # noqa: T201
