"""codec=zstd: the default, because reading is fast (about 1 GB/s) whatever was spent on writing.

Blocks of 4 MiB at level 19 come within a few percent of one solid stream, and one document still costs only one block to
read: about 5 ms. Writing runs at 3 to 6 MB/s a core; ``codec.level=9`` writes ten times faster for 7% more bytes
(``bench/README.md``).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import zstandard

from llmc.errors import DamagedError, UsageError


@dataclass(frozen=True, slots=True)
class Zstd:
    """Zstandard (RFC 8878), one frame a block."""

    level: int = 19
    block_bytes: int = 4 << 20
    name: str = "zstd"
    fingerprint: str = ""

    def __post_init__(self) -> None:
        if not (isinstance(self.level, int) and 1 <= self.level <= 22):
            raise UsageError(f"codec.options.level={self.level}: zstd takes 1 to 22")

    def encode(self, pieces: Sequence[bytes]) -> bytes:
        # The archive checks every document's sha256 and knows every block's size: the frame repeats neither.
        compressor = zstandard.ZstdCompressor(level=self.level, write_checksum=False, write_content_size=False)
        return compressor.compress(b"".join(pieces))

    def decode(self, payload: bytes, raw_bytes: int) -> bytes:
        try:
            if zstandard.frame_content_size(payload) > raw_bytes:  # a size we never write: refuse before allocating it
                raise DamagedError(f"a zstd block claims more than the {raw_bytes} bytes recorded")
            data = zstandard.ZstdDecompressor().decompress(payload, max_output_size=max(raw_bytes, 1))
        except zstandard.ZstdError as error:
            raise DamagedError(f"a zstd block cannot be decoded: {error}") from error
        if len(data) != raw_bytes:
            raise DamagedError(f"a zstd block gives {len(data)} bytes where {raw_bytes} are recorded")
        return data


CODEC = Zstd
