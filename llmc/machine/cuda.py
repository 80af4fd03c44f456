"""NVIDIA GPUs: nvidia-smi when it answers; the driver's own files in /proc say that there is a card when it does not."""

from llmc.machine.found import Gpu
from llmc.machine.host import Host, Ran

ASKED = (
    "nvidia-smi",
    "--query-gpu=name,memory.total,memory.free,driver_version,compute_cap,pci.device_id",
    "--format=csv,noheader,nounits",
)
MIB = 1 << 20


def gpus(host: Host, answer: Ran | None = None) -> list[Gpu]:
    """Every NVIDIA card. nvidia-smi writes ``[N/A]`` for what a card does not say."""
    found = []
    for line in answer.out.splitlines() if answer is not None and answer.code == 0 else ():
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) < 5:
            continue
        name, total, free, _, capability = cells[:5]
        found.append(
            Gpu(
                "nvidia",
                name=name,
                compute_capability=capability if capability[:1].isdigit() else "",
                memory_bytes=int(total) * MIB if total.isdigit() else 0,
                free_bytes=int(free) * MIB if free.isdigit() else None,
                pci_id=_pci(cells[5]) if len(cells) > 5 else "",
                sources=("nvidia-smi",),
            )
        )
    if found:
        return found
    for file in host.glob("/proc/driver/nvidia/gpus/*/information"):
        said = dict(line.split(":", 1) for line in host.read(file).splitlines() if ":" in line)
        found.append(Gpu("nvidia", name=said.get("Model", "").strip(), sources=("proc",)))
    return found


def driver(host: Host, answer: Ran | None = None) -> str:
    """The driver's version; ``""`` without one."""
    if answer is not None and answer.code == 0 and answer.out.count(",") >= 4:
        return answer.out.splitlines()[0].split(",")[3].strip()
    words = host.read("/sys/module/nvidia/version").split()
    return words[0] if words else ""


def _pci(device_id: str) -> str:
    """``0x268410DE`` is device 2684 of vendor 10de."""
    number = device_id.removeprefix("0x").lower()
    return f"{number[4:]}:{number[:4]}" if len(number) == 8 else ""
