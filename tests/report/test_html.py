"""The frame of HTML reports: hostile text stays text, nothing is loaded, colours can be read, foreign files are left alone."""

import re
from html.parser import HTMLParser

import pytest

from llmc.errors import UsageError
from llmc.report import chart, html
from llmc.report.html import Table, Tile

HOSTILE = (
    "<script>alert(1)</script>\"'><img src=x onerror=alert(2)> \u202egpj.exe\u2066 \x1b[31m {{ 7*7 }} {% raw %} \U000e0041"
)


class Page(HTMLParser):
    """Elements with their attributes, and the text outside scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside not in ("script", "style"):
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def template(tmp_path, monkeypatch):
    """A report of its own template, as another target would add one."""
    for file in html.TEMPLATES.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "some.js").write_text("document.title = 'a';")
    (tmp_path / "some.html").write_text(
        '{% extends "base.html" %}{% import "parts.html" as parts %}{% block main %}'
        "{{ parts.tiles(tiles) }}{{ parts.table(table) }}{{ parts.chart(svg, 'Spend', table) }}{% endblock %}"
    )
    monkeypatch.setattr(html, "TEMPLATES", tmp_path)
    html._environment.cache_clear()
    html._file.cache_clear()
    yield "some.html"
    html._environment.cache_clear()
    html._file.cache_clear()


def spend(label="USD"):
    figure, axes = chart.figure(6, 2.5)
    axes.plot([1, 2, 3], [1, 4, 2], label=label, marker="o")
    axes.bar([1, 2, 3], [2, 2, 1], color=chart.SERIES[1])
    axes.set_xlabel(label)
    axes.legend()
    return figure


def filled(template, text=HOSTILE, script=""):
    tiles = [Tile(text, text, text, "measured"), Tile("b", "2", basis=text)]
    table = Table(text, [text, "n"], [[text, 1.5], [None, text]], numbers=["n"], note=text)
    return html.page(template, title=text, script=script, tiles=tiles, table=table, svg=chart.svg(spend(text), text, text))


def test_hostile_text_comes_out_as_text(template):
    text = filled(template)
    page = Page(text)
    assert {tag for tag, _ in page.elements} & {"script", "img", "iframe", "link", "object"} == set()
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert page.text.count("<script>alert(1)</script>") >= 8
    assert "{{ 7*7 }} {% raw %}" in page.text
    assert not set("\u202e\u2066\x1b\U000e0041") & set(text)
    assert r"\u202egpj.exe\u2066 \x1b[31m" in page.text


def test_a_page_loads_nothing_and_runs_only_the_script_it_names(template):
    for script in ("", "some.js"):
        text = filled(template, "plain", script)
        page = Page(text)
        (policy,) = (m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
        assert policy.startswith("default-src 'none'")
        assert ("'sha256-" in policy) == bool(script) == bool(page.all("script"))
        for _, attributes in page.elements:
            links = [v or "" for name, v in attributes.items() if not name.startswith("xmlns")]
            assert not any(re.match(r"(?i)\s*(https?:|//|data:|javascript:)", link) for link in links)
        assert "@import" not in text
        assert not re.search(r"url\((?!#)", text)


def test_words_of_any_script_are_left_as_they_are_written():
    for text in ("Grüße\u00a0aus 日本", "می\u200cخواهم", "\N{WOMAN}\u200d\N{GIRL}", "a\tb\nc", "שלום"):
        assert html.visible(text) == text
    assert html.visible("a\r\nb\rc\ufeff") == "a\nb\\rc\\ufeff"


def test_ids_on_a_page_are_unique_and_what_refers_to_one_finds_it():
    svgs = [chart.svg(spend(), f"title {n}", "the same") for n in range(2)]
    ids = [v for text in svgs for _, a in Page(text).elements for n, v in a.items() if n == "id"]
    assert len(ids) == len(set(ids)) > 40
    for text in svgs:
        used = set(re.findall(r'(?:xlink:href="#|url\(#)([^")]+)', text))
        used |= {i for labels in re.findall(r'aria-labelledby="([^"]+)"', text) for i in labels.split()}
        assert used
        assert used <= set(ids)


def test_a_chart_follows_the_colours_of_the_page_and_its_words_are_words():
    text = str(chart.svg(spend("a < b $x$"), "Spend", "It rises & falls."))
    assert not re.search(r"#0000[01]\d", text)
    assert {"currentColor", "var(--series-1)", "var(--series-2)", "var(--line)"} <= set(
        re.findall(r"currentColor|var\([^)]+\)", text)
    )
    page = Page(text)
    (root,) = page.all("svg")
    assert root["role"] == "img"
    assert "a < b $x$" in page.text
    assert "It rises & falls." in page.text
    assert "DejaVu" not in text


def test_the_same_figure_gives_the_same_bytes():
    assert chart.svg(spend(), "a", "b") == chart.svg(spend(), "a", "b")


def luminance(colour):
    """Relative luminance as WCAG 2.2 defines it."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(a, b):
    dark, light = sorted((luminance(a), luminance(b)))
    return (light + 0.05) / (dark + 0.05)


def schemes():
    """The variables in light, dark and print."""
    css = (html.TEMPLATES / "report.css").read_text()
    roots = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    assert len(roots) == 3
    return [dict(re.findall(r"(--[\w-]+): (#[0-9a-f]{6});", root)) for root in roots]


@pytest.mark.parametrize("scheme", schemes(), ids=["light", "dark", "print"])
def test_text_has_a_contrast_of_4_5_and_lines_of_charts_of_3(scheme):
    text = [("--" + a, "--" + b) for a in ("ink", "muted", "accent", "ok", "warn", "bad") for b in ("ground", "panel")]
    text += [("--mark-ink", "--mark"), ("--mark-ink", "--chosen")]
    low = {pair: contrast(scheme[pair[0]], scheme[pair[1]]) for pair in text}
    assert not {pair: ratio for pair, ratio in low.items() if ratio < 4.5}
    series = {name: contrast(scheme[name], scheme["--ground"]) for name in scheme if name.startswith("--series")}
    assert len(series) == 6
    assert not {name: ratio for name, ratio in series.items() if ratio < 3}


def test_a_foreign_file_is_left_alone_and_our_own_is_replaced(template, tmp_path):
    file = tmp_path / "out" / "page.html"
    file.parent.mkdir()
    file.write_text("<p>mine</p>")
    with pytest.raises(UsageError, match="is no report of llmc"):
        html.save(file, "x", force=False)
    assert file.read_text() == "<p>mine</p>"
    html.save(file, filled(template, "one"), force=True)
    html.save(file, filled(template, "two"), force=False)
    assert "two" in file.read_text()
    assert [f.name for f in file.parent.iterdir()] == ["page.html"]


def test_a_folder_that_does_not_exist_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="cannot be written: No such file"):
        html.save(tmp_path / "no" / "page.html", "x", force=False)
