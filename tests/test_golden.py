"""Bytes we wrote once we can read for ever: an archive written by version 1 of the format, kept as it was.

Never make it again: if this fails, reading broke. A new version of the format gets a golden archive of its own.
"""

import hashlib
import shutil
from pathlib import Path

import llmc
from llmc import viewstore
from llmc.archive import Archive
from llmc.stats import collect

GOLDEN = Path(__file__).parent / "golden"


def test_the_golden_archive_is_the_one_that_was_written():
    digest = hashlib.sha256()
    for file in sorted((GOLDEN / "v1.llmc").iterdir()):
        if not file.name.startswith("."):
            digest.update(file.name.encode() + file.read_bytes())
    assert digest.hexdigest() == "63f2c44e0e5e44d894802a9f0ffd62850d7837ca9aacd2471d524a883ef69c21"


def test_version_1_is_restored_byte_for_byte(tmp_path: Path):
    archive = Archive.open(GOLDEN / "v1.llmc")
    assert not [problem for _, problem in archive.verify() if problem]
    result = llmc.restore(archive, tmp_path)
    assert (result.written, result.failed) == (8, [])
    expected = {path.name: path.read_bytes() for path in (GOLDEN / "v1").iterdir()}
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == expected


def test_version_1_holds_its_views_and_receipts():
    archive = Archive.open(GOLDEN / "v1.llmc")
    rows = {row["id"]: row for part in archive.manifest.parts for row in viewstore.rows(archive, part)}
    minutes = viewstore.from_row(rows["minutes.txt"])
    assert minutes.kind == "extract"
    assert minutes.verdict is not None
    assert minutes.verdict.passed
    assert minutes.facts
    source = (GOLDEN / "v1" / "minutes.txt").read_text()
    assert all(source[f.source.start : f.source.end] for f in minutes.facts)
    stats = collect(archive)
    assert (stats.documents, stats.replaced, stats.views) == (8, 1, {"extract": 2, "none": 6})


def test_version_1_can_be_appended_to(tmp_path: Path):
    shutil.copytree(GOLDEN / "v1.llmc", tmp_path / "a.llmc")
    (tmp_path / "new.txt").write_text("new")
    assert llmc.compress(tmp_path / "new.txt", tmp_path / "a.llmc").stored == 1
    assert {e.id for e in Archive.open(tmp_path / "a.llmc").entries()} >= {"new.txt", "minutes.txt", "a"}
