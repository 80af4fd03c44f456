"""Numbers with what they count in: money, percent, durations, measures, ranges and scores, digits and number words.

>>> [(kind, normal) for kind, _, _, normal in quantities("$1.4 million, 3 kW, 7-2, twelve weeks")]
[('money', '1400000 USD'), ('number', '3 kW'), ('range', '7-2'), ('duration', '12 week')]
"""

import re
from collections.abc import Iterator
from decimal import Decimal

from llmc.fidelity.alternatives import alternatives
from llmc.fidelity.patterns import compiled
from llmc.fidelity.tables import (
    AMBIGUOUS_NUMBER_WORDS,
    CURRENCY_CODES,
    CURRENCY_SIGNS,
    CURRENCY_WORDS,
    DURATION_UNITS,
    DURATIONS_CASED,
    DURATIONS_WORDS,
    MAGNITUDE_LETTERS,
    MAGNITUDES,
    NUMBER_WORDS,
    PERCENT,
    UNITS_CASED,
    UNITS_WORDS,
)

Found = tuple[str, int, int, str]

_SIGN = "|".join(re.escape(sign) for sign in sorted(CURRENCY_SIGNS, key=len, reverse=True))
_NUMBER = r"\d++(?:[.,]\d++|[\u00a0\u202f'’]\d{3}(?!\d))*+"
# Both spellings instead of IGNORECASE, which would make the scan several times slower.
_WORDS = alternatives(w for word in NUMBER_WORDS for w in (word, word.capitalize()))
_START = compiled(
    rf"(?:(?P<money>{_SIGN})\s?|\b(?P<code>{'|'.join(sorted(CURRENCY_CODES))})\s)?"
    rf"(?P<sign>(?<![\w.,)\x00])[-−+](?=\d))?(?<![\w.])(?P<number>{_NUMBER})"
    rf"|\b(?P<word>{_WORDS}(?:[ -]{_WORDS})*+)\b"
    r"|\b(?P<half>[Hh]alf an hour)\b"
    r"|\b(?P<vague>(?:[Aa] )?(?:[Hh]undred|[Tt]housand|[Mm]illion|[Bb]illion|[Tt]rillion)s?)\b"
)
_MAGNITUDE = re.compile(rf"[ \u00a0-]?({'|'.join(sorted(MAGNITUDES, key=len, reverse=True))})\b\.?", re.IGNORECASE)
_LETTER = re.compile(r"(k|K|M|m|B|bn|tn)\b")
_UNIT = re.compile(r"[ \u00a0-]?(%|‰|°[CF]?|[A-Za-zµμΩ℃℉][A-Za-zäöüéàçñ²³µ]*+(?:/[A-Za-z]{1,3}\b)?[23]?)")
_MONEY_AFTER = re.compile(rf"\s?(?:({_SIGN})|([A-Za-zł]++)\b)")
_JOIN = compiled(r"(?P<join>\s?[-–—]\s?|\s?[x×]\s?|[:/])(?P<number>\d++(?:[.,]\d++)*+)(?![\w-])")
_ELLIPSIS = re.compile(
    r"\s(?:to|and|or|instead of|rather than|bis|und|oder|à|a)\s(?:[^\W\d]{2,9}\s)?$"
)  # "20 to 40 mg": one unit for both
_GROUPED = re.compile(r"\d{1,3}(?:[.,]\d{3})+$")
_ORDINAL = re.compile(r"(?:st|nd|rd|th)\b")
_GLUED = re.compile(r"[A-Za-z]\w*")


def quantities(text: str) -> Iterator[Found]:
    """All number facts in the order of the text."""
    last: list[Found] = []
    end_before = 0
    for match in _START.finditer(text):
        if match.start() < end_before:
            continue
        if match["half"]:
            found: Found | None = ("duration", *match.span(), "30 min")
        else:
            found = _vague(match) if match["vague"] else _word(text, match) if match["word"] else _digits(text, match)
        if found is None:
            continue
        end_before = found[2]
        if last and _shares_unit(text, last[-1], found):
            last[-1] = _with_unit(last[-1], found)
        elif last and _takes_unit(text, last[-1], found):
            found = _with_unit(found, last[-1])
        last.append(found)
        if len(last) > 2:
            yield last.pop(0)
    yield from last


def _shares_unit(text: str, before: Found, after: Found) -> bool:
    if before[0] != "number" or " " in before[3] or " " not in after[3] or after[1] - before[2] > 16:
        return False
    return bool(_ELLIPSIS.match(text[before[2] : after[1]]))


def _takes_unit(text: str, before: Found, after: Found) -> bool:
    """ "14 days instead of 30": the unit stands with the first."""
    if after[0] != "number" or " " in after[3] or " " not in before[3] or after[1] - before[2] > 16:
        return False
    return text[before[2] : after[1]] in (" instead of ", " rather than ", ", previously ", ", not ", " not ")


def _with_unit(before: Found, after: Found) -> Found:
    unit = after[3].split(" ", 1)[1]
    return after[0] if after[0] != "range" else "number", before[1], before[2], f"{before[3]} {unit}"


def _digits(text: str, match: re.Match[str]) -> Found | None:
    start, end = match.span()
    raw = match["number"]
    sign = "-" if match["sign"] in ("-", "−") else ""
    currency = CURRENCY_SIGNS.get(match["money"] or "") or (match["code"] or "").upper()
    if not currency and (joined := _JOIN.match(text, end)):
        return _range(text, start, raw, joined)
    power, end = _power(text, end, bool(currency))
    if not currency:
        currency, end = _currency(text, end)
    if currency:
        return "money", start, end, f"{sign}{plain(raw, power, money=True)} {currency}"
    if power == 0 and (ordinal := _ORDINAL.match(text, end)):
        return "number", start, ordinal.end(), f"{plain(raw)}th"
    unit, unit_end = _unit(text, end)
    if unit == "B" and unit_end == end + 1:
        unit = ""  # "rack 14B", "4B parameters": a label more often than bytes
    if not unit and (glued := _GLUED.match(text, end)):
        return "id", start, glued.end(), text[start : glued.end()].casefold()
    return _measured(start, unit_end if unit else end, sign + plain(raw, power), unit)


def _measured(start: int, end: int, value: str, unit: str) -> Found:
    if not unit:
        return "number", start, end, value
    kind = "percent" if unit in ("%", "pp", "‰") else "duration" if unit in DURATION_UNITS else "number"
    return kind, start, end, f"{value} {unit}"


def _range(text: str, start: int, raw: str, joined: re.Match[str]) -> Found | None:
    """``7-2``, ``3:1``, ``31 x 12 mm``, ``10–20 %``; a unit behind counts for both ends."""
    sign = joined["join"].strip()
    if sign in "-–—" and " " in joined["join"]:
        return _measured(start, joined.start(), plain(raw), "")  # "in 3 - 4 of them": a dash between clauses
    sign = {"–": "-", "—": "-", "×": "x"}.get(sign, sign)
    power, end = _power(text, joined.end(), False)
    currency, end = _currency(text, end)
    value = f"{plain(raw, power)}{sign}{plain(joined['number'], power)}"
    if currency:
        return "money", start, end, f"{value} {currency}"
    unit, unit_end = _unit(text, end)
    return "range", start, unit_end if unit else end, f"{value} {unit}".rstrip()


def _vague(match: re.Match[str]) -> Found:
    """ "Millions of veterans": no number, but not billions either. "A million" is one."""
    words = match["vague"].lower().split()
    value = f"1{'0' * MAGNITUDES[words[-1]]}" if len(words) == 2 else f"~{words[-1].removesuffix('s')}"
    return "number", *match.span(), value


def _word(text: str, match: re.Match[str]) -> Found | None:
    words = re.split(r"[ -]", match["word"].lower())
    value = Decimal(0)
    for word in words:
        number = NUMBER_WORDS[word]
        if value and not (value % 100 >= 20 and number < 10):
            return None  # "two three": not one number
        value += number
    end = match.end()
    power, end = _power(text, end, False)
    currency, end = _currency(text, end)
    number_text = _shortest(value.scaleb(power))
    if currency:
        return "money", match.start(), end, f"{number_text} {currency}"
    unit, unit_end = _unit(text, end)
    if unit in ("in", "m", "s", "g", "l", "t", "h", "°") and unit_end - end < 4:
        unit = ""
    if not unit and not power and (len(words) == 1 and words[0] in AMBIGUOUS_NUMBER_WORDS):
        return None
    return _measured(match.start(), unit_end if unit else end, number_text, unit)


def _power(text: str, end: int, money: bool) -> tuple[int, int]:
    """The power of ten named after a number, and where its name ends."""
    if found := _MAGNITUDE.match(text, end):
        stop = found.end() - (found[0].endswith(".") and found[1].lower() not in ("mio", "mrd"))
        return MAGNITUDES[found[1].lower()], stop
    if money and (letter := _LETTER.match(text, end)):
        return MAGNITUDE_LETTERS[letter[1]], letter.end()
    return 0, end


def _currency(text: str, end: int) -> tuple[str, int]:
    found = _MONEY_AFTER.match(text, end)
    if not found:
        return "", end
    if found[1]:
        return CURRENCY_SIGNS[found[1]], found.end()
    word = found[2]
    currency = word if word in CURRENCY_CODES else CURRENCY_WORDS.get(word.lower(), "")
    return (currency, found.end()) if currency else ("", end)


def _unit(text: str, end: int) -> tuple[str, int]:
    """The canonical unit named after a number; empty when the next word is no unit."""
    found = _UNIT.match(text, end)
    if not found:
        return "", end
    word = found[1]
    lower = word.lower()
    if (
        found[0][0] == "-"
        and word not in ("day", "week", "month", "year", "hour", "minute", "second")
        and lower not in UNITS_WORDS
    ):
        return "", end
    if lower in ("square", "cubic"):
        return _powered_unit(text, found.end(), "2" if lower == "square" else "3", end)
    if lower == "percentage" and text.startswith(" point", found.end()):
        stop = found.end() + len(" point")
        return "pp", stop + text.startswith("s", stop)
    if lower == "per" and text.startswith(" cent", found.end()):
        return "%", found.end() + len(" cent")
    if lower in PERCENT:
        return PERCENT[lower], found.end()
    for table, key in ((UNITS_CASED, word), (DURATIONS_CASED, word), (DURATIONS_WORDS, lower), (UNITS_WORDS, lower)):
        if table.get(key):
            return table[key], found.end()
    of, slash, per = word.partition("/")
    if slash and UNITS_CASED.get(of):
        return f"{UNITS_CASED[of]}/{DURATIONS_CASED.get(per, per)}", found.end()
    return "", end


def _powered_unit(text: str, start: int, power: str, end: int) -> tuple[str, int]:
    found = _UNIT.match(text, start)
    unit = UNITS_WORDS.get(found[1].lower(), "") if found else ""
    return (unit + power, found.end()) if found and unit else ("", end)


def plain(raw: str, power: int = 0, *, money: bool = False) -> str:
    """Digits without grouping, decimal point, no trailing zeros: ``1,234.50`` and ``1.234,50`` are both ``1234.5``.

    With one kind of separator, a comma before exactly three digits groups, a point is decimal (English first); money
    has no thousandths and ``.000`` no sense as decimals, so there a point before three digits groups as well.
    A number with a leading zero (``007``) is a label and stays as it is written.
    """
    digits = re.sub(r"[\u00a0\u202f'’]", "", raw)
    if len(digits) > 1 and digits[0] == "0" and digits.isdigit():
        return digits
    comma, point = digits.rfind(","), digits.rfind(".")
    if comma >= 0 and point >= 0:
        group, decimal = (",", ".") if point > comma else (".", ",")
        digits = digits.replace(group, "").replace(decimal, ".")
    elif comma >= 0:
        digits = digits.replace(",", "") if _GROUPED.match(digits) else digits.replace(",", ".")
    elif point >= 0 and _GROUPED.match(digits) and (money or digits.count(".") > 1 or digits.endswith(".000")):
        digits = digits.replace(".", "")
    if digits.count(".") > 1 or len(digits) > 60:
        return digits
    return _shortest(Decimal(digits).scaleb(power))


def _shortest(value: Decimal) -> str:
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
