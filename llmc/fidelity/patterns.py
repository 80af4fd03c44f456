"""Compiles the patterns that scan whole documents: ``re``'s, or ``regex``'s where ``re`` gets them wrong.

They hold possessive groups (``(?:...)*+``), which never go back and so keep hostile text linear. Python 3.11.0 to 3.11.4 loses
its place when such a group gives up in the middle (CPython issue 106052): "2025." became a number. Debian 12 ships 3.11.2.
"""

import re
import sys

SOUND = sys.version_info >= (3, 11, 5)


def compiled(pattern: str, flags: int = 0) -> re.Pattern[str]:
    """The pattern, with a matcher that understands possessive groups."""
    if SOUND:
        return re.compile(pattern, flags)
    import regex

    found: re.Pattern[str] = regex.compile(pattern, flags)
    return found
