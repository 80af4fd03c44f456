"""Machines of others: a YAML each in ``hosts/``, made into a folder of files and of programs that say what was recorded."""

import shlex
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from llmc import schema
from llmc.machine import probe
from llmc.machine.found import Probed, Server
from llmc.machine.host import Host, User
from llmc.schema import RunConfig, TargetConfig

HERE = Path(__file__).parent
HOSTS = sorted(path.stem for path in (HERE / "hosts").glob("*.yaml"))
GIDS = {"root": 0, "video": 44, "render": 109, "users": 100, "ollama": 998}
UIDS = {"root": 0, "anna": 1000, "ollama": 997}


@dataclass(frozen=True)
class Described(Host):
    """A host whose accounts and device permissions are written down, because a test cannot make them."""

    devices: dict[str, Any] = field(default_factory=dict)
    users: dict[str, list[str]] = field(default_factory=dict)
    packages: dict[str, str] = field(default_factory=dict)
    kernel: str = "Linux"

    @property
    def system(self) -> str:
        return self.kernel

    def me(self) -> User:
        me = self.user("anna")
        assert me is not None
        return me

    def user(self, name: str) -> User | None:
        groups = frozenset(GIDS[group] for group in self.users.get(name, ()))
        return User(name, UIDS[name], groups) if name in self.users else None

    def user_name(self, uid: int) -> str:
        return next(name for name, number in UIDS.items() if number == uid)

    def group_name(self, gid: int) -> str:
        return next(name for name, number in GIDS.items() if number == gid)

    def owner(self, path: Path) -> tuple[int, int, int] | None:
        mode, user, group = self.devices["/" + str(path.relative_to(self.root))]
        return mode, UIDS[user], GIDS[group]

    def package(self, name: str) -> str:
        return self.packages.get(name, "")


def vulkaninfo(devices: list[dict[str, Any]]) -> str:
    """The parts of vulkaninfo's text that are read, in its own form; ``recorded/`` has a whole one of the real program."""
    lines = ["==========\nVULKANINFO\n==========\n", "Device Properties and Extensions:", "=" * 33]
    for number, device in enumerate(devices):
        vendor, _, model = device["pci"].partition(":")
        lines += [
            f"GPU{number}:",
            "VkPhysicalDeviceProperties:",
            "---------------------------",
            f"\tvendorID          = 0x{vendor}",
            f"\tdeviceID          = 0x{model}",
            f"\tdeviceType        = PHYSICAL_DEVICE_TYPE_{device['type']}",
            f"\tdeviceName        = {device['name']}",
            "VkPhysicalDeviceDriverProperties:",
            f"\tdriverName      = {device['driver']}",
            f"\tdriverInfo      = {device['info']}",
            "VkPhysicalDeviceMemoryProperties:",
            f"memoryHeaps: count = {len(device['heaps'])}",
        ]
        for index, (size, budget, usage, flags) in enumerate(device["heaps"]):
            lines += [
                f"\tmemoryHeaps[{index}]:",
                f"\t\tsize   = {size} (0x{size:08x})",
                f"\t\tbudget = {budget} (0x{budget:08x})",
                f"\t\tusage  = {usage} (0x{usage:08x})",
                "\t\tflags: count = 1\n\t\t\tMEMORY_HEAP_DEVICE_LOCAL_BIT" if flags else "\t\tflags: count = 0\n\t\t\tNone",
            ]
        lines.append("memoryTypes: count = 0")
    return "\n".join(lines) + "\n"


def program(folder: Path, name: str, said: Any) -> None:
    """An executable that prints what was recorded; ``flags`` gives it an answer for each first argument."""
    if isinstance(said, str):
        said = {"out": said}
    answers = said.get("flags", {"*": said})
    script = ["#!/bin/sh", 'case "$1" in']
    for number, (flag, answer) in enumerate(answers.items()):
        answer = {"out": answer} if isinstance(answer, str) else answer
        text = (HERE / "recorded" / answer["file"]).read_text() if "file" in answer else answer.get("out", "")
        file = folder / f".{name}-{number}"
        file.write_text(vulkaninfo(answer["vulkan"]) if "vulkan" in answer else text)
        hang = f"/bin/sleep {answer['hang']}; " if "hang" in answer else ""
        script.append(f"{flag}) {hang}/bin/cat {shlex.quote(str(file))}; exit {answer.get('code', 0)};;")
    path = folder / name
    path.write_text("\n".join([*script, "esac", ""]))
    path.chmod(0o755)


def configured(words: str) -> RunConfig:
    """As composed for ``llmc doctor WORDS``."""
    said = {"model": "smollm", "engine": "auto", "backend": "auto", "quant": "auto", "profile": "local"}
    said.update(word.split("=") for word in words.split())
    options = {group: schema.option(group, name) for group, name in said.items()}
    return RunConfig(target=TargetConfig("llmc.target.doctor.doctor"), **options)


def found(name: str, folder: Path, **environ: str) -> Probed:
    """What is probed there, with the servers that run there."""
    said = yaml.safe_load((HERE / "hosts" / f"{name}.yaml").read_text())
    servers = tuple(Server(**each) for each in said.get("servers", ()))
    probed = probe(described(name, folder, **environ))
    programs = {engine: replace(each, path=Path(each.path).name) for engine, each in probed.programs.items()}
    return replace(probed, servers=servers, programs=programs)


def described(name: str, folder: Path, **environ: str) -> Described:
    """The machine of ``hosts/NAME.yaml``, below a folder."""
    said = yaml.safe_load((HERE / "hosts" / f"{name}.yaml").read_text())
    root, programs = folder / name, folder / f"{name}-bin"
    programs.mkdir(parents=True)
    for path, text in said.get("files", {}).items():
        file = root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n" if text != "" else "")
    for path in said.get("devices", {}):
        file = root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    for each, answer in said.get("programs", {}).items():
        program(programs, each, answer)
    return Described(
        root,
        {"PATH": str(programs), **said.get("environ", {}), **environ},
        timeout_seconds=said.get("timeout_seconds", 10),
        ports={},
        devices=said.get("devices", {}),
        users={"anna": ["users"], **said.get("users", {})},
        packages={"xllamacpp": "2026.10.11549", **said.get("packages", {})},
        kernel=said.get("kernel", "Linux"),
    )
