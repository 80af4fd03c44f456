"""llmc: compress text with a local language model. Every byte restorable, every short view checked, every number measured.

    import llmc

    summary = llmc.compress("notes/", "notes.llmc", view="extract")
    archive = llmc.Archive.open("notes.llmc")
    data = archive.read(archive.find("board.md"))
    llmc.restore("notes.llmc", "back/")
    llmc.check("Rent falls to 4,850 EUR.", "Rent falls to 4,580 EUR.")["precision"].passed    # False

Names are imported when they are first used, so that the command line starts at once.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llmc.api import compress, restore
    from llmc.archive import Archive
    from llmc.codec import Codec
    from llmc.engine import Engine
    from llmc.errors import LlmcError
    from llmc.fidelity import Policy, Verdict, check
    from llmc.view import View

__version__ = "0.1.0"

_HOME = {
    "Archive": "llmc.archive",
    "Codec": "llmc.codec",
    "Engine": "llmc.engine",
    "LlmcError": "llmc.errors",
    "Policy": "llmc.fidelity",
    "Verdict": "llmc.fidelity",
    "View": "llmc.view",
    "check": "llmc.fidelity",
    "compress": "llmc.api",
    "restore": "llmc.api",
}

__all__ = ["Archive", "Codec", "Engine", "LlmcError", "Policy", "Verdict", "View", "check", "compress", "restore"]


def __getattr__(name: str) -> Any:  # noqa: ANN401
    if name not in _HOME:
        raise AttributeError(f"module 'llmc' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
