"""Texts to measure on. All are in the public domain; see ``bench/data/README.md``."""

import re
from pathlib import Path

DATA = Path(__file__).parent / "data"
ALICE = "alice29.txt"
BOTH = (ALICE, "plrabn12.txt")


def paragraphs(names: tuple[str, ...] = BOTH) -> list[bytes]:
    """The paragraphs of more than 40 characters, 787 of both texts: short, similar documents."""
    found = []
    for name in names:
        with (DATA / name).open(encoding="utf-8", newline="") as file:
            found += [p.encode() for p in re.split(r"\n\s*\n", file.read()) if len(p) > 40]
    return found


def alice() -> list[bytes]:
    """The paragraphs that an installed llmc has too."""
    return paragraphs((ALICE,))


def passages(count: int, size: int, names: tuple[str, ...] = (ALICE,)) -> list[str]:
    """Passages of about ``size`` characters, evenly taken from the texts: documents a model can read in a second or two."""
    text = "".join((DATA / name).read_text() for name in names)
    step = (len(text) - size) // count
    return [text[i * step : i * step + size].partition("\n")[2] for i in range(count)]
