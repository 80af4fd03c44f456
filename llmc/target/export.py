"""llmc deploy export=systemd|compose|command: what would start the server without llmc, written instead of started.

The server's key is in a file that only its owner can read, and the exported text names the file; llmc finds it there when it
uses the server (``engine.url=``). The port is the engine's usual one unless ``engine.port`` says otherwise: a unit keeps it.
"""

import json
import os
import secrets
import shlex
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from llmc.engine import Engine
from llmc.engine.served import Served, key_file
from llmc.errors import UsageError
from llmc.schema import RunConfig

KINDS = ("systemd", "compose", "command")
# What a container must be given to see a GPU.
_GPU: dict[str, dict[str, Any]] = {
    "cuda": {
        "deploy": {"resources": {"reservations": {"devices": [{"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}]}}}
    },
    "rocm": {"devices": ["/dev/kfd", "/dev/dri"]},
    "vulkan": {"devices": ["/dev/dri"]},
}


@dataclass(slots=True)
class Exported:
    """Where it was written; ``-`` is standard output."""

    output: str
    kind: str
    url: str
    next: str


def export(config: RunConfig, engine: Engine) -> Exported:
    """Write it to ``output=``, or to standard output."""
    if not isinstance(engine, Served):
        raise UsageError(
            f"engine={engine.name} ends with llmc: there is nothing to export",
            hint=f"llmc deploy engine=llama_server export={config.export}",
        )
    if config.export == "compose" and engine.name == "ollama":
        raise UsageError(
            "export=compose does not know Ollama's container, which keeps models of its own",
            hint="docker run -d -p 127.0.0.1:11434:11434 -e OLLAMA_MODELS=/models -v ollama:/models ollama/ollama",
        )
    if config.engine.threads is None:  # what is busy while this is written says nothing of the day it runs
        cores = len(os.sched_getaffinity(0))
        engine.config = replace(config, engine=replace(config.engine, threads=cores))
    port = config.engine.port or engine.usual_port
    key = _key(engine)
    text = {"systemd": systemd, "compose": compose, "command": command}[str(config.export)](engine, port, key)
    if not config.output or config.output == "-":
        sys.stdout.write(text)
        return Exported("-", str(config.export), f"http://127.0.0.1:{port}", "")
    path = Path(config.output).expanduser()
    if path.exists() and not config.force:
        raise UsageError(f"{path} exists", hint="force=true overwrites it")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    quoted = shlex.quote(str(path))
    then = {
        "systemd": f"systemctl --user enable --now {shlex.quote(str(path.absolute()))}",
        "compose": f"docker compose -f {quoted} up -d",
        "command": f"sh {quoted}",
    }
    return Exported(str(path), str(config.export), f"http://127.0.0.1:{port}", then[str(config.export)])


def _key(engine: Served) -> Path | None:
    """The file with the server's key, made once; None for a server that knows none."""
    if not engine.key_variable:
        return None
    path = key_file(engine.server_name)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"{engine.key_variable}={secrets.token_hex(16)}\n")
    return path


def systemd(engine: Served, port: int, key: Path | None) -> str:
    """A unit for the user's own manager (``systemctl --user``)."""
    environment = "".join(f"Environment={_unit(f'{k}={v}')}\n" for k, v in engine.environment(port).items())
    line = " ".join(_unit(word, command=True) for word in engine.arguments(engine.find_program(), port))
    return f"""\
[Unit]
Description=llmc: {_percent(engine.model)} on {engine.name}
After=network.target

[Service]
Type=exec
ExecStart={line}
{environment}{f"EnvironmentFile={_percent(str(key))}" if key else ""}
Restart=on-failure
RestartSec=5
KillMode=control-group
TimeoutStopSec=20
NoNewPrivileges=yes
PrivateTmp=yes
UMask=0077

[Install]
WantedBy=default.target
"""


def _percent(text: str) -> str:
    return text.replace("%", "%%")


def _unit(word: str, *, command: bool = False) -> str:
    """A word as systemd.syntax(7) reads it; ``$`` only means something in a command line."""
    word = _percent(word.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n"))
    if command:
        word = word.replace("$", "$$")
    return word if word and all(c.isalnum() or c in "-_./=:,@%+" for c in word) else f'"{word}"'


def compose(engine: Served, port: int, key: Path | None) -> str:
    """A compose file; what is in it is JSON, which YAML contains, so that no name needs quoting rules."""
    config = engine.config
    image = config.engine.images.get(config.backend.name)
    if image is None:
        known = " ".join(f"backend={b}" for b in config.engine.images) or "none"
        raise UsageError(
            f"no container image of {engine.name} is known for backend={config.backend.name}; there is {known}",
            hint=f"your own: +engine.images.{config.backend.name}=IMAGE",
        )
    inside, volumes = engine.in_container()
    service: dict[str, Any] = {
        "image": image,
        "command": engine.arguments("", port, inside)[engine.image_words :],
        "ports": [f"127.0.0.1:{port}:{port}"],
        "volumes": volumes,
        "env_file": [str(key)] if key else [],
        "environment": {
            **engine.environment(port),
            **({"HF_HOME": "/huggingface"} if "huggingface:/huggingface" in volumes else {}),
        },
        "restart": "unless-stopped",
        **engine.container_options,
        **_GPU.get(config.backend.name, {}),
    }
    lines = "".join(f"    {name}: {json.dumps(value, ensure_ascii=False)}\n" for name, value in service.items() if value)
    named: dict[str, dict[str, str]] = {
        volume.partition(":")[0]: {} for volume in volumes if "/" not in volume.partition(":")[0]
    }
    text = f"services:\n  {json.dumps(engine.server_name)}:\n{lines}" + (f"volumes: {json.dumps(named)}\n" if named else "")
    return text.replace("$", "$$")  # else Compose takes it for a variable


def command(engine: Served, port: int, key: Path | None) -> str:
    """A shell script that becomes the server."""
    words = [f"{k}={v}" for k, v in engine.environment(port).items()] + engine.arguments(engine.find_program(), port)
    known = f"set -a\n. {shlex.quote(str(key))}\n" if key else ""
    return f"#!/bin/sh\n{known}exec env {shlex.join(words)}\n"
