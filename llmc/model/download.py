"""One file over HTTP, whole or not at all: resumed where it stopped, checked, and only then given its name.

What has arrived is kept in ``NAME.part``; a killed download goes on from there, also in another process. A server that ignores
the range starts again from zero, one that says there is no more (416) is believed if the digest agrees.
"""

import fcntl
import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential, wait_random

from llmc import units
from llmc.errors import PullError

STALL_SECONDS = 30  # no byte for this long counts as a broken connection
ATTEMPTS = 6
MARGIN_BYTES = 64 << 20  # left free for everybody else


def shown(url: str) -> str:
    """A URL without what may be secret in it: user, password, query."""
    return str(httpx.URL(url).copy_with(userinfo=b"", query=None))


def why(error: Exception) -> str:
    """What went wrong with a request, without its URL."""
    if isinstance(error, httpx.HTTPStatusError):
        return f"it answered {error.response.status_code}"
    return type(error).__name__ if "://" in str(error) or not str(error) else str(error)


class _Retry(Exception):
    """A failure that may pass."""


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Only one process at a time makes this file; a second one waits, and then finds it made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(path.name + ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def require_space(folder: Path, needed_bytes: int) -> None:
    """PullError unless the file system has room for that many more bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < needed_bytes + MARGIN_BYTES:
        raise PullError(
            f"{folder} has {units.size(free)} free, {units.size(needed_bytes)} are needed",
            hint="LLMC_HOME=/a/larger/disk llmc pull",
        )


def unwritable(path: Path, error: OSError) -> PullError:
    return PullError(f"{path} cannot be written: {error.strerror}", hint="free some space and run it again")


def fetch(
    url: str,
    path: Path,
    *,
    sha256: str,
    size: int | None = None,
    headers: dict[str, str] | None = None,
    on_bytes: Callable[[int], None] = lambda total: None,
) -> None:
    """Download ``url`` to ``path``; ``on_bytes`` is told the bytes that are here. PullError when it cannot be had."""
    part = path.with_name(path.name + ".part")
    require_space(path.parent, max(0, (size or 0) - (part.stat().st_size if part.exists() else 0)))
    asked = {**(headers or {}), "Accept-Encoding": "identity"}  # ranges count the file's bytes, not a compressed form's
    retrying = Retrying(
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_exponential(multiplier=0.5, max=20) + wait_random(0, 1),
        retry=retry_if_exception_type(_Retry),
        reraise=True,
    )
    try:
        with httpx.Client(follow_redirects=True, timeout=httpx.Timeout(STALL_SECONDS), headers=asked) as client:
            for attempt in retrying:
                with attempt:
                    _attempt(client, url, part, on_bytes)
    except _Retry as error:
        raise PullError(
            f"{shown(url)} could not be fetched: {error}",
            hint="run the same command again: it goes on where it stopped",
        ) from error
    except OSError as error:
        raise unwritable(part, error) from error
    digest = hash_file(part)
    if digest != sha256:
        part.unlink()
        raise PullError(f"{shown(url)} has sha256 {digest[:12]}…, not {sha256[:12]}…: deleted", hint="run it again")
    part.replace(path)


def _attempt(client: httpx.Client, url: str, part: Path, on_bytes: Callable[[int], None]) -> None:
    have = part.stat().st_size if part.exists() else 0
    try:
        with client.stream("GET", url, headers={"Range": f"bytes={have}-"} if have else {}) as answer:
            if answer.status_code == 416:  # nothing beyond what we have
                return
            if answer.status_code in (401, 403):
                raise PullError(
                    f"{shown(url)} is not open to you ({answer.status_code})",
                    hint="accept the model's licence on its page, then set HF_TOKEN",
                )
            if answer.status_code == 404:
                raise PullError(f"{shown(url)} does not exist")
            if answer.status_code not in (200, 206):
                raise _Retry(f"the server answered {answer.status_code}")
            if answer.status_code == 200:
                have = 0
            with part.open("r+b" if have else "wb") as file:
                file.seek(have)
                for chunk in answer.iter_raw():  # as it comes: what a chunk size gathers is lost with the connection
                    file.write(chunk)
                    have += len(chunk)
                    on_bytes(have)
    except httpx.HTTPError as error:
        raise _Retry(why(error)) from error


def hash_file(path: Path) -> str:
    """sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
