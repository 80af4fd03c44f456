"""Facts that are spellings: code spans, URLs, e-mails, paths, hashes, versions, phones, ids, quoted text.

Their normal form is (nearly) the text itself: one wrong character makes another thing of them.
"""

import re
from collections.abc import Iterator

from llmc.fidelity.patterns import compiled

Found = tuple[str, int, int, str]

_CODE = re.compile(r"(?<!`)`([^`\n]{1,200}+)`(?!`)")

_ADDRESSES = compiled(
    r"""
      (?P<url>\b(?:https?|ftps?|sftp|ssh|git|file)://[^\s<>"'`\x00]++|\bwww\.[\w-]++\.[^\s<>"'`\x00]++)
    | (?P<email>(?<![\w.+-])[\w.+-]{1,64}+@[A-Za-z0-9-]{1,63}+(?:\.[A-Za-z0-9-]{1,63}+)++)
    | (?P<uuid>\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b)
    | (?P<path>(?<![\w/.\x00~\\-])(?:~|\.{1,2})?/[\w.+@%-]++(?:/[\w.+@%-]*+)*+
             |(?<![\w/.\\])[A-Za-z]:\\[\w.+@%-]++(?:\\[\w.+@%-]*+)*+
             |(?<![\w/.@\\-])(?:[\w+-]++/){1,20}+[\w+-]++\.[A-Za-z][A-Za-z0-9]{0,5}\b
             |(?<![\w/.@\\-])[\w+-]++(?:\.[\w+-]++)*?\.(?:py|conf|cfg|ini|ya?ml|json|toml|md|txt|csv|xlsx?|docx?|pdf|html?|js|ts
               |c|h|cpp|hpp|cc|rs|go|java|sh|log|zip|gz|xz|tar|deb|rpm|exe|dll|so|png|jpe?g|svg|sql|xml|lock|service)\b)
    | (?P<serial>\b(?=[0-9:]{0,90}[A-F])[0-9A-F]{2}(?::[0-9A-F]{2}){2,31}+\b)
    | (?P<hash>\b(?:sha\d{1,3}:)?(?=[0-9a-fA-F]{0,63}\d)(?=[0-9a-fA-F]{0,63}[a-fA-F])(?:[0-9a-f]{7,64}+|[0-9A-F]{7,64}+)\b)
    """,
    re.VERBOSE,
)
_VERSION = compiled(
    r"""(?<![\w.:/-])(?:
      v(?P<v>\d++(?:\.\d++)*+(?:[-+~]?[a-z0-9]++(?:\.[a-z0-9]++)*+)?)
    | (?P<deb>(?:\d{1,2}:)?\d++(?:\.\d++)++(?:[+~][a-z0-9.+~]++)?-\d++(?:[.+~][a-z0-9.+~]*[a-z0-9])?)
    | (?P<dotted>\d++\.\d++(?:\.\d++)++(?:[-+~]?(?:rc|alpha|beta|a|b|dev|post|dfsg|deb)[-.\d\w]*+)?)
    )(?![\w])""",
    re.VERBOSE,
)
_DATE_WITH_DOTS = re.compile(r"\d{1,2}\.\d{1,2}\.(?:19|20)?\d{2}$")
_PHONE = re.compile(
    r"(?<![\w+])(?:\+\d{1,3}[ (./-]{0,2}\d[\d ()./-]{5,16}\d|"
    r"\(\d{2,5}\) ?\d{3,4}[ -]\d{3,5}|\d{3}-\d{3}-\d{4}|0\d{2,4}[ /-]\d{5,8})(?![\w-])"
)
_LABEL = compiled(
    r"""
      (?P<number>(?<!\w)\#\d++\b)
    | (?P<word>(?<![\w.\-/])(?=[A-Za-z][A-Za-z._/:-]{0,40}\d)[A-Za-z]\w*+(?:[-_.:/][A-Za-z0-9]\w*+)*+)
    | (?P<split>(?<![\w.,\-/])(?=\d{1,20}[A-Za-z]{0,20}[-_/])\d++\w*+(?:[-_/]\w++)*?[-_/]
        (?=\w{0,20}[A-Z0-9])\d*+[A-Z]\w*+(?:[-_/]\w++)*+)
    """,
    re.VERBOSE,
)
_QUOTE = re.compile(
    r"“([^“”\x00\n]{2,300}+)”|„([^„“”\x00\n]{2,300}+)[“”]|«([^«»\x00\n]{2,300}+)»|(?<![\w\"])\"([^\"\x00\n]{2,300}+)\"(?!\w)"
)
_ANY_QUOTE = re.compile(
    r"“([^“”\n]{2,300}+)”|„([^„“”\n]{2,300}+)[“”]|«([^«»\n]{2,300}+)»|(?<![\w\"])\"([^\"\n]{2,300}+)\"(?!\w)"
)
_TRAILING = ".,;:!?)]}>*'\"…"


def code(text: str) -> Iterator[Found]:
    """`Inline code`, without its backticks in the normal form."""
    for match in _CODE.finditer(text):
        yield "code", match.start(), match.end(), match[1].strip()


def addresses(text: str) -> Iterator[Found]:
    """URLs, e-mails, paths and file names, UUIDs, hashes, serials."""
    for match in _ADDRESSES.finditer(text):
        kind = match.lastgroup or ""
        start, end = match.span()
        if kind in ("url", "path"):
            while end > start and text[end - 1] in _TRAILING:
                end -= 1
        found = text[start:end]
        if kind == "url":
            yield kind, start, end, found.rstrip("/")
        elif kind in ("email", "uuid"):
            yield ("email" if kind == "email" else "id"), start, end, found.casefold()
        elif kind == "hash":
            yield kind, start, end, found.casefold()
        elif kind == "serial":
            yield "id", start, end, found
        elif len(found) > 1:
            yield kind, start, end, found


def versions(text: str) -> Iterator[Found]:
    """``v2``, ``3.8.1``, ``5.2.0-3``; the leading v is not part of the normal form."""
    for match in _VERSION.finditer(text):
        if _DATE_WITH_DOTS.match(match[0]):
            continue
        yield "version", match.start(), match.end(), (match["v"] or match[0]).rstrip(".")


def phones(text: str) -> Iterator[Found]:
    """Normal form: the digits, with the plus sign."""
    for match in _PHONE.finditer(text):
        yield "phone", match.start(), match.end(), re.sub(r"[^\d+]", "", match[0])


def labels(text: str) -> Iterator[Found]:
    """Tokens that mix letters and digits: ``CVE-2025-31882``, ``INV-7``, ``db-3``, ``#1204``, ``ARM64``."""
    for match in _LABEL.finditer(text):
        yield "id", match.start(), match.end(), match[0].casefold()


def quotes(text: str) -> Iterator[Found]:
    """Quoted text without other facts inside; see ``quoted`` for all of it."""
    return _quoted(_QUOTE, text)


def quoted(text: str) -> Iterator[Found]:
    """All quoted text, also with numbers or names inside."""
    return _quoted(_ANY_QUOTE, text)


def _quoted(pattern: re.Pattern[str], text: str) -> Iterator[Found]:
    for match in pattern.finditer(text):
        inner = match[match.lastindex or 0]
        yield "quote", match.start(), match.end(), quote_normal(inner)


def quote_normal(text: str) -> str:
    """Case, white space and the closing punctuation do not count inside a quotation."""
    return " ".join(text.split()).rstrip(".,;:!?… ").casefold()
