"""llmc diff: each document of two archives once, what became of its view in words, facts and checks, and nothing invented."""

import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st
from running import Runner

from llmc.archive import Archive
from llmc.diff import compare, words
from llmc.view import View

BOARD = (
    "The board met on 12 March 2026 in the old library and nine of the eleven members were present. "
    "The lease is extended until 31 December 2029 and the rent falls from 5,400 EUR to 4,850 EUR a month. "
    "Tom Berger voted against it because the roof of the workshop is not covered by the insurance. "
    "Lena Fischer asks two firms for estimates of the repair by 27 March 2026, and the board decides in April. "
    "The treasurer reported that the reserve fund holds 61,200 EUR, which is 3.5% less than a year ago. "
    "If the roof costs more than 20,000 EUR the members must be asked at a general meeting in June 2026. "
) * 2
MAIL = BOARD.replace("board", "committee").replace("Lena Fischer", "Ana Duarte")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Before: board, mail, old. After: board in a shorter view, mail under another name, new."""
    llmc = Runner(tmp_path_factory.mktemp("made"))
    folder = llmc.cwd / "in"
    folder.mkdir()
    for name, text in (("board.md", BOARD), ("mail.md", MAIL), ("old.md", "gone"), ("same.md", "stays")):
        (folder / name).write_text(text)
    common = ("view=extract", "quiet=true", "view.min_source_tokens=20", "input=in")
    llmc("compress", "output=a.llmc", *common).ok()
    (folder / "mail.md").rename(folder / "renamed.md")
    (folder / "old.md").unlink()
    (folder / "new.md").write_text("fresh")
    llmc("compress", "output=b.llmc", "view.target_ratio=3", "policy=gist", *common).ok()
    return llmc.cwd


@pytest.fixture
def archives(made, llmc_inside):
    """``llmc`` beside a copy of the two archives and the folder they were made from."""
    shutil.copytree(made, llmc_inside.cwd, dirs_exist_ok=True)
    return llmc_inside


def test_every_document_of_both_is_counted_once_and_a_renamed_one_is_found_by_its_content(archives):
    found = archives("diff", "archive=a.llmc", "other=b.llmc").ok().json
    assert (found["same"], found["changed"]) == (1, 2)
    assert (found["only_in_archive"], found["only_in_other"]) == (["old.md"], ["new.md"])
    assert [(c["id"], c["other_id"], c["source_changed"]) for c in found["changes"]] == [
        ("board.md", "board.md", False),
        ("mail.md", "renamed.md", False),
    ]
    board = found["changes"][0]
    assert found["tokens"][0] == sum(c["before"]["tokens"] for c in found["changes"]) + 2  # "stays" stands for itself
    for side, op, other in (("a.llmc", "-", "+"), ("b.llmc", "+", "-")):
        (text,) = [d["text"] for d in archives("show", f"archive={side}").ok().json["documents"] if d["id"] == "board.md"]
        assert " ".join(w["text"] for w in board["words"] if w["op"] != other).split() == text.split(), op


def test_facts_and_checks_that_changed_are_named(archives):
    archives("compress", "input=in", "output=c.llmc", "view=extract", "quiet=true", "policy=strict", "view.target_ratio=9").ok()
    found = archives("diff", "archive=a.llmc", "other=c.llmc", "id=board.md").ok().json
    (change,) = found["changes"]
    assert change["after"]["kind"] == "none"
    assert change["lost"]
    assert {"recall"} <= {c["check"] for c in change["checks"]}
    assert all(c["evidence"] for c in change["checks"])
    assert found["kinds"] == {"extract -> none": 1}
    assert found["checks"]["recall: passed -> failed"] == 1
    assert found["only_in_other"] == []


def test_an_archive_does_not_differ_from_itself(archives):
    found = archives("diff", "archive=a.llmc", "other=a.llmc").ok().json
    assert (found["same"], found["changed"], found["only_in_archive"], found["only_in_other"]) == (4, 0, [], [])
    assert found["tokens"][0] == found["tokens"][1]


def test_a_changed_document_says_so(archives):
    (archives.cwd / "in" / "board.md").write_text(BOARD.replace("4,850", "4,950"))
    archives("compress", "input=in", "output=d.llmc", "view=extract", "quiet=true", "view.min_source_tokens=20").ok()
    found = archives("diff", "archive=a.llmc", "other=d.llmc", "id=board.md").ok().json
    assert found["changes"][0]["source_changed"]


def test_the_table_fits_100_columns_and_marks_words_without_colour(archives):
    text = archives("diff", "archive=a.llmc", "other=b.llmc", "format=table").ok().stdout
    assert max(map(len, text.splitlines())) <= 100
    assert "a.llmc -> b.llmc   1 the same, 2 changed, 1 only in a.llmc, 1 only in b.llmc" in text
    assert "{+" in text
    assert "mail.md -> renamed.md" in text
    assert "facts +" in text


@pytest.mark.slow
def test_many_documents_are_counted_whole_and_listed_in_part(tmp_path, llmc_inside, monkeypatch):
    from llmc import diff

    (llmc_inside.cwd / "log.jsonl").write_text("".join(f'{{"text": "{BOARD} {n}"}}\n' for n in range(30)))
    common = ("compress", "input=log.jsonl", "view=extract", "quiet=true")
    llmc_inside(*common, "output=a.llmc").ok()
    llmc_inside(*common, "output=b.llmc", "view.target_ratio=3").ok()
    monkeypatch.setattr(diff, "LISTED", 7)
    found = compare(Archive.open(llmc_inside.cwd / "a.llmc"), Archive.open(llmc_inside.cwd / "b.llmc"))
    assert (found.changed, len(found.changes), found.same) == (30, 7, 0)


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("diff", 2, "no archive named"),
        ("diff archive=a.llmc", 2, "no archive to compare it with"),
        ("diff archive=a.llmc other=nowhere.llmc", 1, "archive nowhere.llmc does not exist"),
        ("diff archive=a.llmc other=b.llmc id=nothing.md", 1, "no document 'nothing.md' in a.llmc"),
    ],
)
def test_a_wrong_command_is_one_line(archives, line, code, message):
    assert archives(*line.split()).usage(code)[0] == message


texts = st.lists(st.sampled_from(["the", "rent", "falls", "to", "4,850", "EUR", "\n", "not"]), max_size=30).map(" ".join)


@given(texts, texts)
def test_the_words_of_both_views_are_all_there_and_in_order(old, new):
    before, after = (View("gist", text, 9, 9) for text in (old, new))
    runs = words(before, after)
    assert " ".join(run.text for run in runs if run.op != "-").split() == new.split()
    assert " ".join(run.text for run in runs if run.op != "+").split() == old.split()
    assert (old.split() == new.split()) == all(run.op == "=" for run in runs)
