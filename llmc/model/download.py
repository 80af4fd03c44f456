"""One file over HTTP, whole or not at all: fetched over several connections, resumed where each stopped, checked, then named.

What has arrived is in ``NAME.part``. ``NAME.part.state`` says of which file, and how far each segment of it has come; a counter
is written after the bytes it counts, so a killed download loses only what was on the wire. Whatever a server does (ignores
ranges, drops, stalls, replaces the file), the sha256 decides at the end, and bytes that do not have it are deleted.
"""

import asyncio
import fcntl
import hashlib
import json
import os
import random
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import httpx

from llmc import units
from llmc.errors import PullError

MARGIN_BYTES = 64 << 20  # left free for everybody else
COUNTER_DIGITS = 20  # of a counter in the state file: fixed, so that one can be overwritten in its place


@dataclass(frozen=True, slots=True)
class Limits:
    """How hard a download tries."""

    connections: int = 4  # one is often held to a fraction of the line; many are rude
    min_segment_bytes: int = 8 << 20
    max_segments: int = 64  # each costs a request, and hosts limit requests
    stall_seconds: float = 30  # no byte for this long counts as a broken connection
    attempts: int = 6  # in a row that bring nothing
    wait_seconds: float = 0.5  # before the second attempt; doubled each time, with jitter
    max_wait_seconds: float = 30


LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Remote:
    """A file that a host offers."""

    url: str
    sha256: str
    bytes: int | None
    """None: the host does not say; then it is fetched in one piece."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Sent to ``url``, and to no other host that it redirects to."""
    publisher: str = ""
    """The page to accept a licence on, for the hint."""


class Fetched(NamedTuple):
    """A file that is here now."""

    sha256: str
    received_bytes: int
    """What came over the network for it this time."""


def shown(url: str) -> str:
    """A URL without what may be secret in it: user, password, query."""
    return str(httpx.URL(url).copy_with(userinfo=b"", query=None))


def why(error: Exception) -> str:
    """What went wrong with a request, without its URL."""
    if isinstance(error, httpx.HTTPStatusError):
        return f"it answered {error.response.status_code}"
    return type(error).__name__ if "://" in str(error) or not str(error) else str(error)


@contextmanager
def exclusive(path: Path, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Only one process at a time makes this file; a second one is told (``on_wait``), waits, and then finds it made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(path.name + ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def require_space(folder: Path, needed_bytes: int, hint: str = "LLMC_HOME=/a/larger/disk llmc pull") -> None:
    """PullError unless the file system has room for that many more bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < needed_bytes + MARGIN_BYTES:
        raise PullError(
            f"{folder} has {units.size(free)} free, {units.size(needed_bytes)} are needed",
            hint=hint,
        )


def unwritable(path: Path, error: OSError) -> PullError:
    """A full disk, a folder without permission."""
    return PullError(f"{path} cannot be written: {error.strerror}", hint="free some space and run it again")


def hash_file(path: Path) -> str:
    """sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(
    offered: Remote,
    path: Path,
    *,
    again: Callable[[], Remote] | None = None,
    on_bytes: Callable[[int], None] = lambda have: None,
    limits: Limits = LIMITS,
) -> Fetched:
    """Download to ``path``; ``on_bytes`` is told the bytes that are here.

    ``again`` asks the host what it offers, for when it seems to have changed. PullError when the file cannot be had.
    """
    part = path.with_name(path.name + ".part")
    received = 0
    trust_etag = True
    for _ in range(3):
        download = _Download(offered, part, on_bytes, limits, trust_etag)
        try:
            require_space(path.parent, (offered.bytes or 0) - sum(download.done))
            asyncio.run(download.run())
            break
        except _Passing as error:
            raise PullError(
                f"{shown(offered.url)} could not be fetched: {error}",
                hint="run the same command again: it goes on where it stopped",
            ) from error
        except OSError as error:
            raise unwritable(part, error) from error
        except _Changed as change:
            now = again() if again else offered
            if now != offered:
                download.discard()
            elif not trust_etag:
                raise PullError(f"{shown(offered.url)} {change}", hint="run it again later") from None
            offered, trust_etag = now, now != offered
        finally:
            received += download.received
            download.close()
    else:
        raise PullError(f"{shown(offered.url)} changes while it is being downloaded", hint="run it again later")
    digest = hash_file(part)
    if digest != offered.sha256:
        download.discard()
        raise PullError(
            f"{shown(offered.url)} has sha256 {digest[:12]}…, not {offered.sha256[:12]}…: deleted",
            hint="run it again; if it stays so, something between here and the host changes what it sends",
        )
    part.replace(path)
    download.discard()
    return Fetched(digest, received)


class _Passing(Exception):
    """A failure that may pass."""

    def __init__(self, text: str, wait_seconds: float = 0) -> None:
        super().__init__(text)
        self.wait_seconds = wait_seconds


class _Changed(Exception):
    """The host now offers something else than what was begun."""


class _NoRanges(Exception):
    """The host sends the whole file whatever range is asked."""


class _Download:
    """The part file of one download, its state beside it, and the connections that fill it."""

    def __init__(self, offered: Remote, part: Path, on_bytes: Callable[[int], None], limits: Limits, trust_etag: bool) -> None:
        self._offered, self._part, self._on_bytes, self._limits = offered, part, on_bytes, limits
        self._state = part.with_name(part.name + ".state")
        self._etag = "" if trust_etag else "-"
        self._ranges = offered.bytes is not None
        self._fd = self._state_fd = -1
        self.received = 0
        self._segment_bytes, self.done = self._read_state() or self._fresh()

    def _fresh(self) -> tuple[int, list[int]]:
        size = self._offered.bytes
        if size is None or not self._ranges:
            return size or 0, [0]
        segment_bytes = max(self._limits.min_segment_bytes, -(-size // self._limits.max_segments))
        return segment_bytes, [0] * max(1, -(-size // segment_bytes))

    def _read_state(self) -> tuple[int, list[int]] | None:
        """How far an earlier download of the same file came; None when there is none to go on with."""
        try:
            head, *counters = self._state.read_text().splitlines()
            about = json.loads(head)
            done = [int(counter) for counter in counters]
            have = self._part.stat().st_size
            segment_bytes = int(about["segment_bytes"])
            same = (about["sha256"], about["bytes"]) == (self._offered.sha256, self._offered.bytes)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if not same or not self._ranges or len(done) != max(1, -(-(self._offered.bytes or 0) // segment_bytes)):
            return None
        reached = [i * segment_bytes + n for i, n in enumerate(done) if n]
        return (segment_bytes, done) if max(reached, default=0) <= have else None

    def _open(self) -> None:
        begin = not any(self.done)
        flags = os.O_RDWR | os.O_CREAT | (os.O_TRUNC if begin else 0)
        self._fd = os.open(self._part, flags, 0o666)
        about = {"sha256": self._offered.sha256, "bytes": self._offered.bytes, "segment_bytes": self._segment_bytes}
        self._head = json.dumps(about).encode() + b"\n"
        self._state_fd = os.open(self._state, flags, 0o666)
        os.pwrite(self._state_fd, self._head + b"".join(_counter(n) for n in self.done), 0)

    def close(self) -> None:
        for fd in (self._fd, self._state_fd):
            if fd >= 0:
                os.close(fd)
        self._fd = self._state_fd = -1

    def discard(self) -> None:
        self._state.unlink(missing_ok=True)
        self._part.unlink(missing_ok=True)

    async def run(self) -> None:
        """Fill what is missing, and put it on the disk."""
        self._open()
        self._on_bytes(sum(self.done))
        timeout = httpx.Timeout(self._limits.stall_seconds)
        # identity: ranges count the file's bytes, not a compressed form's
        headers = {**self._offered.headers, "Accept-Encoding": "identity"}
        async with httpx.AsyncClient(follow_redirects=True, timeout=timeout, headers=headers) as client:
            try:
                await self._all(client)
            except _NoRanges:
                self._ranges = False
                self._segment_bytes, self.done = self._fresh()
                self.close()
                self._open()
                await self._all(client)
        os.fsync(self._fd)

    async def _all(self, client: httpx.AsyncClient) -> None:
        left = iter([i for i in range(len(self.done)) if self._missing(i)])

        async def work() -> None:
            for index in left:
                await self._segment(client, index)

        workers = [asyncio.create_task(work()) for _ in range(self._limits.connections)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    def _bounds(self, index: int) -> tuple[int, int]:
        """First byte still to come of a segment, and the byte after its last."""
        begin = index * self._segment_bytes
        end = min(begin + self._segment_bytes, self._offered.bytes) if self._offered.bytes is not None else 0
        return begin + self.done[index], end

    def _missing(self, index: int) -> bool:
        start, end = self._bounds(index)
        return self._offered.bytes is None or start < end

    async def _segment(self, client: httpx.AsyncClient, index: int) -> None:
        """One segment to its end, over as many connections as it takes."""
        fruitless = 0
        while True:
            before = self.done[index]
            try:
                await self._request(client, index)
            except httpx.HTTPError as error:
                stalled = isinstance(error, httpx.ReadTimeout)
                failure = _Passing(f"no byte for {self._limits.stall_seconds:g} s" if stalled else why(error))
            except _Passing as error:
                failure = error
            else:
                if not self._ranges or not self._missing(index):
                    return
                failure = _Passing("the connection ended early")
            fruitless = 1 if self.done[index] > before else fruitless + 1
            if fruitless >= self._limits.attempts:
                raise failure
            backoff = self._limits.wait_seconds * 2 ** (fruitless - 1) * random.uniform(0.5, 1.5)
            await asyncio.sleep(min(max(failure.wait_seconds, backoff), self._limits.max_wait_seconds))

    async def _request(self, client: httpx.AsyncClient, index: int) -> None:
        if not self._ranges:
            self._count(index, 0)
        start, end = self._bounds(index)
        headers = {"Range": f"bytes={start}-{end - 1}"} if self._ranges else {}
        async with client.stream("GET", self._offered.url, headers=headers) as answer:
            self._require(answer, start, end)
            async for chunk in answer.aiter_raw():  # as it comes: what a chunk size gathers is lost with the connection
                self.received += len(chunk)
                if self._offered.bytes is not None and start + len(chunk) > end:
                    raise _Changed(f"sends more than the {self._offered.bytes} bytes that are expected")
                while chunk:  # a disk that is nearly full takes a part of it
                    written = os.pwrite(self._fd, chunk, start)
                    start += written
                    chunk = chunk[written:]
                    self._count(index, self.done[index] + written)
                self._on_bytes(sum(self.done))

    def _count(self, index: int, done: int) -> None:
        self.done[index] = done
        os.pwrite(self._state_fd, _counter(done), len(self._head) + index * (COUNTER_DIGITS + 1))

    def _require(self, answer: httpx.Response, start: int, end: int) -> None:
        """The answer's body is the bytes that were asked for, or what it is instead is raised."""
        status = answer.status_code
        if status in (401, 403):
            hint = f"accept the licence at {self._offered.publisher}, then set HF_TOKEN" if self._offered.publisher else ""
            raise PullError(f"{shown(self._offered.url)} is not open to you ({status})", hint=hint)
        if status in (404, 410):
            raise PullError(f"{shown(self._offered.url)} does not exist ({status})")
        if status == 416:
            raise _Changed(f"has no byte {start} where {self._offered.bytes} bytes are expected")
        if status not in (200, 206):
            after = answer.headers.get("retry-after", "")
            raise _Passing(f"the server answered {status}", float(after) if after.isdigit() else 0)
        size = self._offered.bytes
        if status == 206:
            sent = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", answer.headers.get("content-range", ""))
            if sent is None or int(sent[1]) != start:
                raise _NoRanges
            if sent[3] not in ("*", str(size)):
                raise _Changed(f"has {sent[3]} bytes where {size} are expected")
        elif size is not None:
            length = int(answer.headers.get("content-length", size))
            if length != size:
                raise _Changed(f"has {length} bytes where {size} are expected")
            if (start, end) != (0, size):
                raise _NoRanges
        etag = answer.headers.get("etag", "")
        if etag and not etag.startswith("W/") and self._etag != "-":
            if self._etag and etag != self._etag:
                raise _Changed("is another file than a moment ago")
            self._etag = etag


def _counter(done: int) -> bytes:
    return b"%0*d\n" % (COUNTER_DIGITS, done)
