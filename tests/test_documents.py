"""What an input means: every file once, nothing that was not asked for, and a reason for whatever is left out."""

import contextlib
import io
import json
import os
import socket
import sys
from pathlib import Path

import pytest

import llmc
from llmc.archive import Archive
from llmc.documents import Selection
from llmc.errors import InputError


def ids(selection: Selection) -> list[str]:
    return [document.id for document in selection]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    for name in ("a.md", "b.txt", "sub/c.md", "sub/deep/d.md", ".hidden", ".git/config", "old.llmc/manifest.json"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"text of {name}")
    (root / "loop").symlink_to(root)
    (root / "sub" / "up").symlink_to("..")
    (root / "dangling").symlink_to("nowhere")
    (root / "self").symlink_to("self")
    (root / "linked.md").symlink_to("a.md")
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        os.chdir(root)
        server.bind("sock")
    os.chdir("/")
    return root


def test_a_folder_is_read_in_order_without_hidden_files_links_to_folders_pipes_and_archives(tree: Path):
    selection = Selection(str(tree))
    assert ids(selection) == ["a.md", "b.txt", "linked.md", "sub/c.md", "sub/deep/d.md"]
    assert selection.skipped == {
        "hidden": 2,
        "link to a folder": 2,
        "broken link": 2,
        "pipe, socket or device": 2,
        "llmc archive": 1,
    }


def test_hidden_files_are_read_when_asked_for(tree: Path):
    assert {".hidden", ".git/config"} < set(ids(Selection(str(tree), hidden=True)))


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        (["*.md"], [], ["a.md", "linked.md", "sub/c.md", "sub/deep/d.md"]),
        (["sub/*"], [], ["sub/c.md", "sub/deep/d.md"]),
        ([], ["sub"], ["a.md", "b.txt", "linked.md"]),
        (["*.md"], ["*/deep/*", "linked*"], ["a.md", "sub/c.md"]),
    ],
)
def test_include_and_exclude_match_names_and_paths(tree: Path, include: list[str], exclude: list[str], expected: list[str]):
    assert ids(Selection(str(tree), include=include, exclude=exclude)) == expected


def test_a_glob_gives_ids_below_its_fixed_part(tree: Path):
    assert ids(Selection(str(tree / "sub" / "**" / "*.md"))) == ["c.md", "deep/d.md"]
    with pytest.raises(InputError, match="matches no file"):
        list(Selection(str(tree / "*.pdf")))


def test_an_input_that_is_not_there_names_the_nearest(tree: Path):
    with pytest.raises(InputError) as error:
        list(Selection(str(tree / "a.mdd")))
    assert error.value.hint == f"did you mean {tree / 'a.md'}?"


def test_the_archive_that_is_being_written_is_not_its_own_input(tree: Path):
    out = tree / "sub" / "mine"
    llmc.compress(tree, out, view="none")
    assert llmc.compress(tree, out, view="none").stored == 0


def test_a_file_that_cannot_be_read_is_listed_and_the_rest_is_stored(tmp_path: Path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "good").write_text("good")
    (tmp_path / "in" / "bad").symlink_to("/proc/self/mem")  # a regular file that every read of its start refuses
    summary = llmc.compress(tmp_path / "in", tmp_path / "a.llmc", view="none")
    assert summary.failed == [("bad", "Input/output error")]
    assert [e.id for e in Archive.open(tmp_path / "a.llmc").entries()] == ["good"]


LINES = [
    b'{"id": "first", "text": "The board met on 12 March 2026.", "by": "Ana"}\n',
    b'{"text": "no id here"}\r\n',
    b'{"id": 7, "text": "a number for an id", "text2": "\\u00e9\\ud83d"}\n',
    b"\n",
    b"not json at all\n",
    b'{"id": "first", "text": "the same id again"}\n',
    b'{"text": 5}\n',
    b'  {"id":"spaced" ,  "text":"kept as written"}  ',
]


def test_json_lines_come_back_byte_for_byte_broken_lines_and_all(tmp_path: Path):
    (tmp_path / "in.jsonl").write_bytes(b"".join(LINES))
    llmc.compress(tmp_path / "in.jsonl", tmp_path / "a.llmc")
    assert [e.id for e in Archive.open(tmp_path / "a.llmc").entries()] == [
        "first", "in.jsonl:2", "7", "in.jsonl:4", "in.jsonl:5", "first", "in.jsonl:7", "spaced",
    ]  # fmt: skip
    llmc.restore(tmp_path / "a.llmc", tmp_path / "out")
    assert (tmp_path / "out" / "in.jsonl").read_bytes() == b"".join(LINES)


def test_a_json_lines_file_that_grew_shrank_or_changed_comes_back_as_it_is_now(tmp_path: Path):
    file = tmp_path / "log.jsonl"
    versions = [LINES[:3], LINES, LINES[:2], [LINES[4], *LINES[:6]], [], LINES[:1]]
    for i, lines in enumerate(versions):
        file.write_bytes(b"".join(lines))
        llmc.compress(file, tmp_path / "a.llmc")
        llmc.restore(tmp_path / "a.llmc", tmp_path / f"out{i}")
        back = tmp_path / f"out{i}" / "log.jsonl"
        assert (back.read_bytes() if back.exists() else b"") == b"".join(lines)


def test_only_the_new_lines_of_a_grown_file_are_stored(tmp_path: Path):
    file = tmp_path / "log.jsonl"
    file.write_bytes(b"".join(LINES[:4]))
    llmc.compress(file, tmp_path / "a.llmc", view="none")
    file.write_bytes(b"".join(LINES))
    summary = llmc.compress(file, tmp_path / "a.llmc", view="none")
    assert (summary.stored, summary.unchanged) == (4, 4)


def test_a_line_larger_than_memory_allows_comes_back(tmp_path: Path):
    data = json.dumps({"text": "x" * 9_000_000}).encode() + b"\n" + b'{"text": "after"}\n'
    (tmp_path / "in.jsonl").write_bytes(data)
    llmc.compress(tmp_path / "in.jsonl", tmp_path / "a.llmc")
    llmc.restore(tmp_path / "a.llmc", tmp_path / "out")
    assert (tmp_path / "out" / "in.jsonl").read_bytes() == data


def test_json_lines_inside_a_folder_are_files_unless_asked_for(tmp_path: Path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x.jsonl").write_bytes(b"".join(LINES))
    assert ids(Selection(str(tmp_path / "in"))) == ["x.jsonl"]
    assert len(ids(Selection(str(tmp_path / "in"), input_format="jsonl"))) == len(LINES)


def test_standard_input_is_one_document_or_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"piped \xff in\n" * 3)))
    llmc.compress("-", tmp_path / "a.llmc", view="none")
    archive = Archive.open(tmp_path / "a.llmc")
    assert archive.read(archive.find("stdin")) == b"piped \xff in\n" * 3

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"".join(LINES))))
    llmc.compress("-", tmp_path / "b.llmc", view="none", input_format="jsonl")
    llmc.restore(tmp_path / "b.llmc", tmp_path / "out")
    assert (tmp_path / "out" / "stdin.jsonl").read_bytes() == b"".join(LINES)


def test_a_file_that_shrinks_while_it_is_read_is_stored_as_it_was_read(tmp_path: Path):
    from llmc.codec import load
    from llmc.documents import Document
    from llmc.writer import Writer

    contents = iter([b"long " * 2_000_000, b"short " * 900_000])  # the first reading looks whether it is stored already
    with Writer(tmp_path / "a.llmc", load("zstd", level=3)) as writer:
        writer.add(Document("log", lambda: io.BytesIO(next(contents))))
    archive = Archive.open(tmp_path / "a.llmc")
    assert archive.read(archive.find("log")) == b"short " * 900_000
    assert not [problem for _, problem in archive.verify() if problem]


def test_lines_stored_before_an_interruption_are_there_although_the_file_had_fewer_before(tmp_path: Path):
    from llmc.codec import load
    from llmc.documents import Document
    from llmc.writer import Writer

    file = tmp_path / "log.jsonl"
    file.write_bytes(b"".join(LINES[:2]))
    llmc.compress(file, tmp_path / "a.llmc", view="none")
    with contextlib.suppress(KeyboardInterrupt), Writer(tmp_path / "a.llmc", load("zstd")) as writer:
        for number, line in enumerate(LINES[:4], 1):
            writer.add(Document(f"log.jsonl:{number}", lambda line=line: io.BytesIO(line), "log.jsonl", number))
        writer.flush()
        raise KeyboardInterrupt
    assert len(list(Archive.open(tmp_path / "a.llmc").entries())) == 4
    failed = llmc.restore(tmp_path / "a.llmc", tmp_path / "out").failed
    assert failed == [("log.jsonl", "written up to line 4, where its reading was cut short: compress it again")]


def test_the_same_name_from_another_folder_is_a_new_version_and_the_earlier_one_is_kept(tmp_path: Path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "notes.md").write_text(f"from {folder}")
        summary = llmc.compress(tmp_path / folder, tmp_path / "a.llmc", view="none")
    assert summary.replaced == 1
    archive = Archive.open(tmp_path / "a.llmc")
    assert [archive.read(e) for part in archive.manifest.parts for e in archive.all_entries(part)] == [b"from one", b"from two"]


def test_a_glob_does_not_swallow_the_archive_it_writes(tmp_path: Path):
    (tmp_path / "a.md").write_text("text")
    for _ in range(2):
        llmc.compress(str(tmp_path / "**" / "*"), tmp_path / "self.llmc", view="none")
    assert [e.id for e in Archive.open(tmp_path / "self.llmc").entries()] == ["a.md"]


def test_an_empty_json_lines_file_and_one_whose_name_is_not_utf8_come_back(tmp_path: Path):
    (tmp_path / "empty.jsonl").write_bytes(b"")
    (tmp_path / os.fsdecode(b"\xff.jsonl")).write_bytes(LINES[0])
    for file in tmp_path.glob("*.jsonl"):
        llmc.compress(file, tmp_path / "a.llmc", view="none")
    llmc.restore(tmp_path / "a.llmc", tmp_path / "out")
    back = {os.fsencode(p.name): p.read_bytes() for p in (tmp_path / "out").iterdir()}
    assert back == {b"empty.jsonl": b"", b"\xff.jsonl": LINES[0]}


def test_one_line_is_not_written_over_the_whole_file(tmp_path: Path):
    (tmp_path / "log.jsonl").write_bytes(b"".join(LINES[:4]))
    llmc.compress(tmp_path / "log.jsonl", tmp_path / "a.llmc", view="none")
    result = llmc.restore(tmp_path / "a.llmc", tmp_path, id="first", force=True)
    assert "output=-" in result.failed[0][1]
    assert (tmp_path / "log.jsonl").read_bytes() == b"".join(LINES[:4])


def test_the_right_field_makes_views_that_the_wrong_one_did_not(tmp_path: Path):
    line = json.dumps({"body": "The board met on 12 March 2026 and voted to extend the lease of the old library. " * 20})
    (tmp_path / "log.jsonl").write_text(line + "\n")
    assert llmc.compress(tmp_path / "log.jsonl", tmp_path / "a.llmc").views_made == 0
    assert llmc.compress(tmp_path / "log.jsonl", tmp_path / "a.llmc", field="body").views_made == 1
