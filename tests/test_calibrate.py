"""llmc calibrate: planted errors in extracts of somebody's own texts, counted, with the interval that the count allows."""

import json
from pathlib import Path

import pytest

from llmc.fidelity import Policy
from llmc.report import tables
from llmc.schema import RunConfig, TargetConfig, ViewConfig
from llmc.target.calibrate import calibrate, policy_hash

NAMES = ("Ana Duarte", "Tom Berger", "Yuki Mori", "Priya Raman")
THINGS = ("roof repair", "heating contract", "garden fence", "lift inspection")


def minutes(number: int) -> str:
    """A page of minutes with its own dates, amounts and names."""
    lines = []
    for i in range(8):
        day, amount = 1 + (number * 7 + i * 3) % 28, 1_000 + number * 137 + i * 411
        who, what = NAMES[(number + i) % 4], THINGS[(number * 3 + i) % 4]
        lines.append(
            f"{who} reported on {day} March 2026 that the {what} will probably cost {amount:,} EUR. "
            f"The board has not approved the {what} number {number}-{i} and must decide before {day} May 2026 "
            f"unless {who} objects. It takes about {3 + i} weeks and weighs {20 + i * number} kg."
        )
    return " ".join(lines)


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    folder = tmp_path / "texts"
    folder.mkdir()
    for number in range(12):
        (folder / f"{number:02}.md").write_text(minutes(number))
    (folder / "short.md").write_text("Milk and bread.")
    (folder / "picture.png").write_bytes(b"\x89PNG\x00\x00")
    return folder


@pytest.fixture(autouse=True)
def own_home(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LLMC_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def config(folder: Path, **more: object) -> RunConfig:
    return RunConfig(target=TargetConfig(), view=ViewConfig(name="extract"), input=str(folder), **more)


def test_half_of_the_views_is_reported_and_each_planted_error_counted_once(texts: Path):
    result = calibrate(config(texts))
    assert (result.documents, result.views, result.false_refusals.tries) == (14, 12, 6)
    assert result.skipped["shorter than view.min_source_tokens"] == 1
    kinds = {each.kind: each.missed for each in result.kinds}
    assert kinds["money"].tries > 20
    assert kinds["money"].count == 0
    low, high = kinds["money"].share_95
    assert low == 0 < high < 0.2


@pytest.mark.slow
def test_the_same_seed_gives_the_same_numbers_and_another_one_others(texts: Path):
    first, again, other = (calibrate(config(texts, seed=seed)) for seed in (3, 3, 4))
    assert first.kinds == again.kinds
    assert first.kinds != other.kinds


def test_few_texts_certify_nothing_and_say_what_is_needed(texts: Path):
    result = calibrate(config(texts))
    assert not any(each.certified for each in result.kinds)
    assert result.verdict.startswith("too few to certify: 6 accepted views")
    assert "30 and 300 are needed" in result.verdict


@pytest.mark.parametrize("count", [0, 1])
def test_no_half_to_report_is_too_few_and_not_an_error(tmp_path: Path, count: int):
    (tmp_path / "short.md").write_text("Milk.")
    for number in range(count):
        (tmp_path / f"{number}.md").write_text(minutes(number))
    result = calibrate(config(tmp_path))
    assert result.views == count
    assert "too few" in result.verdict
    assert all(each.missed.share_95 == (0, 1) for each in result.kinds)


def test_the_result_is_kept_under_the_policy_with_version_and_seed(texts: Path, own_home: Path):
    result = calibrate(config(texts, seed=5, policy={"grounded_share": 0.6}))
    kept = json.loads((own_home / "state" / "calibration" / f"{policy_hash(Policy(grounded_share=0.6))}.json").read_text())
    assert (kept["version"], kept["seed"], kept["views"]) == ("0.1.0", 5, 12)
    assert result.file.endswith(f"{kept['policy_hash']}.json")


def test_lines_of_a_jsonl_file_are_documents(tmp_path: Path):
    lines = [json.dumps({"body": minutes(number)}) for number in range(4)] + ["no json", json.dumps({"text": 1})]
    (tmp_path / "log.jsonl").write_text("\n".join(lines))
    result = calibrate(config(tmp_path / "log.jsonl", field="body"))
    assert result.views == 4
    assert result.skipped == {"not a JSON value": 1, "no text field 'body'": 1}


def test_the_table_names_every_kind_and_the_false_refusals(texts: Path, capsys: pytest.CaptureFixture[str]):
    result = calibrate(config(texts))
    tables.render(result)
    text = capsys.readouterr().out
    assert all(each.kind in text for each in result.kinds)
    assert "refused, though faithful" in text
    assert max(map(len, text.splitlines())) <= 100 or result.file in text.replace("\n", "")


def test_the_command_gives_json_on_a_pipe(texts: Path, llmc):
    result = llmc("calibrate", f"input={texts}", "seed=2").ok().json
    assert result["seed"] == 2
    assert {row["kind"] for row in result["kinds"]} >= {"digit", "negation", "role"}


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ((), 2, "calibrate needs an input, or an archive"),
        (("archive=nowhere.llmc",), 1, "archive nowhere.llmc does not exist"),
        (("input=nowhere",), 1, "input nowhere does not exist"),
        (("input=empty",), 1, "no document in empty"),
        (("input=empty", "+policy.grounded_shares=1"), 2, "policy has no key 'grounded_shares'"),
        (("input=empty", "input_format=xml"), 2, "input_format=xml is none of auto, text, jsonl"),
    ],
)
def test_bad_input_is_told_before_anything_is_read(tmp_path: Path, llmc, words, code, message):
    (tmp_path / "empty").mkdir(exist_ok=True)
    assert llmc("calibrate", *words, cwd=tmp_path).error(code)[0] == message


@pytest.fixture
def archive(texts: Path, tmp_path: Path, llmc_inside, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve extracts and two documents without a view; one error of a kind and view is enough to see what is shown."""
    monkeypatch.setattr("llmc.target.calibrate.MOST_ROUNDS", 1)
    folder = tmp_path / "a.llmc"
    llmc_inside("compress", f"input={texts}", f"output={folder}", "view=extract", "quiet=true").ok()
    return folder


def test_kept_views_of_an_archive_are_calibrated_and_stats_shows_it_with_its_intervals(archive: Path, llmc_inside):
    before = llmc_inside("stats", f"archive={archive}", "format=table").ok().stdout
    assert "not calibrated for these views: llmc calibrate" in before
    result = llmc_inside("calibrate", f"archive={archive}", "seed=3").ok().json
    assert (result["basis"], result["views"], result["views_by_kind"]) == ("kept views", 12, {"extract": 12})
    assert result["skipped"] == {"without a view": 2}
    assert result["false_refusals"]["count"] == 0
    held = llmc_inside("stats", f"archive={archive}").ok().json["calibration"]
    assert (held["date"], held["basis"], held["seed"], held["reported"]) == (result["date"], "kept views", 3, 6)
    told = {row["kind"]: (row["missed"], row["tries"], row["share_95"], row["certified"]) for row in held["kinds"]}
    measured = {
        row["kind"]: (row["missed"]["count"], row["missed"]["tries"], row["missed"]["share_95"], row["certified"])
        for row in result["kinds"]
    }
    assert told == measured
    table = llmc_inside("stats", f"archive={archive}", "format=table").ok().stdout
    count, tries, (low, high), _ = measured["money"]
    assert f"money      {count:>4} of {tries:<5} {low:.1%} to {high:.1%}" in table
    assert "certified" not in table  # six views are too few
    assert max(map(len, table.splitlines())) <= 100


def test_a_calibration_of_texts_holds_for_archives_made_with_the_same_settings_only(archive: Path, texts: Path, llmc_inside):
    llmc_inside("calibrate", f"input={texts}", "view=extract", "policy=strict").ok()
    assert llmc_inside("stats", f"archive={archive}").ok().json["calibration"] is None
    llmc_inside("calibrate", f"input={texts}", "view=extract").ok()
    assert llmc_inside("stats", f"archive={archive}").ok().json["calibration"]["basis"] == "extracts"


def test_a_calibration_of_another_version_or_a_broken_one_vouches_for_nothing(archive: Path, llmc_inside):
    file = Path(llmc_inside("calibrate", f"archive={archive}").ok().json["file"])
    kept = json.loads(file.read_bytes())
    for broken in (json.dumps(kept | {"version": "0.0.1"}), json.dumps({"configs": 1}), "{", "[]"):
        file.write_text(broken)
        assert llmc_inside("stats", f"archive={archive}").ok().json["calibration"] is None


def test_both_sources_of_views_are_measured_together(archive: Path, texts: Path, llmc_inside):
    result = llmc_inside("calibrate", f"archive={archive}", f"input={texts}", "view=extract").ok().json
    assert (result["basis"], result["views"]) == ("kept views and extracts", 24)


def test_an_archive_without_views_certifies_nothing(texts: Path, tmp_path: Path, llmc_inside):
    llmc_inside("compress", f"input={texts}", f"output={tmp_path / 'b.llmc'}", "view=none", "quiet=true").ok()
    result = llmc_inside("calibrate", f"archive={tmp_path / 'b.llmc'}").ok().json
    assert result["views"] == 0
    assert "too few" in result["verdict"]
    assert llmc_inside("stats", f"archive={tmp_path / 'b.llmc'}").ok().json["calibration"] is None
