"""Hugging Face: what a file of a repository is, found out before anything is downloaded, and where its token and cache are.

The environment is huggingface_hub's: HF_ENDPOINT (a mirror), HF_TOKEN, HF_HOME, HF_HUB_CACHE, HF_HUB_OFFLINE. The Hub answers
a HEAD with the file's sha256 (X-Linked-Etag), its size (X-Linked-Size), the commit (X-Repo-Commit) and, where it refuses, the
reason (X-Error-Code); the commit is pinned, so that a file replaced meanwhile is not mixed with the one that was begun.
"""

import contextlib
import os
import re
from pathlib import Path

import httpx
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from llmc import units
from llmc.errors import PullError
from llmc.model.download import Remote, shown, why
from llmc.schema import ModelFile

SHA256 = re.compile(r"[0-9a-f]{64}")


def find(file: ModelFile) -> Remote:
    """The file as the Hub offers it now; PullError when it does not, or not to us, or not the one that is recorded."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        raise PullError(f"{file.repo} is not here, and HF_HUB_OFFLINE is set", hint="unset HF_HUB_OFFLINE")
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    page = f"{endpoint}/{file.repo}"
    key = token()
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    answer = _head(f"{page}/resolve/main/{file.file}", headers)
    if answer.status_code >= 400:
        raise _refused(file, page, bool(key), answer)
    url = str(answer.request.url)
    if commit := answer.headers.get("x-repo-commit"):
        url = url.replace("/resolve/main/", f"/resolve/{commit}/")
    published = answer.headers.get("x-linked-etag", "").strip('"')
    digest = file.sha256 or published
    if not SHA256.fullmatch(digest):
        raise PullError(f"{shown(url)} publishes no sha256, and the model's file names none")
    size = int(answer.headers.get("x-linked-size") or file.bytes)
    newer = "the file was published anew: update the model's YAML"
    if file.bytes and size != file.bytes:
        raise PullError(f"{shown(url)} has {units.size(size)} ({size} bytes) where {file.bytes} are recorded", hint=newer)
    if SHA256.fullmatch(published) and published != digest:
        raise PullError(f"{shown(url)} has sha256 {published[:12]}… where {digest[:12]}… is recorded", hint=newer)
    return Remote(url, digest, size or None, headers, page)


def _head(url: str, headers: dict[str, str]) -> httpx.Response:
    """The Hub's own answer: redirects that stay on it (a renamed repository) are followed, the one to the bytes is not."""
    retrying = Retrying(
        stop=stop_after_attempt(3),
        wait=wait_random_exponential(multiplier=0.5, max=5),
        retry=retry_if_exception(lambda e: not isinstance(e, httpx.HTTPStatusError) or _passing(e.response.status_code)),
        reraise=True,
    )
    asked = {**headers, "Accept-Encoding": "identity"}
    try:
        for attempt in retrying:
            with attempt, httpx.Client(headers=asked, timeout=30) as client:
                answer = client.head(url)
                for _ in range(5):
                    onward = answer.next_request
                    if onward is None or "x-linked-etag" in answer.headers or not _same_host(onward.url, answer.request.url):
                        break
                    answer = client.send(onward)
                if _passing(answer.status_code):
                    answer.raise_for_status()
    except httpx.HTTPStatusError as error:
        raise PullError(f"{shown(url)} {why(error).removeprefix('it ')}", hint="run it again later") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        host = httpx.URL(url).copy_with(userinfo=b"", path="/", query=None)
        raise PullError(f"{str(host).rstrip('/')} cannot be reached: {why(error)}", hint="is this machine online?") from error
    return answer


def _passing(status: int) -> bool:
    return status == 429 or status >= 500


def _same_host(one: httpx.URL, other: httpx.URL) -> bool:
    return (one.scheme, one.host, one.port) == (other.scheme, other.host, other.port)


def _refused(file: ModelFile, page: str, has_token: bool, answer: httpx.Response) -> PullError:
    status, code = answer.status_code, answer.headers.get("x-error-code", "")
    if code == "GatedRepo" and not has_token:
        return PullError(
            f"{file.repo} is gated and no token is set ({status})", hint=f"accept the licence at {page}, then set HF_TOKEN"
        )
    if code == "GatedRepo":
        return PullError(
            f"{file.repo} is gated and this token's account has no access yet ({status})",
            hint=f"accept the licence at {page} with the account of the token",
        )
    if status == 401 and has_token:
        return PullError(f"the token in HF_TOKEN is not valid ({status})", hint="hf auth login, or set HF_TOKEN anew")
    if status == 404 and code != "RepoNotFound":
        return PullError(f"{file.repo} has no file {file.file} (404)", hint=f"what it has: {page}/tree/main")
    if status in (401, 404):
        return PullError(
            f"{file.repo} does not exist, or is private and no token is set ({status})"
            if not has_token
            else f"{file.repo} does not exist, or is private and not open to this token ({status})",
            hint=f"look at {page}" + ("" if has_token else "; if it is private, set HF_TOKEN"),
        )
    if status == 403:
        return PullError(f"{file.repo} is not open to {'this token' if has_token else 'you'} (403)", hint=f"look at {page}")
    return PullError(f"{page} answered {status}")


def token() -> str:
    """HF_TOKEN, else the file that ``hf auth login`` writes; empty when there is neither."""
    if given := os.environ.get("HF_TOKEN"):
        return given
    with contextlib.suppress(OSError):
        return (_home() / "token").read_text().strip()
    return ""


def _home() -> Path:
    return Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser()


def cached(file: ModelFile, sha256: str) -> Path:
    """Where Hugging Face's own tools, and llama.cpp's, would have put the file: its cache names blobs by their digest."""
    hub = Path(os.environ.get("HF_HUB_CACHE", str(_home() / "hub"))).expanduser()
    return hub / f"models--{str(file.repo).replace('/', '--')}" / "blobs" / sha256
