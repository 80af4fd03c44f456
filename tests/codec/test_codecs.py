"""Every codec gives back exactly what it was given, and says so when it cannot."""

import hashlib
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmc import codec as codecs
from llmc.errors import DamagedError, UsageError

PROSE = b"On 12 March 2026 the board voted 7-2 to extend the Harbour Street lease.\n" * 40


@pytest.mark.parametrize("name", codecs.NAMES)
@given(pieces=st.lists(st.binary(max_size=300), max_size=8))
def test_decode_gives_back_the_pieces_joined(name: str, pieces: list[bytes]):
    codec = codecs.load(name)
    joined = b"".join(pieces)
    assert codec.decode(codec.encode(pieces), len(joined)) == joined


@pytest.mark.parametrize("name", codecs.NAMES)
def test_a_truncated_block_is_damage_not_other_text(name: str):
    codec = codecs.load(name)
    payload = codec.encode([PROSE])
    with pytest.raises(DamagedError):
        codec.decode(payload[: len(payload) // 2], len(PROSE))


@pytest.mark.parametrize("name", ["zstd", "ppmd"])
@given(place=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_flipped_bit_never_gives_more_bytes_than_recorded(name: str, place: int, bit: int):
    codec = codecs.load(name)
    payload = bytearray(codec.encode([PROSE]))
    payload[place % len(payload)] ^= 1 << bit
    try:
        data = codec.decode(bytes(payload), len(PROSE))
    except DamagedError:
        return
    assert len(data) == len(PROSE)


def test_a_zstd_frame_that_claims_to_be_huge_is_refused_before_it_is_decoded():
    import zstandard

    bomb = zstandard.ZstdCompressor().compress(bytes(200 << 20))
    with pytest.raises(DamagedError, match="claims more"):
        codecs.load("zstd").decode(bomb, 1000)


def test_a_ppmd_block_that_asks_for_more_memory_than_allowed_is_refused():
    with pytest.raises(DamagedError, match="impossible header"):
        codecs.load("ppmd").decode(bytes((6, 40)) + b"x" * 20, 100)


def test_ppmd_reads_a_block_written_with_other_settings():
    written = codecs.load("ppmd", order=3, memory_log2=20).encode([PROSE])
    assert codecs.load("ppmd").decode(written, len(PROSE)) == PROSE


@pytest.mark.parametrize(("name", "sha256"), [("raw", "f6499f98dce790cf"), ("ppmd", "b1eae6d8698aed8c")])
def test_the_bytes_of_a_format_do_not_change(name: str, sha256: str):
    # A codec that writes other bytes for the same input is a new format: see CHANGELOG, "Archive format".
    # (zstd promises only that it can be decoded, not the same bytes from every version: the golden archive holds that.)
    assert hashlib.sha256(codecs.load(name).encode([PROSE])).hexdigest()[:16] == sha256


@pytest.mark.parametrize(
    ("name", "options"),
    [("zstd", {"level": 23}), ("zstd", {"level": "high"}), ("ppmd", {"order": 1}), ("ppmd", {"memory_log2": 40})],
)
def test_an_impossible_setting_is_a_usage_error(name: str, options: dict[str, object]):
    with pytest.raises(UsageError):
        codecs.load(name, **options)


@pytest.mark.parametrize("seed", [1, 127])
def test_a_block_that_pyppmd_encodes_wrongly_in_one_call_comes_back(seed: int):
    import random

    rng = random.Random(seed)
    words = ["".join(rng.choices("etaoinshrdlucmf", k=rng.randint(2, 9))) for _ in range(3000)]
    text = " ".join(rng.choices(words, k=25_000))[:120_000].encode()
    codec = codecs.load("ppmd")
    assert codec.decode(codec.encode([text]), len(text)) == text

    # If this fails for 127, pyppmd was mended, and SLICE_BYTES can go. In a process of its own: it may crash.
    code = (
        "import sys, pyppmd; text = sys.stdin.buffer.read(); encoder = pyppmd.Ppmd7Encoder(6, 1 << 24); "
        "whole = encoder.encode(text) + encoder.flush(); "
        "print(pyppmd.Ppmd7Decoder(6, 1 << 24).decode(whole, len(text)) == text)"
    )
    done = subprocess.run([sys.executable, "-c", code], input=text, capture_output=True, check=False)
    assert (done.stdout == b"True\n") == (seed != 127)


def test_an_unknown_codec_names_the_ones_there_are():
    with pytest.raises(UsageError, match="zstd, ppmd, raw"):
        codecs.load("lzma")
