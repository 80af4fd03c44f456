"""The machine as probes see it: files below a root, programs on a PATH, an environment, users. All of it can be another's.

Nothing here needs root or changes anything. A program that hangs, as ROCm's tools do when the driver does not answer, costs
``timeout_seconds`` and no more.
"""

import contextlib
import grp
import importlib.metadata
import os
import platform
import pwd
import shutil
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

READ_WRITE = 0o6


@dataclass(frozen=True, slots=True)
class Ran:
    """A finished program; ``code`` is None when it was stopped for taking too long."""

    code: int | None
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who opens devices; ``groups`` are ids."""

    name: str
    uid: int
    groups: frozenset[int]


@dataclass(frozen=True)
class Host:
    """This machine, or one that is described by files."""

    root: Path = Path("/")
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    timeout_seconds: float = 1.5
    """For each program; they run side by side, so this bounds the whole of a probe."""
    ports: Mapping[str, int] = field(default_factory=lambda: {"ollama": 11434, "llama_server": 8080, "vllm": 8000})
    """Where each engine listens unless told otherwise; these are asked whether somebody is there."""
    binaries: Mapping[str, str] = field(default_factory=dict)
    """Programs of engines that were named (``engine.binary``), to be taken before those on PATH."""

    @property
    def system(self) -> str:
        """``Linux``, ``Darwin``, ``Windows``."""
        return platform.system()

    def path(self, name: str) -> Path:
        """Where an absolute path of the machine is found."""
        return self.root / name.lstrip("/")

    def read(self, name: str | Path) -> str:
        """A text file, or ``""`` where there is none that may be read."""
        try:
            return (self.path(name) if isinstance(name, str) else name).read_text(errors="replace").strip()
        except OSError:
            return ""

    def number(self, name: str | Path) -> int | None:
        """A file that holds one whole number, decimal or 0x…; None where there is none."""
        try:
            return int(self.read(name), 0)
        except ValueError:
            return None

    def glob(self, pattern: str) -> list[Path]:
        """Paths that match, in order."""
        try:
            return sorted(self.root.glob(pattern.lstrip("/")))
        except OSError:
            return []

    def which(self, name: str) -> str | None:
        """A program on this machine's PATH."""
        return shutil.which(name, path=self.environ.get("PATH", os.defpath))

    def run(self, *argv: str, environ: Mapping[str, str] | None = None) -> Ran | None:
        """What a program says; None when it is not here. ``environ`` is added to the machine's."""
        program = self.which(argv[0])
        if program is None:
            return None
        process = subprocess.Popen(
            [program, *argv[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env={**self.environ, "LC_ALL": "C", **(environ or {})},
            start_new_session=True,
        )
        try:
            out, err = process.communicate(timeout=self.timeout_seconds)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):  # a tool stuck in the driver cannot even be killed
                process.communicate(timeout=0.2)
            return Ran(None, "", "")
        return Ran(process.returncode, out, err)

    def package(self, name: str) -> str:
        """The version of a package in the Python that runs llmc; ``""`` when it is not there."""
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return ""

    def me(self) -> User:
        """Whoever runs llmc."""
        return User(self.user_name(os.getuid()), os.getuid(), frozenset({*os.getgroups(), os.getgid()}))

    def user_name(self, uid: int) -> str:
        with contextlib.suppress(KeyError):
            return pwd.getpwuid(uid).pw_name
        return str(uid)

    def group_name(self, gid: int) -> str:
        with contextlib.suppress(KeyError):
            return grp.getgrgid(gid).gr_name
        return str(gid)

    def user(self, name: str) -> User | None:
        """An account and its groups, as a service started under it would have."""
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            return None
        return User(name, entry.pw_uid, frozenset(os.getgrouplist(name, entry.pw_gid)))

    def owner(self, path: Path) -> tuple[int, int, int] | None:
        """Permission bits, user id, group id of a path; None where there is none."""
        try:
            found = path.stat()
        except OSError:
            return None
        return found.st_mode & 0o777, found.st_uid, found.st_gid

    def may_open(self, path: Path, user: User) -> bool:
        """Whether a user may read and write a device; access lists, which desktops use for the person at the screen, are only
        seen for oneself."""
        if self.root == Path("/") and user.uid == os.getuid():
            return os.access(path, os.R_OK | os.W_OK)
        found = self.owner(path)
        if found is None:
            return False
        mode, uid, gid = found
        bits = mode >> 6 if uid == user.uid else mode >> 3 if gid in user.groups else mode
        return user.uid == 0 or bits & READ_WRITE == READ_WRITE
