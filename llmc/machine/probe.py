"""All probes at once: every program in its own thread, each with its own time limit, and what they said as one Probed.

probe()                      this machine, everything
probe(tools=False)           only what files say: a few milliseconds, no program is started
"""

import re
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from llmc.machine import amd, cpu, cuda, metal, opencl, programs, servers, vulkan
from llmc.machine.found import Closed, Gpu, Probed, Program, Server, VulkanDevice
from llmc.machine.host import Host, Ran, User

TOLD = (
    "OLLAMA_HOST",
    "OLLAMA_ENDPOINT",
    "MODEL_PREFER_LOCAL",
    "HF_TOKEN",
    "HF_HOME",
    "CUDA_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
    "GGML_VK_VISIBLE_DEVICES",
    "HSA_OVERRIDE_GFX_VERSION",
)
"""Variables of the environment that are reported."""
SECRET = ("HF_TOKEN",)
DEVICES = ("/dev/kfd", "/dev/dri/renderD*", "/dev/nvidia0", "/dev/nvidiactl")


def probe(host: Host | None = None, *, tools: bool = True) -> Probed:
    """What this machine has. Changes nothing, asks no other machine, takes no longer than its slowest program's limit."""
    host = host or Host()
    total, available = cpu.memory(host)
    amd_gpus = amd.gpus(host)
    rocm = amd.rocm(host)
    process = servers.ollama_process(host)
    unit_user = servers.ollama_unit_user(host)
    found = Probed(
        processor=cpu.name(host),
        cores=cpu.cores(host),
        flags=cpu.flags(host),
        memory_bytes=total,
        available_bytes=available,
        gpus=(*amd_gpus, *cuda.gpus(host)),
        rocm=rocm,
        cuda_driver=cuda.driver(host),
        closed=tuple(closed(host, process[0] if process else host.user(unit_user) if unit_user else None)),
        ollama_user=process[0].name if process else unit_user,
        programs={
            name: program for name, program in (("embedded", programs.embedded(host)), ("vllm", programs.vllm(host))) if program
        },
        environ={name: _told(name, host.environ[name]) for name in TOLD if name in host.environ},
    )
    return _with_tools(host, found, process) if tools else found


def gpus(host: Host) -> list[Gpu]:
    """The AMD and NVIDIA cards with the memory that is free on each now."""
    return [*amd.gpus(host), *cuda.gpus(host, host.run(*cuda.ASKED))]


def _told(name: str, value: str) -> str:
    """A variable's value without what is secret in it: a token, a password in an address."""
    return "set" if name in SECRET else re.sub(r"//[^/@]*@", "//…@", value)


def _with_tools(host: Host, found: Probed, process: tuple[User, bool] | None) -> Probed:
    llama_server = programs.llama_server_path(host)
    library = programs.library_path(llama_server) if llama_server else {}
    with ThreadPoolExecutor(max_workers=16) as threads:
        said: dict[str, Future[Ran | None]] = {
            argv[0]: threads.submit(host.run, *argv)
            for argv in (*amd.ASKED, vulkan.ASKED, opencl.ASKED, cuda.ASKED, metal.ASKED, ("ollama", "--version"))
        }
        if llama_server:
            for flag in ("--version", "--list-devices"):
                said[flag] = threads.submit(host.run, llama_server, flag, environ=library)
        running = [
            threads.submit(servers.find, engine, address)
            for engine, port in host.ports.items()
            if (address := servers.ollama_address(host.environ) if engine == "ollama" else ("127.0.0.1", port))
        ]
        answers = {name: future.result() for name, future in said.items()}
        servers_found = [server for future in running if (server := future.result())]
    installed: dict[str, Program | None] = {
        **found.programs,
        "llama_server": programs.llama_server(llama_server, answers["--version"], answers["--list-devices"])
        if llama_server
        else None,
        "ollama": Program(path, programs.ollama_version(answers["ollama"])) if (path := host.which("ollama")) else None,
    }
    nvidia = answers["nvidia-smi"]
    cards = [
        *amd.named(found.gpus, amd.names([answers[argv[0]] for argv in amd.ASKED])),
        *cuda.gpus(host, nvidia),
        *metal.gpus(host, answers["system_profiler"], found.memory_bytes),
    ]
    vulkan_devices = vulkan.devices(answers["vulkaninfo"])
    return replace(
        found,
        gpus=tuple(_with_vulkan(cards, vulkan_devices or ())),
        vulkan=vulkan_devices,
        opencl=opencl.devices(answers["clinfo"]),
        cuda_driver=cuda.driver(host, nvidia),
        programs={name: program for name, program in installed.items() if program},
        servers=tuple(_with_owner(server, process) for server in servers_found),
        silent=tuple(name for name, answer in answers.items() if answer is not None and answer.code is None),
    )


def _with_owner(server: Server, process: tuple[User, bool] | None) -> Server:
    if server.engine != "ollama" or process is None:
        return server
    return replace(server, user=process[0].name, by_systemd=process[1])


def _with_vulkan(gpus: Iterable[Gpu], devices: tuple[VulkanDevice, ...]) -> list[Gpu]:
    """Names for cards that nobody else named, and cards that only Vulkan sees (Intel's, for one)."""
    vendors = {"1002": "amd", "10de": "nvidia", "8086": "intel", "106b": "apple", "5143": "qualcomm"}
    left = [device for device in devices if device.kind in ("discrete", "integrated")]
    named = []
    for gpu in gpus:
        match = next((device for device in left if device.pci_id == gpu.pci_id), None)
        if match:
            left.remove(match)
            gpu = replace(gpu, name=gpu.name or match.name, sources=(*gpu.sources, "vulkan"))
        named.append(gpu)
    for device in left:
        vendor = vendors.get(device.pci_id.partition(":")[0], "")
        if vendor and not any(gpu.vendor == vendor and not gpu.pci_id for gpu in named):
            named.append(
                Gpu(
                    vendor,
                    name=device.name,
                    integrated=device.kind == "integrated",
                    memory_bytes=device.memory_bytes,
                    free_bytes=device.free_bytes,
                    pci_id=device.pci_id,
                    sources=("vulkan",),
                )
            )
    return named


def closed(host: Host, service: User | None) -> list[Closed]:
    """GPU devices that whoever computes may not open: the person who runs llmc, and the account Ollama's service runs under."""
    found = []
    for path in (path for pattern in DEVICES for path in host.glob(pattern)):
        name = "/" + str(path.relative_to(host.root))
        for user in (host.me(), service):
            if user is not None and not host.may_open(path, user):
                owner = host.owner(path)
                found.append(Closed(name, user.name, host.group_name(owner[2]) if owner else "", user is service))
    return found
