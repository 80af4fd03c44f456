"""codec=ppmd: the small one. On short prose 12% below zstd -19 (bench/README.md), at about 10 MB/s both ways.

Prediction by partial matching (variant H, as in 7-Zip). Decoding is as slow as encoding, so blocks are 192 KiB: one document
is read back in about 20 ms. The payload opens with two bytes, order and log2 of the memory, so that an archive written with
other settings is read without being told them. pyppmd is LGPL-2.1+, hence the extra ``llmc-cli[ppmd]``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llmc.errors import DamagedError, UsageError

SLICE_BYTES = 16 << 10
"""How much the encoder is given at once. pyppmd (1.1.1 to 1.3.1, variants H and I) writes a stream that cannot be decoded when
the output of one call outgrows its first buffer of 32 KiB just as a carry runs through: 6 of 597 blocks of changelogs and
speeches, none in slices of this size. Every block is decoded and compared before it is kept, whatever the codec."""
MAX_MEMORY_LOG2 = 28  # 256 MiB: what a reader will allocate for an archive it did not write


def _pyppmd() -> Any:  # noqa: ANN401 - pyppmd has no types
    try:
        import pyppmd
    except ImportError as error:
        raise UsageError("codec ppmd needs the package pyppmd", hint="pip install 'llmc-cli[ppmd]'") from error
    return pyppmd


@dataclass(frozen=True, slots=True)
class Ppmd:
    """PPMd variant H with a range coder."""

    order: int = 6  # 5, 6 and 8 differ by less than 1% in size on prose; lower is faster
    memory_log2: int = 24  # 16 MiB of model state: more than one block can fill
    block_bytes: int = 192 << 10
    name: str = "ppmd"
    fingerprint: str = ""

    def __post_init__(self) -> None:
        if not (isinstance(self.order, int) and isinstance(self.memory_log2, int)) or not (
            2 <= self.order <= 64 and 11 <= self.memory_log2 <= MAX_MEMORY_LOG2
        ):
            raise UsageError(
                f"codec.options.order={self.order} codec.options.memory_log2={self.memory_log2}: "
                f"ppmd takes an order of 2..64 and 11..{MAX_MEMORY_LOG2}"
            )
        _pyppmd()

    def encode(self, pieces: Sequence[bytes]) -> bytes:
        encoder = _pyppmd().Ppmd7Encoder(self.order, 1 << self.memory_log2)
        raw = b"".join(pieces)
        body: bytes = (
            b"".join(encoder.encode(raw[i : i + SLICE_BYTES]) for i in range(0, len(raw), SLICE_BYTES)) + encoder.flush()
        )
        return bytes((self.order, self.memory_log2)) + body

    def decode(self, payload: bytes, raw_bytes: int) -> bytes:
        if len(payload) < 2 or not 2 <= payload[0] <= 64 or not 11 <= payload[1] <= MAX_MEMORY_LOG2:
            raise DamagedError("a ppmd block has an impossible header")
        try:
            decoder = _pyppmd().Ppmd7Decoder(payload[0], 1 << payload[1])
            data = bytes(decoder.decode(payload[2:], raw_bytes))
            while len(data) < raw_bytes and decoder.needs_input is False and not decoder.eof:
                data += decoder.decode(b"", raw_bytes - len(data))
        except (ValueError, SystemError, MemoryError) as error:
            raise DamagedError(f"a ppmd block cannot be decoded: {error}") from error
        if len(data) != raw_bytes:
            raise DamagedError(f"a ppmd block gives {len(data)} bytes where {raw_bytes} are recorded")
        return data


CODEC = Ppmd
