"""What the probes found, as plain values: all that the verdicts about a machine are made of."""

from dataclasses import asdict, dataclass, field, fields, is_dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Gpu:
    """A graphics processor, however it was found."""

    vendor: str
    """``amd``, ``nvidia``, ``intel``, ``apple``, ``qualcomm``."""
    name: str = ""
    gfx: str = ""
    """AMD's name of the instruction set, as gfx906."""
    compute_capability: str = ""
    """NVIDIA's, as 8.6."""
    integrated: bool = False
    """It shares the machine's own memory."""
    memory_bytes: int = 0
    free_bytes: int | None = None
    """None: nobody says."""
    pci_id: str = ""
    """``vendor:device``, as 1002:66a1."""
    render_node: str = ""
    """As /dev/dri/renderD128."""
    sources: tuple[str, ...] = ()
    """Where this is known from."""

    @property
    def label(self) -> str:
        kind = self.gfx or (f"compute capability {self.compute_capability}" if self.compute_capability else "")
        name = self.name or f"{self.vendor.upper() if self.vendor == 'amd' else self.vendor} GPU"
        return f"{name} ({kind})" if kind else name


@dataclass(frozen=True, slots=True)
class VulkanDevice:
    name: str
    kind: str
    """``discrete``, ``integrated``, ``virtual``, ``software`` or ``other``."""
    memory_bytes: int = 0
    """Of its device-local heaps."""
    free_bytes: int | None = None
    pci_id: str = ""
    driver: str = ""


@dataclass(frozen=True, slots=True)
class OpenClDevice:
    name: str
    vendor: str
    kind: str
    """``gpu``, ``cpu`` or ``other``."""
    memory_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Listed:
    """A line of ``llama-server --list-devices``: what that binary itself would compute on."""

    id: str
    """As Vulkan0, ROCm0, CUDA0."""
    name: str
    memory_bytes: int
    free_bytes: int


@dataclass(frozen=True, slots=True)
class Program:
    """An engine's binary."""

    path: str
    version: str = ""
    """``""``: it does not say."""
    devices: tuple[Listed, ...] | None = None
    """llama-server's own list; None when it was not asked or did not answer."""
    flavour: str = ""
    """What a vLLM was built for: ``cpu``, ``rocm``, ``cuda``."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs already, on this machine."""

    engine: str
    url: str
    version: str = ""
    models: tuple[str, ...] = ()
    user: str = ""
    """Whose process it is; ``""``: not known."""
    by_systemd: bool = False
    record: str = ""
    """The name under which llmc started it; ``""``: somebody else did."""


@dataclass(frozen=True, slots=True)
class Closed:
    """A device that somebody who needs it may not open."""

    path: str
    user: str
    group: str
    """The group that may."""
    service: bool = False
    """The user is the account of Ollama's service, not whoever runs llmc."""


@dataclass(frozen=True, slots=True)
class Rocm:
    version: str = ""
    """Of what is installed, from /opt/rocm; ``""``: nothing is."""
    kernels: tuple[str, ...] = ()
    """The gfx that its rocBLAS was built for; empty: not known."""
    driver: str = ""
    """Of amdgpu when it was installed apart from the kernel."""
    loaded: bool = False
    """The kernel's part, /dev/kfd, is there."""


@dataclass(frozen=True, slots=True)
class Probed:
    """A machine."""

    processor: str = ""
    cores: int = 1
    flags: frozenset[str] = frozenset()
    """Instruction set extensions, as Linux names them; empty where it does not say."""
    memory_bytes: int = 0
    available_bytes: int = 0
    gpus: tuple[Gpu, ...] = ()
    vulkan: tuple[VulkanDevice, ...] | None = None
    """None: there is no tool that could say."""
    opencl: tuple[OpenClDevice, ...] | None = None
    rocm: Rocm = field(default_factory=Rocm)
    cuda_driver: str = ""
    programs: dict[str, Program] = field(default_factory=dict)
    """By engine."""
    servers: tuple[Server, ...] = ()
    closed: tuple[Closed, ...] = ()
    ollama_user: str = ""
    """Whose an Ollama service is, running or only installed."""
    silent: tuple[str, ...] = ()
    """Programs that did not answer in time."""
    environ: dict[str, str] = field(default_factory=dict)
    """Variables that say something about engines and GPUs; of a secret only that it is set."""

    @property
    def report(self) -> dict[str, Any]:
        """For JSON: all but the processor's hundred flags."""
        said = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("flags", "gpus")}
        return {**_plain(said), "gpus": [{**asdict(gpu), "label": gpu.label} for gpu in self.gpus]}

    @property
    def gpu(self) -> Gpu | None:
        """The one to compute on: one with memory of its own, the largest."""
        return max(self.gpus, key=lambda g: (not g.integrated, g.memory_bytes), default=None)


def _plain(value: Any) -> Any:  # noqa: ANN401
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, tuple) else value
