"""``llmc cost output=``: which files are written, and over what."""

import json

import pytest
from spent_rows import NOW_US, cloud


def test_all_files_are_written_and_only_over_our_own(llmc_inside, path, ledger, tmp_path):
    ledger.record(cloud(at_us=NOW_US))
    folder = tmp_path / "out"
    words = ("cost", f"ledger={path}", "period=all", "by=tier,model", f"output={folder}/")
    found = llmc_inside(*words).ok().json
    names = ["cost.html", "cost.md", "cost.csv", "cost.json", "focus.csv"]
    assert [name.rsplit("/")[-1] for name in found["written"]] == names
    assert sorted(file.name for file in folder.iterdir()) == sorted(names)
    assert json.loads((folder / "cost.json").read_text())["by"][0]["key"] == {"tier": "cloud", "model": "gpt-4o-mini"}
    llmc_inside(*words).ok()
    for name in names:
        ours = (folder / name).read_bytes()
        (folder / name).write_text("mine")
        assert f"{name} is there already" in llmc_inside(*words).usage()[0]
        assert (folder / name).read_text() == "mine"
        (folder / name).write_bytes(ours)
    (folder / "cost.md").write_text("mine")
    llmc_inside(*words, "force=true").ok()
    assert (folder / "cost.md").read_text() != "mine"


@pytest.mark.parametrize("kind", [".html", ".md", ".csv", ".json", ".focus.csv"])
def test_one_file_is_written_by_its_ending(llmc_inside, path, ledger, tmp_path, kind):
    ledger.record(cloud(at_us=NOW_US))
    file = tmp_path / f"november{kind}"
    found = llmc_inside("cost", f"ledger={path}", "period=all", f"output={file}").ok().json
    assert found["written"] == [str(file)]
    assert file.stat().st_size > 100
    llmc_inside("cost", f"ledger={path}", "period=all", f"output={file}").ok()
    file.write_text("mine")
    assert "is there already" in llmc_inside("cost", f"ledger={path}", f"output={file}").usage()[0]


def test_an_ending_that_is_none_of_ours_is_refused(llmc_inside, path, ledger):
    assert "cost.xlsx" in llmc_inside("cost", f"ledger={path}", "output=cost.xlsx").usage()[0]
