"""The text of a stored document, or why it has none."""

import codecs
import json

from llmc.errors import InputError

_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def decode(data: bytes) -> str:
    """UTF-8, or UTF-16 with its byte order mark; InputError says why it is not text."""
    encoding = next((name for bom, name in _BOMS if data.startswith(bom)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise InputError(f"not text: no valid {encoding.upper()} at byte {error.start}") from None
    if "\0" in text:
        raise InputError(f"not text: a NUL at character {text.index(chr(0))}")
    return text


def json_field(line: bytes, field: str) -> str:
    """The text of one JSON Lines document; InputError says why there is none."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        raise InputError("not a JSON value") from None
    value = record.get(field) if isinstance(record, dict) else None
    if not isinstance(value, str):
        raise InputError(f"no text field {field!r}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InputError(f"field {field!r} is not valid Unicode") from None
    return decode(value.encode())
