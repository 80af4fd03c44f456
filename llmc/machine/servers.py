"""Servers that run on this machine already, whoever started them: asked on loopback only, each within a second and a half."""

import http.client
import ipaddress
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from llmc.machine.found import Server
from llmc.machine.host import Host, User

TIMEOUT_SECONDS = 1.5
OLLAMA_PORT = 11434


def ollama_address(environ: Mapping[str, str]) -> tuple[str, int] | None:
    """Host and port that OLLAMA_ENDPOINT, else OLLAMA_HOST means, by Ollama's rules; None when it names another machine.

    >>> ollama_address({}), ollama_address({"OLLAMA_HOST": "0.0.0.0"}), ollama_address({"OLLAMA_HOST": "http://localhost"})
    (('127.0.0.1', 11434), ('127.0.0.1', 11434), ('localhost', 80))
    """
    said = (environ.get("OLLAMA_ENDPOINT") or environ.get("OLLAMA_HOST", "")).strip().strip("'\"")
    scheme, separator, _ = said.partition("://")
    default = {"http": 80, "https": 443}.get(scheme, OLLAMA_PORT) if separator else OLLAMA_PORT
    try:
        parts = urlsplit(said if separator else f"//{said}")
        host, port = parts.hostname or "127.0.0.1", parts.port or default
    except ValueError:
        return "127.0.0.1", OLLAMA_PORT
    if host in ("0.0.0.0", "::"):  # where it listens; one reaches it here
        host = "127.0.0.1"
    return (host, port) if loopback(host) else None


def loopback(host: str) -> bool:
    """Whether an address is this machine's own."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def find(engine: str, address: tuple[str, int]) -> Server | None:
    """The server at an address, if it is one of this engine."""
    if not loopback(address[0]):
        return None
    return {"ollama": _ollama, "llama_server": _llama_server, "vllm": _vllm}[engine](address)


def _ollama(address: tuple[str, int]) -> Server | None:
    version = _get(address, "/api/version")
    if not isinstance(version, dict) or "version" not in version:
        return None
    tags = _get(address, "/api/tags")
    models = tags.get("models") if isinstance(tags, dict) else None
    names = tuple(str(m.get("name", "")) for m in models or ())
    return Server("ollama", _url(address), str(version["version"]), names)


def _llama_server(address: tuple[str, int]) -> Server | None:
    props = _get(address, "/props")
    if not isinstance(props, dict) or "build_info" not in props:
        return None
    return Server("llama_server", _url(address), str(props["build_info"]), _served(address))


def _vllm(address: tuple[str, int]) -> Server | None:
    version = _get(address, "/version")
    if not isinstance(version, dict) or "version" not in version:
        return None
    return Server("vllm", _url(address), str(version["version"]), _served(address))


def _served(address: tuple[str, int]) -> tuple[str, ...]:
    said = _get(address, "/v1/models")
    data = said.get("data") if isinstance(said, dict) else None
    return tuple(str(each.get("id", "")) for each in data or ())


def _url(address: tuple[str, int]) -> str:
    return f"http://{address[0]}:{address[1]}"


def _get(address: tuple[str, int], path: str) -> Any:  # noqa: ANN401 - whatever it answers
    connection = http.client.HTTPConnection(*address, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return json.loads(answer.read(1 << 20)) if answer.status == 200 else None
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()


def ollama_process(host: Host) -> tuple[User, bool] | None:
    """Who runs ``ollama serve``, with the groups that the process really has, and whether systemd started it."""
    for comm in host.glob("/proc/[0-9]*/comm"):
        if host.read(comm) != "ollama" or "serve" not in host.read(comm.with_name("cmdline")).split("\0"):
            continue
        status = host.read(comm.with_name("status"))
        uid = re.search(r"^Uid:\s+\d+\s+(\d+)", status, re.M)
        gid = re.search(r"^Gid:\s+\d+\s+(\d+)", status, re.M)
        groups = re.search(r"^Groups:[ \t]*(.*)$", status, re.M)
        if uid and gid:
            ids = {int(gid[1]), *map(int, (groups[1] if groups else "").split())}
            by_systemd = ".service" in host.read(comm.with_name("cgroup")).rpartition("/")[2]
            return User(host.user_name(int(uid[1])), int(uid[1]), frozenset(ids)), by_systemd
    return None


def ollama_unit_user(host: Host) -> str:
    """The account that Ollama's systemd unit names; ``""`` when there is no unit."""
    for folder in ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"):
        if text := host.read(f"{folder}/ollama.service"):
            match = re.search(r"^User=(\S+)", text, re.M)
            return match[1] if match else "root"
    return ""
