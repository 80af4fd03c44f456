"""Texts to measure on. All are in the public domain; see ``bench/data/README.md``."""

import re
from pathlib import Path

DATA = Path(__file__).parent / "data"


def paragraphs() -> list[bytes]:
    """The 787 paragraphs of more than 40 characters of alice29.txt and plrabn12.txt: short, similar documents."""
    found = []
    for name in ("alice29.txt", "plrabn12.txt"):
        with (DATA / name).open(encoding="utf-8", newline="") as file:
            found += [p.encode() for p in re.split(r"\n\s*\n", file.read()) if len(p) > 40]
    return found


def passages(count: int, size: int) -> list[str]:
    """Passages of about ``size`` characters, evenly taken from alice29.txt: documents a model can read in a second or two."""
    text = (DATA / "alice29.txt").read_text()
    step = (len(text) - size) // count
    return [text[i * step : i * step + size].partition("\n")[2] for i in range(count)]
