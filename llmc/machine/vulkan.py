"""Vulkan: any maker's GPU. vulkaninfo names the devices and their memory; a device that is the processor in disguise (llvmpipe)
is named as software. Its text form is read: ``--json`` writes a file where one stands, and ``--summary`` leaves memory out."""

import re

from llmc.machine.found import VulkanDevice
from llmc.machine.host import Ran

KINDS = {"CPU": "software", "DISCRETE_GPU": "discrete", "INTEGRATED_GPU": "integrated", "VIRTUAL_GPU": "virtual"}
ASKED = ("vulkaninfo",)


def devices(answer: Ran | None) -> tuple[VulkanDevice, ...] | None:
    """From the full text of vulkaninfo; None when it did not say."""
    if answer is None or answer.code is None:
        return None
    _, found, text = answer.out.partition("Device Properties and Extensions")
    if not found:
        return () if answer.code else None
    return tuple(_device(section) for section in re.split(r"^GPU\d+:\s*$", text, flags=re.M)[1:])


def _device(text: str) -> VulkanDevice:
    def value(key: str) -> str:
        match = re.search(rf"^\s*{key}\s*= (.+)$", text, re.M)
        return match[1].strip() if match else ""

    memory = free = 0
    budgets = False
    heaps = text.partition("memoryHeaps:")[2].partition("memoryTypes:")[0]
    for heap in re.split(r"memoryHeaps\[\d+\]:", heaps)[1:]:
        if "MEMORY_HEAP_DEVICE_LOCAL_BIT" not in heap:
            continue
        said = {key: int(number) for key, number in re.findall(r"(size|budget|usage)\s*= (\d+)", heap)}
        memory += said.get("size", 0)
        # A budget above the size is a known defect of old RADV (a negative number printed unsigned).
        if 0 < said.get("budget", 0) <= said.get("size", 0):
            budgets = True
            free += max(0, said["budget"] - said.get("usage", 0))
    kind = re.sub(r"^PHYSICAL_DEVICE_TYPE_", "", value("deviceType"))
    driver = " ".join(part for part in (value("driverName"), value("driverInfo")) if part)
    ids = [int(value(key).split()[0], 0) if value(key) else 0 for key in ("vendorID", "deviceID")]
    return VulkanDevice(
        name=value("deviceName"),
        kind=KINDS.get(kind, "other"),
        memory_bytes=memory,
        free_bytes=free if budgets else None,
        pci_id=f"{ids[0]:04x}:{ids[1]:04x}",
        driver=driver,
    )
