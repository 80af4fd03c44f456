"""One pattern for many fixed words, shaped as a tree of their letters: the engine looks at a letter once, not once per word."""

import re
from collections.abc import Iterable


class _Node(dict[str, "_Node"]):
    """What may follow, by letter; the empty string where a word ends."""


def alternatives(words: Iterable[str]) -> str:
    """Matches the same as ``"|".join`` of the words with the longest first; in a group, so that it can be followed by anything.

    >>> alternatives(["mar", "may", "march"])
    '(?:ma(?:r(?:ch)?|y))'
    """
    tree = _Node()
    for word in words:
        node = tree
        for letter in word:
            node = node.setdefault(letter, _Node())
        node[""] = _Node()
    return f"(?:{_branches(tree)})"


def _branches(node: _Node) -> str:
    branches = []
    for letter, below in sorted(node.items()):
        if not letter:
            continue
        text = re.escape(letter)
        while len(below) == 1 and "" not in below:  # a run of letters without a choice
            letter, below = next(iter(below.items()))
            text += re.escape(letter)
        if len(below) > 1:
            text += f"(?:{_branches(below)})" if "" not in below else f"(?:{_branches(below)})?"
        branches.append(text)
    return "|".join(branches)
