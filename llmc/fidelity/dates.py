"""Dates and times of day, normalised to ISO 8601; what is not said is left out, never guessed.

``12 March`` is ``--03-12`` (ISO 8601:1988, still used by XML Schema's gMonthDay), ``March 2026`` is ``2026-03``,
``Friday`` is ``-W5``, ``09:30`` is ``T09:30``. ``03/04/2026`` is ambiguous between countries and keeps its order.
"""

import re
from collections.abc import Iterator

from llmc.fidelity.alternatives import alternatives
from llmc.fidelity.tables import MONTHS, WEEKDAYS

Found = tuple[str, int, int, str]

_ALSO_WORDS = ("march", "april", "june", "august", "mars", "marzo", "maart")
# All spellings instead of IGNORECASE, which would make the scan several times slower.
_MONTH = alternatives(w for m in MONTHS for w in (m, m.capitalize(), m.upper())) + r"\b\.?"
_DAY = r"(?:0?[1-9]|[12]\d|3[01])"
_YEAR = r"(?:1[5-9]\d\d|20\d\d|21\d\d)"

_INSTANT = re.compile(
    r"\b(?P<date>\d{4}-\d{2}-\d{2})[T ](?P<time>\d{2}:\d{2}(?::\d{2})?)(?P<fraction>\.\d{1,9})?"
    r"(?P<zone>Z|[+-]\d{2}:?\d{2})?(?![\w:])"
)
_DATE = re.compile(
    rf"""(?<![\w.,/-])(?:
      (?P<iso>\d{{4}}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01]))(?![\w-])
    | (?P<ymd>\d{{4}}[./](?:0?[1-9]|1[0-2])[./]{_DAY})(?![\w/])
    | (?P<dmy>{_DAY}\.(?P<gap>\s?)(?:0?[1-9]|1[0-2])\.(?P=gap)(?:{_YEAR}|\d\d(?!\d)))(?![\w])
    | (?P<slashed>\d{{1,2}}/\d{{1,2}}/(?:{_YEAR}|\d\d))(?![\w/])
    | (?P<year_month>{_YEAR}-(?:0[1-9]|1[0-2]))(?![\w-])
    | (?P<quarter>Q[1-4](?:[ -/]{_YEAR})?)\b
    )""",
    re.VERBOSE,
)
_NAMED = re.compile(
    rf"""(?<![\w.,/])(?<!\D-)(?:
      (?P<d1>{_DAY})(?:st|nd|rd|th|er|\.)?\s(?:of\s|de\s)?(?P<m1>{_MONTH})(?:,?\s(?:de\s)?(?P<y1>{_YEAR})\b)?
    | (?P<m2>{_MONTH})\s(?P<d2>{_DAY})(?:st|nd|rd|th)?(?![\d:]|[.,]\d|\s?(?:%|EUR|USD))\b(?:,?\s(?P<y2>{_YEAR})\b)?
    | (?P<m3>{_MONTH}),?\s(?:of\s|de\s)?(?P<y3>{_YEAR})\b
    )""",
    re.VERBOSE,
)
_MONTH_END = re.compile(r"\s*(?:[,.;:)?!\n]|$|(?:and|or|at|in|for|until|to)\b)")
# "may" and "mar" are words, "March" is one at the start of a sentence: a bare month needs a capital and a cue before it
_BARE_MONTH = re.compile(
    r"\b(?i:in|of|by|until|till|since|before|after|from|during|through|and|or|to|early|late|mid|next|last|this|end|for|"
    r"im|bis|ab|seit|vor|nach|ende|anfang|en|fin|début|depuis)[ -](?P<month>"
    + alternatives(m.capitalize() for m in MONTHS if len(m) > 2)
    + r")\b(?!\s\d)"
)
_LONG_MONTH = re.compile(
    r"(?<![\w.])(?P<month>" + alternatives(m.capitalize() for m in MONTHS if len(m) > 3 and m not in _ALSO_WORDS) + r")\b"
)
# A month that was appended by copy ("Also: April; 4,850 EUR.") has lost its cue.
_LISTED_MONTH = re.compile(
    r"(?:(?<=Also: )|(?<=; ))(?P<month>" + alternatives(m.capitalize() for m in MONTHS if len(m) > 2) + r")(?=[;.])"
)
_WEEKDAY = re.compile(
    r"\b(?P<day>" + alternatives(d.capitalize() for d in WEEKDAYS if len(d) > 4) + r")s?\b"
    r"|(?:(?<=\()|(?<=, )|(?<=^)|(?<=on ))(?P<short>Mon|Tues?|Wed|Thu(?:rs?)?|Fri|Sat|Sun)(?=[,.) ])"
    r"|\b(?P<dated>Mon|Tues?|Wed|Thu(?:rs?)?|Fri|Sat|Sun)(?=\s[\d\x00])"
)
_BARE_YEAR = re.compile(
    rf"\b(?:in|of|since|until|till|by|from|to|for|early|late|mid|before|after|during|between|and|year|summer|winter|"
    rf"spring|autumn|fall|christmas|im|seit|bis|ab|jahr|en|desde|depuis|dal|nel)[ -]"
    rf"(?P<year>{_YEAR})\b(?![.,:/-]?\d|\s?(?:%|EUR|USD|[a-z]+s\b))"
    rf"|(?<=\()(?P<alone>{_YEAR})(?=[),;])",
    re.IGNORECASE,
)
_CLOCK = re.compile(
    r"(?<![\w.,:/-])(?P<h>[01]?\d|2[0-4])(?P<sep>[:.])(?P<m>[0-5]\d)(?::(?P<s>[0-5]\d))?(?P<half>\s?[ap]\.?\s?m\b\.?)?"
    r"(?P<uhr>\sUhr\b)?(?![\w/]|[:.,]\d|-\d)",
    re.IGNORECASE,
)
_HOUR = re.compile(
    r"(?<![\w.,:/-])(?P<h>[01]?\d|2[0-4])(?:\s?(?P<half>[ap]\.?m\b\.?)|\s(?P<clock>Uhr\b|o'clock\b))|\b(?P<word>noon|midnight|midday)\b",
    re.IGNORECASE,
)


def instants(text: str) -> Iterator[Found]:
    """``2026-01-17T03:12:00Z`` is a date and a time, two facts."""
    for match in _INSTANT.finditer(text):
        yield "date", match.start("date"), match.end("date"), match["date"]
        yield "time", match.start("time"), match.end(), "T" + match["time"] + (match["fraction"] or "").rstrip("0.")


def dates(text: str) -> Iterator[Found]:
    """Calendar dates, months, years with a cue, weekdays."""
    found: list[Found] = []
    taken: list[Found] = []
    for pass_ in (_written_as_digits, _written_with_names, _months, _years, _weekdays):
        taken = list(pass_(text))
        if taken:
            found.extend(taken)
            pieces, position = [], 0
            for _, start, end, _ in taken:
                pieces += [text[position:start], "\x00" * (end - start)]
                position = end
            text = "".join([*pieces, text[position:]])
    found.sort(key=lambda item: item[1])
    return iter(found)


def times(text: str) -> Iterator[Found]:
    """Times of day in 24 hours. A dot separates only before ``Uhr``, am or pm: 10.30 alone is a number."""
    found: list[Found] = []
    for match in _CLOCK.finditer(text):
        if match["sep"] == "." and not (match["half"] or match["uhr"]):
            continue
        hour = _hour24(int(match["h"]), match["half"] or "")
        seconds = f":{match['s']}" if match["s"] else ""
        found.append(("time", match.start(), match.end(), f"T{hour:02d}:{match['m']}{seconds}"))
    ends = {start for _, start, _, _ in found}
    for match in _HOUR.finditer(text):
        if match.start() in ends:
            continue
        if match["word"]:
            normal = "T00:00" if match["word"].lower() == "midnight" else "T12:00"
        else:
            normal = f"T{_hour24(int(match['h']), match['half'] or ''):02d}:00"
        found.append(("time", match.start(), match.end(), normal))
    found.sort(key=lambda item: item[1])
    last = -1
    for item in found:
        if item[1] >= last:
            last = item[2]
            yield item


def _hour24(hour: int, half: str) -> int:
    letter = half.strip()[:1].lower()
    if letter == "p" and hour < 12:
        return hour + 12
    return 0 if letter == "a" and hour == 12 else hour


def _year(text: str) -> str:
    return text if len(text) == 4 else ("20" if int(text) < 70 else "19") + text


def _written_as_digits(text: str) -> Iterator[Found]:
    for match in _DATE.finditer(text):
        kind, found = match.lastgroup, match[0]
        if kind in ("iso", "year_month"):
            normal = found
        elif kind == "ymd":
            year, month, day = re.split(r"[./]", found)
            normal = f"{year}-{int(month):02d}-{int(day):02d}"
        elif kind == "dmy":
            day, month, year = (part.strip() for part in found.split("."))
            normal = f"{_year(year)}-{int(month):02d}-{int(day):02d}"
        elif kind == "slashed":
            normal = _slashed(found)
        else:
            normal = found.replace("/", " ").replace("-", " ")
            normal = f"{normal[3:]}-{normal[:2]}" if len(normal) > 2 else normal
        yield "date", match.start(), match.end(), normal


def _slashed(found: str) -> str:
    """Only one reading when a part exceeds 12; otherwise the order is kept, so that equal spellings stay equal."""
    first, second, year = found.split("/")
    if int(first) > 12 >= int(second) > 0:
        return f"{_year(year)}-{int(second):02d}-{int(first):02d}"
    if int(second) > 12 >= int(first) > 0:
        return f"{_year(year)}-{int(first):02d}-{int(second):02d}"
    return f"{_year(year)}/{int(first):02d}/{int(second):02d}"


def _written_with_names(text: str) -> Iterator[Found]:
    for match in _NAMED.finditer(text):
        month_text = match["m1"] or match["m2"] or match["m3"]
        if match["m2"] and not month_text[0].isupper():
            continue  # "may 3", "mar 2": a verb or a word
        if match["d1"] and month_text == "may" and not match["y1"] and not _MONTH_END.match(text, match.end()):
            continue  # "from 16 may do so"
        if match["m3"] and not month_text[0].isupper():
            continue
        month = MONTHS[month_text.rstrip(".").lower()]
        day, year = match["d1"] or match["d2"], match["y1"] or match["y2"] or match["y3"]
        end = match.end()
        if text[end - 1] == "." and not year:
            end -= 1
        prefix = year or "-"
        yield "date", match.start(), end, f"{prefix}-{month:02d}" + (f"-{int(day):02d}" if day else "")


def _months(text: str) -> Iterator[Found]:
    found = {m.start("month"): m for m in _BARE_MONTH.finditer(text)}
    for pattern in (_LONG_MONTH, _LISTED_MONTH):
        found.update({m.start("month"): m for m in pattern.finditer(text)})
    for start in sorted(found):
        month = found[start]["month"]
        yield "date", start, found[start].end("month"), f"--{MONTHS[month.lower()]:02d}"


def _years(text: str) -> Iterator[Found]:
    for match in _BARE_YEAR.finditer(text):
        group = "year" if match["year"] else "alone"
        yield "date", match.start(group), match.end(group), match[group]


def _weekdays(text: str) -> Iterator[Found]:
    for match in _WEEKDAY.finditer(text):
        word = (match["day"] or match["short"] or match["dated"]).lower()
        yield "date", match.start(), match.start() + len(word), f"-W{WEEKDAYS[word]}"
