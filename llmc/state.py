"""Where llmc keeps what is its own: never in the user's folder.

``$LLMC_HOME`` if set, else the platform's cache folder (weights, which can be had again) and state folder (logs).
"""

import os
from pathlib import Path

CONF = next(p for p in (Path(__file__).parent / "conf", Path(__file__).parent.parent / "conf") if p.is_dir())
"""What a user may change: inside the package when installed, beside it in a checkout."""


def cache(name: str) -> Path:
    """A folder for what can be downloaded or made again."""
    home = os.environ.get("LLMC_HOME")
    if home:
        return Path(home).expanduser() / "cache" / name
    from platformdirs import user_cache_path

    return user_cache_path("llmc") / name


def state(name: str) -> Path:
    """A folder for logs and records."""
    home = os.environ.get("LLMC_HOME")
    if home:
        return Path(home).expanduser() / "state" / name
    from platformdirs import user_state_path

    return user_state_path("llmc") / name
