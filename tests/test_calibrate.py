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
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
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


def test_the_result_is_kept_under_the_policy_with_version_and_seed(texts: Path, home: Path):
    result = calibrate(config(texts, seed=5, policy={"grounded_share": 0.6}))
    kept = json.loads((home / "state" / "calibration" / f"{policy_hash(Policy(grounded_share=0.6))}.json").read_text())
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
        ((), 2, "calibrate needs an input"),
        (("input=nowhere",), 1, "input nowhere does not exist"),
        (("input=empty",), 1, "no document in empty"),
        (("input=empty", "+policy.grounded_shares=1"), 2, "policy has no key 'grounded_shares'"),
        (("input=empty", "input_format=xml"), 2, "input_format=xml is none of auto, text, jsonl"),
    ],
)
def test_bad_input_is_told_before_anything_is_read(tmp_path: Path, llmc, words, code, message):
    (tmp_path / "empty").mkdir(exist_ok=True)
    assert llmc("calibrate", *words, cwd=tmp_path).error(code)[0] == message
