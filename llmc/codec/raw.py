"""codec=raw: bytes as they are. Also what a block falls back to when its codec would make it larger."""

from collections.abc import Sequence
from dataclasses import dataclass

from llmc.errors import DamagedError


@dataclass(frozen=True, slots=True)
class Raw:
    """No compression."""

    block_bytes: int = 4 << 20
    name: str = "raw"
    fingerprint: str = ""

    def encode(self, pieces: Sequence[bytes]) -> bytes:
        return b"".join(pieces)

    def decode(self, payload: bytes, raw_bytes: int) -> bytes:
        if len(payload) != raw_bytes:
            raise DamagedError(f"a raw block holds {len(payload)} bytes where {raw_bytes} are recorded")
        return payload


CODEC = Raw
