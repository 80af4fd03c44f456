"""``llmc why`` as a page: the marks change neither text, each link has its place, hostile data stays data."""

import io
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from llmc.fidelity import Check, Evidence, Fact, Span, Verdict, check
from llmc.fidelity.beside import beside
from llmc.report import tables, why
from llmc.target.read import Why
from llmc.view import Attempt, BoundFact, View, bind

SOURCE = (
    "# Board, 12 March 2026\n\nRent rises to 4,850 EUR a month from 1 May 2026.\nTom Berger voted against it. "
    "The roof is not covered.\nA second estimate of 18,300 EUR came on 3 April 2026.\n"
)
TEXT = (
    "Rent rises to 4,850 EUR a month from 1 May 2026. The roof is not covered.\n"
    "Also: 12 March 2026. [left out: 1 date, 1 amount]"
)
HOSTILE = "</span><script>alert(1)</script>\u202e<img src=x onerror=alert(1)>"


def view(source=SOURCE, text=TEXT, **more):
    values = {
        "kind": "gist",
        "text": text,
        "source_tokens": 60,
        "tokens": 30,
        "facts": bind(source, text or ""),
        "left_out": left_out(source, "3 April 2026"),
        "verdict": check(source, text or ""),
        "attempts": (
            Attempt("gist", "refused", "polarity: the view says the roof is covered", 90, 40, 1.5),
            Attempt("gist", "kept", "", 100, 41, 1.4),
        ),
    }
    return View(**(values | more))


def left_out(source, words):
    return (Fact("date", words, *span(source, words), words),) if words in source else ()


def span(text, words):
    return Span(text.index(words), text.index(words) + len(words))


def render(made, source=SOURCE, id="board.md"):
    return why.render(id, made, {"bytes": len((source or "").encode()), "tokens_by": "smollm"}, source)


class Dom(HTMLParser):
    """Elements by id with the text inside them, and what the links point at."""

    VOID = ("meta", "img", "br", "link")

    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.tags, self.panes = {}, [], [], {"source": [], "view": []}
        self._open = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.tags.append((tag, found))
        if tag in self.VOID:
            return
        if "id" in found:
            assert found["id"] not in self.ids, f"{found['id']} twice"
            self.ids[found["id"]] = ""
        self._open.append((tag, found))
        if tag == "a" and found.get("href", "").startswith("#"):
            self.links.append([found["href"][1:], ""])

    def handle_endtag(self, tag):
        assert self._open.pop()[0] == tag

    def handle_data(self, data):
        for tag, found in self._open:
            if "id" in found:
                self.ids[found["id"]] += data
            if tag == "a" and found.get("href", "").startswith("#") and self._open[-1][1] is found:
                self.links[-1][1] += data
        if any(found.get("class") == "text" for _, found in self._open):
            pane = next(found["class"].split()[1] for _, found in self._open if (found.get("class") or "").startswith("pane "))
            self.panes[pane].append(data)


def test_both_texts_are_on_the_page_and_every_fact_of_the_view_is_a_link_to_its_place_in_the_source_and_back():
    made = view()
    dom = Dom(render(made))
    assert "".join(dom.panes["source"]) == SOURCE.replace("\n", "")
    assert "".join(dom.panes["view"]) == TEXT.replace("\n", "")
    links = {tuple(link) for link in dom.links}
    assert [f.text for f in made.facts] == ["4,850 EUR", "1 May 2026", "12 March 2026"]
    for number, fact in enumerate(made.facts, 1):
        assert dom.ids[f"s{number}"] == SOURCE[fact.source.start : fact.source.end]
        assert dom.ids[f"v{number}"] == TEXT[fact.view.start : fact.view.end]
        assert (f"s{number}", fact.text) in links
        assert (f"v{number}", fact.text) in links
    assert {target for target, _ in dom.links} <= dom.ids.keys()


def test_what_was_left_out_each_check_its_evidence_and_every_attempt_are_named_with_their_line():
    dom = Dom(render(view()))
    assert dom.ids["o1"] == "3 April 2026"
    assert ["o1", "line 5"] in dom.links
    text = re.sub(r"<[^>]+>", "", render(view()))
    for said in ("polarity: the view says the roof is covered", "passed all", "1 earlier text was refused", "100 + 41"):
        assert said in text
    for name in ("integrity", "worth_it", "precision", "recall", "polarity", "roles", "coverage", "grounding", "language"):
        assert re.search(rf"\b{name}\b", text)
        assert why.CHECKS[name] in text


def test_failed_evidence_points_at_both_sides():
    evidence = Evidence("it is not covered", span(SOURCE, "not covered"), span(TEXT, "covered"))
    dom = Dom(render(view(verdict=Verdict((Check("polarity", False, (evidence,)),)))))
    assert ["e1s", "source, line 4"] in dom.links
    assert ["e1v", "view"] in dom.links
    marked = [a for _, a in dom.tags if a.get("class") == "bad" and a.get("data-group") == "e1"]
    assert len(marked) == 2


def test_documents_without_a_view_or_without_text_have_a_page_too():
    none = view(kind="none", text=None, facts=(), left_out=(), attempts=(Attempt("none", "kept", "short: 3 tokens"),))
    assert "No view stands in for this document: short: 3 tokens." in render(none)
    assert "No view was made yet" in render(None)
    assert "It is not text" in render(None, None)


def test_hostile_text_ids_reasons_and_places_stay_data():
    source = SOURCE + HOSTILE
    wild = [Span(-5, 9), Span(9, 3), Span(10**9, 10**9 + 4), Span(3, 10**9), Span(0, 0)]
    made = view(
        source,
        TEXT + HOSTILE,
        facts=tuple(BoundFact(HOSTILE, HOSTILE, place, other) for place in [None, *wild] for other in wild),
        left_out=tuple(Fact(HOSTILE, HOSTILE, *place, "") for place in wild),
        verdict=Verdict((Check(HOSTILE, False, tuple(Evidence(HOSTILE, place, place) for place in wild)),)),
        attempts=(Attempt(HOSTILE, HOSTILE, HOSTILE),),
    )
    text = render(made, source, HOSTILE)
    dom = Dom(text)
    assert [tag for tag, _ in dom.tags].count("script") == 1  # our own
    assert not any(tag == "img" for tag, _ in dom.tags)
    assert "\u202e" not in text
    assert {target for target, _ in dom.links} <= dom.ids.keys()


def test_a_long_source_is_shown_around_its_marks():
    filler = "".join(f"line {n} says nothing.\n" for n in range(20_000))
    source = filler + SOURCE + filler
    text = render(view(source, verdict=None), source)
    assert len(text) < 40_000
    assert "… 19,9" in text
    assert '<mark class="out" id="o1"' in text


def test_one_line_of_megabytes_is_cut_in_its_middle():
    source = "word " * 100_000 + "4,850 EUR" + " word" * 100_000
    made = view(source, "It is 4,850 EUR.", verdict=None)
    text = render(made, source)
    assert len(text) < 40_000
    assert "characters …]" in text


marks = st.lists(
    st.tuples(st.integers(0, 40), st.integers(1, 12), st.sampled_from(["fact", "out", "key", "bad", "note"])), max_size=12
)


@given(st.text("ab \n", min_size=1, max_size=50), marks)
def test_marks_never_change_the_text_and_none_is_lost(text, places):
    found = [
        why.Mark(Span(start, start + length), kind, f"g{n}", f"i{n}")
        for n, (start, length, kind) in enumerate(places)
        if start + length <= len(text)
    ]
    lines = list(why._cut(text, found))
    assert "\n".join("".join(piece.text for piece in line.pieces) for line in lines) == text
    pieces = [piece for line in lines for piece in line.pieces]
    for mark in found:
        wanted = text[mark.span.start : mark.span.end].replace("\n", "")
        linked = [piece for piece in pieces if piece.link and piece.link.id == mark.id]
        if linked:
            assert "".join(piece.text for piece in linked) == wanted
        else:
            over = "".join(piece.text for piece in pieces if mark.id in [m.id for m in piece.layers])
            assert wanted in over
    ids = [piece.link.id for piece in pieces if piece.link and piece.first] + [i for piece in pieces for i in piece.anchors]
    assert len(ids) == len(set(ids))


def test_each_sentence_of_a_view_stands_beside_what_it_is_taken_from():
    view_text = "The roof is not covered. … From 1 May 2026 the rent is 4,850 EUR a month.\nAlso: 12 March 2026."
    rows = [
        (view_text[row.view.start : row.view.end], [SOURCE[s.start : s.end] for s in row.source])
        for row in beside(SOURCE, view_text)
    ]
    said = dict(row for row in rows if any(c.isalnum() for c in row[0]))
    assert said["The roof is not covered."] == ["The roof is not covered."]
    assert any("Rent rises to 4,850 EUR" in found for found in said["From 1 May 2026 the rent is 4,850 EUR a month."])
    assert not any("Also" in sentence for sentence in said)


def test_what_the_source_does_not_say_has_nothing_beside_it():
    (row,) = beside(SOURCE, "Penguins inhabit Antarctica.")
    assert row.source == ()
    assert beside("", "") == []


@pytest.mark.parametrize("width", [100, 60])
def test_on_a_terminal_each_sentence_and_fact_has_its_line_within_the_width_and_without_colour(width):
    out = io.StringIO()
    made = Why("board.md", view(), {"bytes": 300}, SOURCE)
    tables.draw(made, Console(file=out, width=width, highlight=False, markup=False, no_color=True))
    said = out.getvalue()
    assert max(map(len, said.splitlines())) <= width
    assert "\x1b[3" not in said
    for words in ("[4,850 EUR] line 3", "[12 March 2026] line 1", "[3 April 2026] line 5", "line 4: word for word"):
        assert words in said
    (row,) = (line for line in said.splitlines() if line.startswith("The roof is not covered."))
    assert ("line 4" in row) == (width == 100)  # side by side where there is room, below it otherwise


def test_the_command_writes_the_page_and_says_where(llmc_inside, corpus):
    llmc_inside("compress", f"input={corpus / 'notes'}", "output=a.llmc", "view=extract").ok()
    result = llmc_inside("why", "archive=a.llmc", "id=board.md", "html=why board.html").ok().json
    assert result["html"] == "why board.html"
    page = (llmc_inside.cwd / "why board.html").read_text()
    assert "Anna Lindqvist" in page
    assert Dom(page).ids
    llmc_inside("why", "archive=a.llmc", "id=board.md", "html=why board.html").ok()
    assert (llmc_inside.cwd / "why board.html").read_text() == page


def test_a_page_is_of_one_document_and_no_foreign_file_is_overwritten(llmc_inside, corpus):
    llmc_inside("compress", f"input={corpus / 'notes'}", "output=a.llmc", "view=extract").ok()
    assert "of one document" in llmc_inside("why", "archive=a.llmc", "refused=true", "html=x.html").usage()[0]
    (llmc_inside.cwd / "mine.html").write_text("mine")
    assert "no report of llmc" in llmc_inside("why", "archive=a.llmc", "id=board.md", "html=mine.html").usage()[0]
    assert (llmc_inside.cwd / "mine.html").read_text() == "mine"
    llmc_inside("why", "archive=a.llmc", "id=board.md", "html=mine.html", "force=true").ok()
