"""Apple GPUs: they compute in the machine's own memory, of which macOS lets them have about two thirds."""

import json

from llmc.machine.found import Gpu
from llmc.machine.host import Host, Ran

ASKED = ("system_profiler", "SPDisplaysDataType", "-json")


def gpus(host: Host, answer: Ran | None, memory_bytes: int) -> list[Gpu]:
    """The GPU of a Mac with an Apple processor; Intel Macs' cards are not offered."""
    if host.system != "Darwin" or answer is None or answer.code != 0:
        return []
    try:
        cards = json.loads(answer.out)["SPDisplaysDataType"]
    except (ValueError, KeyError):
        return []
    names = [str(card.get("sppci_model", "")) for card in cards]
    share = memory_bytes * 2 // 3  # Metal's recommendedMaxWorkingSetSize: 2/3 below 36 GB, 3/4 above
    return [
        Gpu("apple", name=name, integrated=True, memory_bytes=share, sources=("system_profiler",))
        for name in names
        if name.startswith("Apple")
    ]
