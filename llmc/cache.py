"""Views made before, kept for a while: the same text under the same settings is not sent to a model twice.

A value is a whole view as JSON (text, key passages, token counts), so a hit needs no engine at all. It carries a code made
with a key that is kept elsewhere, so what somebody else wrote into the cache, or moved to another row, is a miss; and it is
given to the fidelity check again before it is used. It lives in SQLite through diskcache, which many processes may use at once.
diskcache would unpickle what the database says is a pickle (CVE-2025-69872) and delete the files it names: here keys and values
are bytes in the row, and nothing else is read, written or removed.

A cache is never a reason to stop: whatever is wrong with it is a miss, said once.
"""

import hashlib
import hmac
import json
import os
import secrets
import sqlite3
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import diskcache
from diskcache.core import MODE_RAW

from llmc import state

CACHED_VIEWS = "views"
"""Its folder, below ``llmc.state.cache``."""
CLOCK_SECONDS = 60.0  # a clock that is set right by less than this, has not jumped
BUSY_SECONDS = 2.0  # waited for another process that is writing; then it is a miss, or not kept
CODE_BYTES = 32  # HMAC-SHA-256, as long as its key
MAX_VALUE_BYTES = 1 << 20  # a view is a few kB; nothing larger is kept, nor read
ATTEMPT_FIELDS = ("tier", "outcome", "reason", "by", "model", "model_digest", "cause")
# SQLite's locks and shared memory do not work across machines.
NETWORK = {"9p", "afs", "beegfs", "ceph", "cifs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "smb3", "smbfs"}
NETWORK |= {"fuse.ceph", "fuse.glusterfs", "fuse.s3fs", "fuse.sshfs"}


@dataclass(frozen=True, slots=True)
class CachedView:
    """What is kept of a view: enough to use it again without an engine, and what making it took."""

    kind: str
    text: str
    """``""`` for a document that has no view."""
    keys: tuple[str, ...]
    """Passages that the model listed as key facts, word for word as in the source."""
    source_tokens: int
    tokens: int
    attempts: tuple[dict[str, str], ...]
    """How it came to be: ``ATTEMPT_FIELDS`` of each step, the last one being what was kept."""
    prompt_tokens: int
    """Of all attempts together: what a hit saves."""
    output_tokens: int
    cost_pico: int | None = None
    """What they cost, in pico-dollars; None when that is not known of all of them."""


@dataclass(slots=True)
class CacheUse:
    """What a run had of its cache."""

    lookups: int = 0
    hits: int = 0
    refused: int = 0
    """Found, but not accepted by the fidelity check: made anew."""
    stored: int = 0
    saved_prompt_tokens: int = 0
    saved_output_tokens: int = 0
    saved_pico: int = 0
    saved_unpriced: int = 0
    """Hits of which it is not known what they would have cost."""

    @property
    def hit_rate(self) -> float | None:
        """Hits of lookups; None when nothing was looked up."""
        return self.hits / self.lookups if self.lookups else None


def key(text: str, *settings: str) -> bytes:
    """What a view of ``text`` is found by: the text and all that decides what a view of it would be."""
    digests = [hashlib.sha256(part.encode()).digest() for part in (text, *settings)]
    return hashlib.sha256(b"".join(digests)).digest()


class _Damaged(Exception):
    """A row that llmc did not write."""


class _BytesOnly(diskcache.Disk):  # type: ignore[misc]
    """Keys and values are bytes inside the database: no pickle, and no file that the database could name."""

    def put(self, key: bytes) -> tuple[memoryview, bool]:
        return sqlite3.Binary(key), True

    def get(self, key: object, raw: bool) -> bytes:
        if not raw or not isinstance(key, bytes):
            raise _Damaged("a key that is not bytes")
        return key

    def store(self, value: bytes, read: bool, key: object = None) -> tuple[int, int, None, memoryview]:
        return 0, MODE_RAW, None, sqlite3.Binary(value)

    def fetch(self, mode: int, filename: object, value: object, read: bool) -> bytes:
        if mode != MODE_RAW or filename is not None or not isinstance(value, bytes):
            raise _Damaged("a row that is not plain bytes")
        return value

    def remove(self, file_path: object) -> None:
        """No row of ours has a file."""


class _Bounded(diskcache.Cache):  # type: ignore[misc]
    """Holds an exact number of entries. The expired go first, then what was stored in a future that the clock, set back, has
    not reached again, then what was stored longest ago."""

    entries: int

    def _cull(self, now: float, sql: Callable[..., Any], cleanup: object, limit: object = None) -> None:
        sql("DELETE FROM Cache WHERE expire_time <= ? OR store_time > ?", (now, now + CLOCK_SECONDS))
        over = len(self) - self.entries
        if over > 0:
            sql("DELETE FROM Cache WHERE rowid IN (SELECT rowid FROM Cache ORDER BY store_time, rowid LIMIT ?)", (over,))

    def recount(self) -> None:
        """Set the counter that ``len`` reads right, whatever was done to it."""
        self._sql_retry("UPDATE Settings SET value = (SELECT COUNT(*) FROM Cache) WHERE key = 'count'")


class ViewCache:
    """The cache of one run. Enter it before use; whatever is wrong with it, ``get`` finds nothing and ``put`` keeps nothing."""

    def __init__(
        self,
        folder: Path,
        *,
        entries: int = 50_000,
        ttl_seconds: float = 7200,
        key_file: Path | None = None,
        on_warning: Callable[[str], None] = lambda message: None,
    ) -> None:
        """``key_file``: what entries are signed with; None: one for all caches of this user, beside the logs."""
        self._key_file = key_file or state.state("cache") / "key"
        self._secret = b""
        self.folder, self.entries, self.ttl_seconds = folder, entries, ttl_seconds
        self.use = CacheUse()
        self._on_warning = on_warning
        self._warned = False
        self._cache: _Bounded | None = None

    def __enter__(self) -> Self:
        with self._guarded("cannot be used"):
            _private_folder(self.folder)
            cache = _Bounded(
                str(self.folder),
                timeout=BUSY_SECONDS,
                disk=_BytesOnly,
                eviction_policy="least-recently-stored",
                statistics=0,
                tag_index=0,
                size_limit=2**62,  # entries are what is counted
            )
            cache.entries = self.entries
            cache.recount()
            self._secret = _secret(self._key_file)
            self._cache = cache
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._cache is not None:
            self._cache.close()
            self._cache = None

    def count(self) -> int:
        """Entries it holds now."""
        return len(self._cache) if self._cache is not None else 0

    def get(self, key: bytes) -> CachedView | None:
        """The view of that key, if it was stored within the last ``ttl_seconds``. It has yet to pass the check."""
        if self._cache is None:
            return None
        self.use.lookups += 1
        with self._guarded("is damaged"):
            value = self._cache.get(key)
            if value is not None:
                return self._read(key, value)
        return None

    def put(self, key: bytes, view: CachedView) -> None:
        if self._cache is None:
            return
        row = json.dumps({"stored": time.time(), **asdict(view)}, ensure_ascii=False).encode("utf-8", "surrogatepass")
        if CODE_BYTES + len(row) > MAX_VALUE_BYTES:
            return
        with self._guarded("takes no more"):
            self._cache.set(key, self._code(key, row) + row, expire=self.ttl_seconds)
            self.use.stored += 1

    def _code(self, key: bytes, row: bytes) -> bytes:
        return hmac.digest(self._secret, key + row, "sha256")

    def hit(self, view: CachedView) -> None:
        """Count a view that was found and has passed the check."""
        self.use.hits += 1
        self.use.saved_prompt_tokens += view.prompt_tokens
        self.use.saved_output_tokens += view.output_tokens
        self.use.saved_pico += view.cost_pico or 0
        self.use.saved_unpriced += view.cost_pico is None

    def refused(self) -> None:
        """Count a view that was found and has not passed the check, which it once did."""
        self.use.refused += 1
        self._warn("held a view that does not pass the check: it was made anew")

    def _read(self, key: bytes, value: bytes) -> CachedView | None:
        if len(value) > MAX_VALUE_BYTES:
            raise _Damaged(f"a value of {len(value)} bytes")
        code, text = value[:CODE_BYTES], value[CODE_BYTES:]
        if not hmac.compare_digest(code, self._code(key, text)):
            raise _Damaged("a view that llmc did not put there")
        row = json.loads(text)
        age_seconds = time.time() - float(row.pop("stored"))
        if not -CLOCK_SECONDS <= age_seconds < self.ttl_seconds:
            return None
        return CachedView(**{**row, "keys": tuple(row["keys"]), "attempts": tuple(row["attempts"])})

    @contextmanager
    def _guarded(self, what: str) -> Iterator[None]:
        try:
            yield
        except diskcache.Timeout:
            self._warn(f"was busy for {BUSY_SECONDS:g} s: other processes write to it")
        except (sqlite3.Error, OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, _Damaged) as error:
            self._warn(f"{what}: {error or type(error).__name__}")

    def _warn(self, what: str) -> None:
        if not self._warned:
            self._warned = True
            self._on_warning(f"the cache {self.folder} {what}; the run goes on without it (llmc clean what=cache empties it)")


def _secret(file: Path) -> bytes:
    """The key, made when it is first needed; of several processes that make one at the same time, one is the first."""
    if not file.exists():
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = file.with_name(f"{file.name}.{secrets.token_hex(8)}")
        try:
            with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
                opened.write(secrets.token_bytes(CODE_BYTES))
            with suppress(FileExistsError):
                os.link(draft, file)
        finally:
            draft.unlink(missing_ok=True)
    found = file.read_bytes()
    if len(found) != CODE_BYTES:
        raise _Damaged(f"its key {file} has {len(found)} bytes instead of {CODE_BYTES}: delete it")
    return found


def _private_folder(folder: Path) -> None:
    """Make it, for this user alone; refuse one that is not, and one that is on a network file system."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.stat()
    if found.st_uid != os.geteuid():
        raise _Damaged("the folder is somebody else's")
    if stat.S_IMODE(found.st_mode) != 0o700:
        folder.chmod(0o700)
    if kind := network_file_system(folder):
        raise _Damaged(f"it is on a network file system ({kind}); set LLMC_HOME to a folder on a local disk")


class Mount(Protocol):
    """A row of the mount table, as psutil gives it."""

    mountpoint: str
    fstype: str


def network_file_system(folder: Path, mounts: Iterable[Mount] | None = None) -> str:
    """The type of file system that holds a folder, if it is one shared between machines; else ``""``."""
    if mounts is None:
        import psutil

        mounts = psutil.disk_partitions(all=True)
    inside = [m for m in mounts if folder.resolve().is_relative_to(m.mountpoint)]
    fstype = max(inside, key=lambda m: len(Path(m.mountpoint).parts)).fstype if inside else ""
    return fstype if fstype in NETWORK else ""
