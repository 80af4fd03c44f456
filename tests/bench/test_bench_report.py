"""The report of a sweep: what to take, what cannot be told apart, what failed; harmless whatever the names say."""

import csv
import io
import json
import re
from collections import Counter
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sweep_records import ELSEWHERE, a_sweep, keep, made, metric, usual

from llmc.bench import front, summary, sweep
from llmc.bench.front import BEATEN, FRONT, TIED, Estimate
from llmc.report import bench_files, bench_text

HOSTILE = [
    "<script>alert(1)</script>",
    '=cmd()|"/C calc"!A0',
    "a\nb\u202etxt.exe",
    "|x| `y` [z](javascript:0)",
    "--output=/etc/passwd",
]


def estimates(better: str):
    def make(value: float, below: float, above: float, bounded: bool) -> Estimate:
        return Estimate(value, value - below, value + above, "s", better, 2, 8, False, bounded)

    small = st.integers(0, 6).map(float)
    return st.none() | st.builds(make, small, small, small, st.booleans())


cells = st.lists(
    st.fixed_dictionaries({"up": estimates("higher"), "down": estimates("lower"), "more": estimates("lower")}), max_size=8
)


@given(cells)
def test_no_member_of_the_front_is_dominated_and_every_other_is_by_one_of_them(measured):
    names = ["up", "down", "more"]
    said = front.front(measured, names)
    members = [cell for cell, place in zip(measured, said, strict=True) if place == FRONT]
    for cell, place in zip(measured, said, strict=True):
        over = [other for other in members if front.dominates(other, cell, names)]
        assert bool(over) == (place != FRONT)
    assert bool(members) == bool(measured)


@given(cells)
def test_who_is_tied_is_beaten_by_nobody_beyond_the_intervals(measured):
    names = ["up", "down", "more"]
    for cell, place in zip(measured, front.front(measured, names), strict=True):
        sure = any(front.surely(other, cell, names) for other in measured)
        assert sure == (place == BEATEN)


@given(cells.filter(lambda found: any(each["up"] for each in found)))
def test_the_best_is_beaten_by_nobody_and_who_is_tied_with_it_meets_its_interval(measured):
    winner, tied = front.best(measured, "up")
    top = measured[winner]["up"]
    for at, cell in enumerate(measured):
        if cell["up"] and at != winner:
            assert cell["up"].value <= top.value
            assert (at in tied) == (not cell["up"].separate(top))


def test_an_estimate_spans_the_intervals_of_all_its_runs():
    found = front.estimate([metric("seconds_per_document", 1.0, 0.1), metric("seconds_per_document", 2.0, 0.1)])
    assert (found.value, round(found.low, 6), round(found.high, 6), found.runs, found.samples) == (1.5, 0.9, 2.2, 2, 16)
    once = front.estimate([metric("seconds_per_document", 1.0, None, 1)])
    assert not once.bounded
    assert not once.separate(found)
    counted = front.estimate([metric("requests", 5, exact=True)] * 2)
    assert counted.exact
    assert not front.estimate([metric("requests", 5, exact=True), metric("requests", 6, exact=True)]).exact


def test_a_sweep_is_summed_up_with_every_cell_accounted_for_once(tmp_path):
    (group,) = summary.groups(summary.find(a_sweep(tmp_path)), min_pass_rate=0.5)
    assert [(c.config_hash[0], len(c.runs), c.place) for c in group.cells] == [
        ("a", 2, FRONT),
        ("b", 2, TIED),
        ("c", 2, BEATEN),
    ]
    assert [c.config_hash[0] for c in group.failed] == ["e"]
    assert [r.config_hash[0] for r in group.refused] == ["d"]
    picked = {pick.purpose: (pick.cell, pick.tied) for pick in group.picks}
    assert picked == {"smallest that passes": (0, [1]), "fastest": (0, [1]), "cheapest": (0, [1, 2])}
    assert [value for _, value in group.drift.values] == [1.02, 1.04, 1.01]
    assert round(group.drift.spread, 4) == round(1.04 / 1.01 - 1, 4)


def test_where_no_cell_passes_none_is_called_the_smallest_that_does(tmp_path):
    (group,) = summary.groups(summary.find(a_sweep(tmp_path)), min_pass_rate=0.9)
    first = group.picks[0]
    assert first.cell is None
    assert "60%" in first.why
    assert "90%" in first.why


def test_a_cell_is_named_by_what_it_differs_in_and_its_command_leaves_out_what_is_the_benchs(tmp_path):
    (group,) = summary.groups(summary.find(a_sweep(tmp_path)), min_pass_rate=0.5)
    assert [c.name for c in group.cells[:2]] == ["embedded local gist", "llama_server local gist"]
    assert group.cells[1].command == "llmc compress input=… output=….llmc model=smollm engine=eb"
    group.cells[1].overrides = ["bench=quick", "bench.rounds=2", "sweep.blocks=3", "model=smollm", "profile.batch=1"]
    assert group.cells[1].command == "llmc compress input=… output=….llmc model=smollm profile.batch=1"
    group.cells[1].overrides = []
    assert group.cells[1].command.split()[4:] == ["engine=llama_server", "backend=cpu", "quant=q4_1"]


def test_machines_and_codes_are_never_pooled(tmp_path):
    a_sweep(tmp_path)
    keep(tmp_path, sweep.CELL, 1, made(30, machine=ELSEWHERE, metrics=usual(9.0, 0.9, 0.1)))
    keep(tmp_path, sweep.CELL, 4, made(40, commit="decade", metrics=usual(8.0, 0.6, 9.0)))
    found = summary.find(tmp_path)
    here, elsewhere = summary.groups(found, min_pass_rate=0.5)
    assert (here.machine, len(elsewhere.cells)) == ("Test CPU x 2, 8 GiB, Linux x86_64, Python 3.13.0", 1)
    assert Counter(cell.commit for cell in here.cells) == {"c0ffee": 3, "decade": 1}
    said = bench_text.report(found, min_pass_rate=0.5)
    assert said.verdict == "2 parts, not compared with each other"
    assert any("different versions" in line for line in said.more)
    text = bench_files.text(said, ".html")
    assert "nothing is compared across them" in text


def test_a_drifting_reference_is_said_in_the_first_lines(tmp_path):
    a_sweep(tmp_path)
    keep(tmp_path, sweep.REFERENCE, 4, made(50, metrics=usual(8.0, 0.6, 1.5)))
    said = bench_text.report(summary.find(tmp_path), min_pass_rate=0.5)
    assert any("moved by 49%" in line for line in said.more)


def test_between_two_sweeps_of_one_folder_no_drift_is_claimed_and_both_are_accounted_for(tmp_path):
    a_sweep(tmp_path / "monday")
    a_sweep(tmp_path / "tuesday")
    (group,) = summary.groups(summary.find(tmp_path), min_pass_rate=0.5)
    assert group.drift is None
    assert [len(cell.runs) for cell in group.cells] == [4, 4, 4]
    assert group.cells[0].overrides == ["model=smollm", "engine=ea"]


class Page(HTMLParser):
    """Every tag with its attributes, and ids."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


@pytest.fixture
def hostile(tmp_path):
    """A sweep whose every name and message was chosen by somebody who means harm."""
    for at, evil in enumerate(HOSTILE):
        cell = dict.fromkeys(("model", "engine", "backend", "quant", "profile", "codec", "view"), evil)
        keep(
            tmp_path,
            sweep.CELL,
            1,
            made(
                at,
                f"{at}" * 64,
                **cell,
                metrics={**usual(2.0 + at, 0.5, 1.0 + at), "requests": metric("requests", 1, exact=True, note=evil)},
            ),
        )
        keep(tmp_path, sweep.CELL, 1, made(at + 20, f"a{at}" * 32, **cell, status="failed", error=evil, hint=evil))
        keep(tmp_path, sweep.CELL, 1, made(at + 30, f"b{at}" * 32, **cell, status="refused", error=evil, hint=evil))
    (tmp_path / "bench-nonsense.json").write_text("{}")
    return bench_text.report(summary.find(tmp_path), min_pass_rate=0.5)


def test_hostile_names_are_only_text_on_the_page_and_it_asks_for_nothing(hostile):
    text = bench_files.text(hostile, ".html")
    page = Page(text)
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "iframe", "object", "link", "img", "base", "form"}
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")], tag
        for name in ("src", "href", "xlink:href", "action"):
            assert (attributes.get(name) or "#").startswith("#"), (tag, attributes)
    assert not re.search(r"url\((?!#)|@import", text)
    policy = next(a["content"] for t, a in page.tags if t == "meta" and a.get("http-equiv") == "Content-Security-Policy")
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; script-src 'none'"
    assert "\u202e" not in text
    assert "alert(1)" in text


def test_every_chart_has_words_and_a_table_beneath_it_and_ids_are_used_once(tmp_path):
    text = bench_files.text(bench_text.report(summary.find(a_sweep(tmp_path)), min_pass_rate=0.5), ".html")
    assert text.count('class="chart"') == 4
    for section in re.findall(r"<section.*?</section>", text, re.S):
        if "<svg" in section:
            assert re.search(r"<svg.*</svg>.*<table", section, re.S)
            assert re.search(r'role="img" aria-labelledby="(\S+) (\S+)"', section)
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))


def test_hostile_names_are_no_formula_in_the_csv_and_every_cell_is_in_it(hostile):
    rows = list(csv.DictReader(io.StringIO(bench_files.text(hostile, ".csv"))))
    for row in rows:
        for name, cell in row.items():
            if name not in ("value", "low", "high"):
                assert not cell.startswith(("=", "+", "-", "@", "|", "\t")), cell
    assert {row["status"] for row in rows} == {"done", "failed", "refused"}
    assert {row["config_hash"] for row in rows if row["status"] == "done"} == {str(at) * 64 for at in range(len(HOSTILE))}


def test_markdown_holds_no_markup_of_theirs(hostile):
    text = bench_files.text(hostile, ".md")
    assert "<script" not in text
    assert "[z](" not in text


def test_json_says_the_same_as_the_page(tmp_path):
    said = json.loads(bench_files.text(bench_text.report(summary.find(a_sweep(tmp_path)), min_pass_rate=0.5), ".json"))
    (group,) = said["groups"]
    assert [c["front"] for c in group["cells"]] == [FRONT, TIED, BEATEN]
    assert group["refused"][0]["reason"] == "no GPU was found"
    assert group["failed"][0]["error"] == "the engine died"
    assert group["cells"][0]["metrics"]["byte_ratio"] == {
        "value": 2.9, "low": 2.9, "high": 2.9, "unit": "x", "better": "higher", "runs": 2, "samples": 2, "exact": True,
    }  # fmt: skip


def test_an_empty_folder_gives_a_report_that_says_so(tmp_path):
    said = bench_text.report(summary.find(tmp_path), min_pass_rate=0.5)
    assert said.verdict == "there is no record to report on"
    for kind in bench_files.NAMES:
        assert bench_files.text(said, kind)
