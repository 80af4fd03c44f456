"""The archive keeps every byte, whatever it is, and finds damage."""

import json
import os
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import llmc
from llmc.archive import Archive
from llmc.errors import ArchiveError, DamagedError, InputError

HOSTILE = {
    "empty": b"",
    "one": b"x",
    "nuls": b"\0" * 5000,
    "invalid-utf8": b"caf\xe9 \xff\xfe\x80 end",
    "utf16": "On 12 March the lease ends.\n".encode("utf-16") * 30,
    "crlf-bom": b"\xef\xbb\xbfline one\r\nline two\r\n" * 50,
    "random": random.Random(1).randbytes(10_000),
    "lone-cr": b"a\rb\r\r\n\n\r",
    "name with spaces ünïcödé 日本.txt": "日本語のテキスト。".encode() * 40,
    "new\nline": b"the name has a line feed\n" * 20,
    "tab\tand 'quotes\" $(rm).txt": b"quoted\n" * 30,
    "-rf": b"a name that looks like a flag\n",
}


def write_hostile(folder: Path) -> dict[bytes, bytes]:
    """The files above, and one whose name is not UTF-8; what each must be restored as."""
    folder.mkdir(exist_ok=True)
    expected = {name.encode(): data for name, data in HOSTILE.items()} | {b"latin1-\xe9.txt": b"the name is not UTF-8\n" * 9}
    for name, data in expected.items():
        (folder / os.fsdecode(name)).write_bytes(data)
    return expected


def restored(archive: Path, output: Path) -> dict[bytes, bytes]:
    result = llmc.restore(archive, output)
    assert not result.failed
    return {
        os.path.relpath(os.fsencode(p), os.fsencode(output)): p.read_bytes() for p in sorted(output.rglob("*")) if p.is_file()
    }


@pytest.mark.parametrize("codec", ["zstd", "ppmd", "raw"])
@pytest.mark.parametrize("view", ["none", "extract"])
def test_hostile_files_come_back_byte_for_byte(tmp_path: Path, codec: str, view: str):
    expected = write_hostile(tmp_path / "in")
    summary = llmc.compress(tmp_path / "in", tmp_path / "a.llmc", codec=codec, view=view)
    assert (summary.stored, summary.failed) == (len(expected), [])
    assert restored(tmp_path / "a.llmc", tmp_path / "out") == expected
    assert not any(problem for _, problem in Archive.open(tmp_path / "a.llmc").verify())


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=st.dictionaries(st.text("abc/é \n'", min_size=1, max_size=8), st.binary(max_size=2000), max_size=6))
def test_any_files_come_back(tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]):
    tmp_path = tmp_path_factory.mktemp("any")
    expected = {}
    (tmp_path / "in").mkdir()
    for name, data in files.items():
        path = tmp_path / "in" / (name.replace("/", "_") + ".txt")
        path.write_bytes(data)
        expected[path.name.encode()] = data
    llmc.compress(tmp_path / "in", tmp_path / "a.llmc", view="none")
    assert restored(tmp_path / "a.llmc", tmp_path / "out") == expected


def test_a_document_larger_than_memory_allows_is_streamed_and_comes_back(tmp_path: Path):
    data = b"".join(b"%d one endless line without a break " % i for i in range(300_000))  # 11 MB, larger than a block
    (tmp_path / "big.txt").write_bytes(data)
    llmc.compress(tmp_path / "big.txt", tmp_path / "a.llmc", codec=llmc_zstd(3), view="none")
    archive = Archive.open(tmp_path / "a.llmc")
    entry = archive.find("big.txt")
    pieces = list(archive.read_pieces(entry))
    assert len(pieces) > 2
    assert b"".join(pieces) == data


def llmc_zstd(level: int):
    from llmc.codec import load

    return load("zstd", level=level)


def test_the_same_call_again_stores_nothing(tmp_path: Path):
    write_hostile(tmp_path / "in")
    first = llmc.compress(tmp_path / "in", tmp_path / "a.llmc")
    files = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "a.llmc").glob("*.parquet")}
    again = llmc.compress(tmp_path / "in", tmp_path / "a.llmc")
    assert (again.stored, again.unchanged, again.views_made) == (0, first.stored, 0)
    assert {p.name: p.stat().st_mtime_ns for p in (tmp_path / "a.llmc").glob("*.parquet")} == files


def test_a_changed_file_replaces_its_earlier_version_and_the_rest_stays(tmp_path: Path):
    (tmp_path / "in").mkdir()
    for name in "abc":
        (tmp_path / "in" / name).write_text(f"{name} first\n" * 30)
    llmc.compress(tmp_path / "in", tmp_path / "a.llmc")
    (tmp_path / "in" / "b").write_text("b second\n" * 30)
    (tmp_path / "in" / "a").unlink()
    assert llmc.compress(tmp_path / "in", tmp_path / "a.llmc").stored == 1
    back = restored(tmp_path / "a.llmc", tmp_path / "out")
    # A file that is gone from the input stays in the archive: nothing is lost by forgetting it.
    assert back == {b"a": b"a first\n" * 30, b"b": b"b second\n" * 30, b"c": b"c first\n" * 30}


def test_a_version_stays_replaced_through_many_changes(tmp_path: Path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "fixed").write_text("stays")
    for i in range(6):
        (tmp_path / "in" / "changing").write_text(f"version {i}\n" * 10)
        llmc.compress(tmp_path / "in", tmp_path / "a.llmc", view="extract")
        archive = Archive.open(tmp_path / "a.llmc")
        assert sorted(e.id for e in archive.entries()) == ["changing", "fixed"]
        assert archive.read(archive.find("changing")) == f"version {i}\n".encode() * 10


def test_force_stores_everything_anew_and_drops_the_old_parts(tmp_path: Path):
    expected = write_hostile(tmp_path / "in")
    llmc.compress(tmp_path / "in", tmp_path / "a.llmc", codec="raw", view="none")
    before = Archive.open(tmp_path / "a.llmc").stored_bytes()["exact"]
    llmc.compress(tmp_path / "in", tmp_path / "a.llmc", codec="zstd", view="none", force=True)
    assert Archive.open(tmp_path / "a.llmc").stored_bytes()["exact"] < before
    assert restored(tmp_path / "a.llmc", tmp_path / "out") == expected


def test_equal_documents_are_stored_once(tmp_path: Path):
    data = random.Random(2).randbytes(50_000)
    for folder, copies in (("one", 1), ("ten", 10)):
        (tmp_path / folder).mkdir()
        for i in range(copies):
            (tmp_path / folder / f"{i}").write_bytes(data)
        llmc.compress(tmp_path / folder, tmp_path / f"{folder}.llmc", view="none")
    one, ten = (Archive.open(tmp_path / f"{n}.llmc").stored_bytes()["exact"] for n in ("one", "ten"))
    assert ten - one < 500


def test_what_cannot_be_made_smaller_grows_by_a_few_bytes_a_document(tmp_path: Path):
    (tmp_path / "in").mkdir()
    rng = random.Random(3)
    for i in range(1000):
        (tmp_path / "in" / f"{i:04}").write_bytes(rng.randbytes(100))
    llmc.compress(tmp_path / "in", tmp_path / "a.llmc", codec="zstd", view="none")
    stored = Archive.open(tmp_path / "a.llmc").stored_bytes()["exact"]
    assert stored - 100_000 < 1000 * 16 + 3000  # per document: 8 of its sha256, about 5 of id and place; 3 kB of headers


def test_a_flipped_bit_anywhere_is_found_and_nothing_wrong_is_given_back(tmp_path: Path):
    expected = write_hostile(tmp_path / "in")
    llmc.compress(tmp_path / "in", tmp_path / "a.llmc", view="none")
    blocks = tmp_path / "a.llmc" / "blocks-000001.parquet"
    intact = blocks.read_bytes()
    rng = random.Random(4)
    found = 0
    for _ in range(60):
        damaged = bytearray(intact)
        damaged[rng.randrange(4, len(intact) - 300)] ^= 1 << rng.randrange(8)
        blocks.write_bytes(damaged)
        problems = [p for _, p in Archive.open(tmp_path / "a.llmc").verify() if p]
        out = tmp_path / f"out{found}"
        result = llmc.restore(tmp_path / "a.llmc", out)
        for path in out.rglob("*"):
            if path.is_file():
                assert path.read_bytes() == expected[os.path.relpath(os.fsencode(path), os.fsencode(out))]
        assert bool(problems) == bool(result.failed)
        found += bool(problems)
    assert found > 30  # the rest hit bytes that carry nothing


def test_documents_exchanged_between_archives_are_found_by_the_parts_sha256(tmp_path: Path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_text(f"text of {name}\n" * 40)
        llmc.compress(tmp_path / name, tmp_path / f"{name}.llmc", view="none")
    for kind in ("docs", "blocks"):
        (tmp_path / "b.llmc" / f"{kind}-000001.parquet").rename(tmp_path / "a.llmc" / f"{kind}-000001.parquet")
    (tmp_path / "a.llmc" / "docs-000001.parquet").write_bytes(_with_other_root(tmp_path / "a.llmc" / "docs-000001.parquet"))
    assert [p for _, p in Archive.open(tmp_path / "a.llmc").verify() if "stored together" in p]


def _with_other_root(file: Path) -> bytes:
    data = file.read_bytes()
    root = pq.read_metadata(file).metadata[b"llmc.sha256"]
    return data.replace(root, b"0" * 64)


@pytest.mark.parametrize("kind", ["docs", "blocks"])
def test_a_missing_part_file_is_named(tmp_path: Path, kind: str):
    write_hostile(tmp_path / "in")
    llmc.compress(tmp_path / "in", tmp_path / "a.llmc", view="none")
    archive = Archive.open(tmp_path / "a.llmc")
    entry = next(archive.entries())
    (tmp_path / "a.llmc" / f"{kind}-000001.parquet").unlink()
    with pytest.raises(llmc.LlmcError, match=f"{kind}-000001.parquet is missing"):
        archive.find("x") if kind == "docs" else archive.read(entry)


def test_a_manifest_that_was_lost_is_made_again_from_the_parts(tmp_path: Path):
    expected = write_hostile(tmp_path / "in")
    llmc.compress(tmp_path / "in", tmp_path / "a.llmc", view="none")
    (tmp_path / "a.llmc" / "manifest.json").unlink()
    assert llmc.compress(tmp_path / "in", tmp_path / "a.llmc", view="none").stored == 0
    assert restored(tmp_path / "a.llmc", tmp_path / "out") == expected


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"format": "zip"}', '{"format": "llmc-archive", "version": 99, "parts": []}', "\xff"]
)
def test_a_manifest_that_is_not_ours_is_an_error_with_a_reason(tmp_path: Path, text: str):
    (tmp_path / "a.llmc").mkdir()
    (tmp_path / "a.llmc" / "manifest.json").write_text(text, encoding="latin-1")
    with pytest.raises(ArchiveError):
        Archive.open(tmp_path / "a.llmc")


def test_a_second_writer_is_refused(tmp_path: Path):
    from llmc.parts import lock

    (tmp_path / "in").write_text("x")
    llmc.compress(tmp_path / "in", tmp_path / "a.llmc", view="none")
    with lock(tmp_path / "a.llmc"), pytest.raises(ArchiveError, match="being written by another"):
        llmc.compress(tmp_path / "in", tmp_path / "a.llmc", view="none")


def test_an_unknown_id_names_the_nearest(tmp_path: Path):
    (tmp_path / "board-minutes.md").write_text("x")
    llmc.compress(tmp_path / "board-minutes.md", tmp_path / "a.llmc", view="none")
    with pytest.raises(InputError) as error:
        Archive.open(tmp_path / "a.llmc").find("bord-minutes.md")
    assert error.value.hint == "did you mean id=board-minutes.md?"


@dataclass
class Shift:
    """A codec that needs something outside the payload to decode, as one built on a language model does: an engine handle,
    the boundaries of the documents, a header of its own and a fingerprint of the model."""

    engine: dict[int, int]
    fingerprint: str
    name: str = "shift"
    block_bytes: int = 1000

    def encode(self, pieces: Sequence[bytes]) -> bytes:
        header = json.dumps([len(piece) for piece in pieces]).encode()
        body = bytes(self.engine[b] for b in b"".join(pieces))
        return header + b"\n" + body[: len(body) // 2] + _pack(body[len(body) // 2 :])

    def decode(self, payload: bytes, raw_bytes: int) -> bytes:
        header, _, body = payload.partition(b"\n")
        assert sum(json.loads(header)) == raw_bytes
        back = {v: k for k, v in self.engine.items()}
        first = raw_bytes // 2
        return bytes(back[b] for b in body[:first] + _unpack(body[first:]))


def _pack(data: bytes) -> bytes:
    import zlib

    return zlib.compress(data)


def _unpack(data: bytes) -> bytes:
    import zlib

    return zlib.decompress(data)


def test_a_codec_with_an_engine_and_a_fingerprint_needs_no_change_elsewhere(tmp_path: Path):
    (tmp_path / "in").mkdir()
    for i in range(20):
        (tmp_path / "in" / f"{i}").write_bytes(b"the same words again and again %d\n" % i * 8)
    codec = Shift({i: (i + 7) % 256 for i in range(256)}, fingerprint="model 3f2a91")
    llmc.compress(tmp_path / "in", tmp_path / "a.llmc", codec=codec, view="none")
    archive = Archive.open(tmp_path / "a.llmc", [codec])
    assert archive.read(archive.find("3")) == b"the same words again and again 3\n" * 8

    other = Shift({i: (i + 8) % 256 for i in range(256)}, fingerprint="model 77bc02")
    archive = Archive.open(tmp_path / "a.llmc", [other])
    with pytest.raises(ArchiveError, match=r"model 3f2a91.*model 77bc02"):
        archive.read(archive.find("3"))


def test_a_codec_that_breaks_its_promise_loses_nothing(tmp_path: Path):
    class Broken(Shift):
        def decode(self, payload: bytes, raw_bytes: int) -> bytes:
            return bytes(raw_bytes)

    (tmp_path / "x").write_bytes(b"all of this must come back\n" * 30)
    codec = Broken({i: i for i in range(256)}, fingerprint="")
    summary = llmc.compress(tmp_path / "x", tmp_path / "a.llmc", codec=codec, view="none")
    assert "stored raw" in summary.warnings[0]
    assert restored(tmp_path / "a.llmc", tmp_path / "out") == {b"x": b"all of this must come back\n" * 30}


def test_a_name_that_leaves_the_output_folder_is_refused_and_the_rest_is_restored(tmp_path: Path):
    from llmc.files import safe_path

    root = tmp_path / "out"
    root.mkdir()
    (root / "link").symlink_to(tmp_path)
    for name in (b"../x", b"/etc/x", b"a/../../x", b"", b"a//b", b"a\0b", b".", b"link/x"):
        with pytest.raises(ArchiveError):
            safe_path(root, name)
    assert safe_path(root, b"a/b") == root / "a" / "b"


def test_restore_leaves_a_file_with_other_bytes_alone_unless_forced(tmp_path: Path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a").write_text("archived")
    llmc.compress(tmp_path / "in", tmp_path / "a.llmc", view="none")
    (tmp_path / "in" / "a").write_text("edited since")
    assert "other bytes" in llmc.restore(tmp_path / "a.llmc", tmp_path / "in").failed[0][1]
    assert (tmp_path / "in" / "a").read_text() == "edited since"
    assert llmc.restore(tmp_path / "a.llmc", tmp_path / "in", force=True).written == 1
    assert (tmp_path / "in" / "a").read_text() == "archived"
    assert llmc.restore(tmp_path / "a.llmc", tmp_path / "in").unchanged == 1


def test_the_documented_query_works(tmp_path: Path):
    (tmp_path / "in").mkdir()
    for i in range(5):
        text = f"On {i + 1} March 2026 the board met and spent {i + 1},850 EUR on the roof. The roof is repaired now. " * 12
        (tmp_path / "in" / f"note-{i}.md").write_text(text)
    llmc.compress(tmp_path / "in", tmp_path / "notes.llmc")
    page = (Path(__file__).parent.parent / "docs" / "archive.md").read_text()
    query = page.split("```sql\n")[1].split("```")[0].replace("notes.llmc", str(tmp_path / "notes.llmc"))
    rows = duckdb.sql(query).fetchall()
    assert [row[0] for row in rows] == [f"note-{i}.md" for i in range(5)]
    assert all(row[2] == "extract" for row in rows)


def test_a_hostile_table_is_refused_before_it_is_read(tmp_path: Path):
    import pyarrow as pa

    (tmp_path / "x").write_text("x")
    llmc.compress(tmp_path / "x", tmp_path / "a.llmc", view="none")
    bomb = pa.table({"payload": [bytes(70 << 20)], "raw_bytes": [1], "codec": ["raw"]})
    pq.write_table(bomb, tmp_path / "a.llmc" / "blocks-000001.parquet", compression="zstd")
    archive = Archive.open(tmp_path / "a.llmc")
    with pytest.raises(DamagedError, match="claims a block"):
        archive.read(archive.find("x"))


def test_a_folder_with_files_of_others_is_never_taken_for_an_archive(tmp_path: Path):
    (tmp_path / "in").write_text("x")
    out = tmp_path / "out"
    out.mkdir()
    for name in ("tmp-notes.txt", "docs-draft.parquet", "report.docx"):
        (out / name).write_text("precious")
        with pytest.raises(llmc.LlmcError, match="not an llmc archive"):
            llmc.compress(tmp_path / "in", out, view="none")
        assert (out / name).read_text() == "precious"


def test_parts_a_killed_run_did_not_come_to_list_are_read(tmp_path: Path):
    (tmp_path / "in").mkdir()
    for i in range(3):
        (tmp_path / "in" / f"{i}").write_text(f"text {i}")
        llmc.compress(tmp_path / "in", tmp_path / "a.llmc", view="none")
        if i == 0:
            manifest = (tmp_path / "a.llmc" / "manifest.json").read_bytes()
    (tmp_path / "a.llmc" / "manifest.json").write_bytes(manifest)
    assert restored(tmp_path / "a.llmc", tmp_path / "out") == {b"0": b"text 0", b"1": b"text 1", b"2": b"text 2"}


def test_a_part_that_cannot_be_read_is_named_and_the_others_are_given_back(tmp_path: Path):
    (tmp_path / "in").mkdir()
    for i in range(3):
        (tmp_path / "in" / f"{i}").write_text(f"text {i}")
        llmc.compress(tmp_path / "in", tmp_path / "a.llmc", view="none")
    docs = tmp_path / "a.llmc" / "docs-000002.parquet"
    docs.write_bytes(docs.read_bytes()[:-3])
    result = llmc.restore(tmp_path / "a.llmc", tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["0", "2"]
    assert [name for name, _ in result.failed] == ["part 2"]
    assert [entry.id for entry, problem in Archive.open(tmp_path / "a.llmc").verify() if problem] == [
        "(all 1 documents of part 2)"
    ]
    llmc.compress(tmp_path / "in", tmp_path / "a.llmc", view="none")  # what is still in the input is stored again
    assert len(list((tmp_path / "out").iterdir())) == 2
    llmc.restore(tmp_path / "a.llmc", tmp_path / "again")
    assert sorted(p.name for p in (tmp_path / "again").iterdir()) == ["0", "1", "2"]


def test_a_flipped_bit_in_names_and_places_is_found_too(tmp_path: Path):
    (tmp_path / "in").mkdir()
    for i in range(40):
        (tmp_path / "in" / f"note-{i:03}.md").write_text(f"text {i}\n" * 5)
    llmc.compress(tmp_path / "in", tmp_path / "a.llmc", view="none")
    expected = {e.id for e in Archive.open(tmp_path / "a.llmc").entries()}
    docs = tmp_path / "a.llmc" / "docs-000001.parquet"
    intact = docs.read_bytes()
    rng = random.Random(8)
    for _ in range(150):
        damaged = bytearray(intact)
        damaged[rng.randrange(len(intact))] ^= 1 << rng.randrange(8)
        docs.write_bytes(damaged)
        archive = Archive.open(tmp_path / "a.llmc")
        problems = [p for _, p in archive.verify() if p]
        assert problems or {e.id for e in archive.entries()} == expected


def test_restore_does_not_write_into_the_archive(tmp_path: Path):
    (tmp_path / "manifest.json").write_text("a document of that name")
    llmc.compress(tmp_path / "manifest.json", tmp_path / "a.llmc", view="none")
    for output in (tmp_path / "a.llmc", tmp_path / "a.llmc" / "sub"):
        with pytest.raises(llmc.LlmcError, match="the archive itself"):
            llmc.restore(tmp_path / "a.llmc", output, force=True)


def test_force_again_and_again_does_not_grow_the_archive(tmp_path: Path):
    (tmp_path / "x").write_bytes(random.Random(9).randbytes(50_000))
    sizes = []
    for _ in range(4):
        llmc.compress(tmp_path / "x", tmp_path / "a.llmc", view="none", force=True)
        sizes.append(sum(f.stat().st_size for f in (tmp_path / "a.llmc").iterdir()))
    assert max(sizes) - min(sizes) < 100


def test_a_manifest_with_numbers_that_are_none_is_an_error(tmp_path: Path):
    (tmp_path / "a.llmc").mkdir()
    for text in ('{"format": "llmc-archive", "version": 1, "parts": [{"part": Infinity}], "lines": {}}', "[" * 100_000):
        (tmp_path / "a.llmc" / "manifest.json").write_text(text)
        with pytest.raises(ArchiveError, match="damaged"):
            Archive.open(tmp_path / "a.llmc")
