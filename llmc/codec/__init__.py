"""The exact layer: what turns a block of documents into bytes and back, byte for byte.

A codec sees a *block*: the documents (or pieces of a large one) that are stored together, similar ones side by side. It may
use their boundaries, their order and whatever it was built with (a dictionary, a language model engine); the archive only
keeps the payload, the block's size and the codec's name and fingerprint. ``decode(encode(pieces), size) == b"".join(pieces)``
for all bytes, in another process, years later.

One module, one class, one ``conf/codec/NAME.yaml`` per codec, all with the same name. A codec from another package is found
through the entry point group ``llmc.codecs``, or passed to :class:`llmc.Archive` and :func:`llmc.compress` as an object.
"""

import importlib
from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Any, Protocol, runtime_checkable

from llmc.errors import UsageError

NAMES = ("zstd", "ppmd", "raw")
MAX_BLOCK_BYTES = 64 << 20
"""No block may claim to be larger when decoded: a reader's memory is bounded before a hostile archive is decoded."""


@runtime_checkable
class Codec(Protocol):
    """What the archive asks of a codec. Methods are called from several threads at once."""

    name: str
    """The word users write after ``codec=`` and the archive records."""
    block_bytes: int
    """How much text to gather in one block, in bytes; a reader of one document decodes one block."""
    fingerprint: str
    """What decoding depends on beside the payload (a model's digest, a dictionary's hash); empty when nothing."""

    def encode(self, pieces: Sequence[bytes]) -> bytes:
        """The payload for these pieces, with whatever header of its own the codec needs."""
        ...

    def decode(self, payload: bytes, raw_bytes: int) -> bytes:
        """The pieces, joined: exactly ``raw_bytes`` bytes, or a :class:`llmc.errors.DamagedError`."""
        ...


def load(name: str, **options: Any) -> Codec:  # noqa: ANN401 - each codec types its own options
    """The codec of that name with these options; options left out take the codec's defaults (enough for decoding)."""
    if name in NAMES:
        made: Codec = importlib.import_module(f"{__name__}.{name}").CODEC(**options)
        return made
    for entry in entry_points(group="llmc.codecs", name=name):
        found: Codec = entry.load()(**options)
        return found
    raise UsageError(f"no codec is called {name!r}; llmc has: {', '.join(NAMES)}", hint="install the package that brings it")
