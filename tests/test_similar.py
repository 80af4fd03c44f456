"""Near-duplicates: the estimate is near the truth, a signature depends on its document alone, groups lie together."""

import json
import os
import random
import subprocess
import sys
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmc import similar
from llmc.archive import Archive
from llmc.codec.zstd import Zstd
from llmc.documents import Selection
from llmc.writer import Writer

WORDS = [f"word{i}" for i in range(3000)]


def triples(text: str) -> set[tuple[str, ...]]:
    words = text.split()
    return set(zip(words, words[1:], words[2:], strict=False))


def jaccard(a: str, b: str) -> float:
    return len(triples(a) & triples(b)) / len(triples(a) | triples(b))


def changed(text: str, words: int, rng: random.Random) -> str:
    """The text with that many of its words exchanged."""
    found = text.split()
    for i in rng.sample(range(len(found)), words):
        found[i] = f"other{rng.randrange(10**9)}"
    return " ".join(found)


@pytest.mark.parametrize("words", [0, 1, 3, 8, 20, 60])
def test_the_estimate_is_near_the_true_share_of_common_triples(words: int):
    rng = random.Random(words)
    errors = []
    for _ in range(40):
        text = " ".join(rng.choices(WORDS, k=120))
        other = changed(text, words, rng)
        a, b = similar.signatures([text.encode(), other.encode()])
        errors.append(similar.similarity(a, b) - jaccard(text, other))
    assert abs(float(np.mean(errors))) < 0.03
    assert max(map(abs, errors)) < 0.25


@given(st.lists(st.binary(max_size=300), max_size=8), st.lists(st.text(max_size=80).map(str.encode), max_size=8))
@settings(max_examples=60, deadline=None)
def test_a_signature_depends_on_its_document_alone(some: list[bytes], others: list[bytes]):
    together = similar.signatures([*some, *others])
    assert together.shape == (len(some) + len(others), similar.PERMUTATIONS)
    for row, document in zip(together, [*some, *others], strict=True):
        assert (row == similar.signatures([document])[0]).all()


def test_a_batch_that_is_full_changes_nothing():
    rng = random.Random(7)
    documents = [" ".join(rng.choices(WORDS, k=9000)).encode() for _ in range(60)]  # three batches, some cut at the sample
    assert (similar.signatures(documents)[[3, 31, 59]] == similar.signatures([documents[i] for i in (3, 31, 59)])).all()


def test_white_space_does_not_count_and_letters_do():
    a, b, c = similar.signatures([b"the rent is 4,850 EUR", b"the  rent\nis 4,850\tEUR", b"the rent is 4,580 EUR"])
    assert similar.similarity(a, b) == 1
    assert similar.similarity(a, c) < 1


def test_text_without_spaces_is_compared_by_its_characters():
    a, b, c = similar.signatures(
        [
            t.encode()
            for t in (
                "今日は天気がいいですね。散歩に行こう",
                "今日は天気が悪いですね。散歩に行こう",
                "価格は三千円です。送料は無料になります",
            )
        ]
    )
    assert similar.similarity(a, b) > 0.4
    assert similar.similarity(a, c) < 0.2


def test_the_same_bytes_have_the_same_signature_in_another_process():
    code = "from llmc import similar; print(similar.signatures([b'a b c d', b'', 'größer als 3 €'.encode()]).tobytes().hex())"
    done = [
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, "PYTHONHASHSEED": seed}
        )
        for seed in ("1", "2")
    ]
    expected = similar.signatures([b"a b c d", b"", "größer als 3 €".encode()]).tobytes().hex()
    assert [d.stdout.strip() for d in done] == [expected] * 2


def test_near_duplicates_lie_together_and_the_rest_keeps_its_order():
    rng = random.Random(3)
    kinds = [" ".join(rng.choices(WORDS, k=200)) for _ in range(6)]
    alone = [" ".join(rng.choices(WORDS, k=200)) for _ in range(20)]
    documents = [changed(kinds[i % 6], 4, rng) for i in range(60)] + alone
    labels = [i % 6 for i in range(60)] + [100 + i for i in range(20)]
    placed = [labels[i] for i in similar.order([d.encode() for d in documents], 0.5)]
    assert [label for label, _ in groupby(placed)] == [0, 1, 2, 3, 4, 5, *range(100, 120)]


def test_a_reply_that_quotes_the_one_before_lies_beside_it():
    rng = random.Random(4)
    thread = [" ".join(rng.choices(WORDS, k=60))]
    for _ in range(5):
        thread.append(" ".join(rng.choices(WORDS, k=20)) + "\n> " + thread[-1])
    between = [" ".join(rng.choices(WORDS, k=100)) for _ in range(6)]
    documents = [d.encode() for pair in zip(thread, between, strict=True) for d in pair]
    assert similar.order(documents, 0.3)[:6] == [0, 2, 4, 6, 8, 10]


@given(st.lists(st.binary(max_size=60), max_size=30), st.sampled_from([0.0, 0.3, 0.85, 1.0]))
@settings(max_examples=60, deadline=None)
def test_an_order_holds_every_document_once(documents: list[bytes], least: float):
    assert sorted(similar.order(documents, least)) == list(range(len(documents)))


def test_ten_thousand_of_one_kind_are_compared_with_a_few_each():
    rng = random.Random(5)
    line = " ".join(rng.choices(WORDS, k=40))
    documents = [changed(line, 1, rng).encode() for _ in range(10_000)]
    assert similar.order(documents, 0.5) == list(range(10_000))


def test_the_archive_keeps_its_order_and_gives_everything_back_with_and_without_grouping(tmp_path: Path):
    rng = random.Random(6)
    kinds = [" ".join(rng.choices(WORDS, k=300)) for _ in range(20)]
    lines = [json.dumps({"text": changed(kinds[i % 20], 6, rng)}).encode() + b"\n" for i in range(400)]
    (tmp_path / "in.jsonl").write_bytes(b"".join(lines))
    sizes = {}
    for grouping in (True, False):
        folder = tmp_path / f"{grouping}.llmc"
        with Writer(folder, Zstd(level=9, block_bytes=64 << 10), grouping=grouping) as writer:
            for document in Selection(str(tmp_path / "in.jsonl")):
                writer.add(document)
        archive = Archive.open(folder)
        assert [entry.line for entry in archive.entries()] == list(range(1, 401))
        assert [archive.read(entry) for entry in archive.entries()] == lines
        sizes[grouping] = archive.stored_bytes()["exact"]
    assert sizes[True] < 0.4 * sizes[False]  # 20 alike in a block of 64 KiB instead of one or two


def test_the_same_documents_make_the_same_bytes(tmp_path: Path):
    rng = random.Random(8)
    kinds = [" ".join(rng.choices(WORDS, k=100)) for _ in range(5)]
    (tmp_path / "in").mkdir()
    for i in range(60):
        (tmp_path / "in" / f"{i:03}.txt").write_text(changed(kinds[i % 5], 3, rng))
    written = []
    for workers in (1, 3):
        with Writer(tmp_path / f"{workers}.llmc", Zstd(), workers=workers) as writer:
            for document in Selection(str(tmp_path / "in")):
                writer.add(document)
        written.append({file.name: file.read_bytes() for file in (tmp_path / f"{workers}.llmc").iterdir()})
    assert written[0] == written[1]
