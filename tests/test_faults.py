"""A run that is disturbed all the time: all documents are restored, all views were checked, none is made twice without need.

llmc and the server are killed, the server is busy, broken and silent, the disk takes no more, a second llmc wants the same
archive. After each kill what was done is noted; from then on no request may be for any of it.
"""

import json
import random
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

import llmc as library
from llmc import viewstore
from llmc.archive import Archive
from llmc.fidelity import check

FAKE = Path(__file__).parent / "fakes" / "cloud.py"
NUMBER = re.compile(r"Document number (\d+) of the file")
THINGS = ("lease", "roof", "invoice", "delivery", "contract", "noticeboard", "reserve", "garden", "library", "entrance")
KINDS = {
    "kill llmc": 14, "kill the server": 14, "429": 10, "500": 10, "503": 8, "drop": 10, "truncated": 8, "not-json": 8,
    "hang": 6, "disk": 5, "two": 7,
}  # fmt: skip
FULL_DISK_BYTES = 20_000  # a file may not grow beyond it: enough for small files, not for a journal of many views


def write(folder: Path, numbers: range) -> None:
    folder.mkdir(exist_ok=True)
    for n in numbers:
        rng = random.Random(n)
        sentences = [
            f"The {rng.choice(THINGS)} of house {rng.randint(1, 99)} was discussed on {rng.randint(1, 28)} March 2026 and "
            f"costs {rng.randint(100, 99_999):,} EUR for the {rng.choice(THINGS)}."
            for _ in range(14)
        ]
        (folder / f"{n:05}.txt").write_text(f"Document number {n} of the file. " + " ".join(sentences))


@dataclass(slots=True)
class Scene:
    """One archive being written while everything around it goes wrong."""

    folder: Path
    runner: object
    rng: random.Random
    documents: int = 0
    port: int = 0
    server: subprocess.Popen[bytes] | None = None
    process: subprocess.Popen[bytes] | None = None
    faults: Counter[str] = field(default_factory=Counter)
    done: set[int] = field(default_factory=set)
    notes: list[tuple[int, frozenset[int]]] = field(default_factory=list)
    """How many requests there had been, and which documents were done by then."""

    @property
    def archive(self) -> Path:
        return self.folder / "a.llmc"

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    def add(self, count: int) -> None:
        write(self.folder / "in", range(self.documents, self.documents + count))
        self.documents += count

    # -- the server ----------------------------------------------------------------------------------------------------------

    def start_server(self) -> None:
        self.log.touch()
        flags = ["--log", self.log, "--port", self.port, "--slots", 4, "--service-seconds", 0.1, "--hang", 3]
        argv = [sys.executable, FAKE, *map(str, flags)]
        self.server = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.server.stdout is not None
        assert self.server.stdout.readline(), "the fake server did not start"

    def kill_server(self) -> None:
        assert self.server is not None
        self.server.kill()
        self.server.communicate()

    def tell_server(self, **state: object) -> None:
        httpx.post(f"http://127.0.0.1:{self.port}/control", json=state, timeout=10, trust_env=False).raise_for_status()

    def asked(self) -> list[int]:
        """The document of each request, in order."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines()]
        chats = [line for line in lines if line["path"].endswith("/chat/completions")]
        return [int(NUMBER.search(chat["body"]["messages"][-1]["content"])[1]) for chat in chats]

    # -- llmc ----------------------------------------------------------------------------------------------------------------

    def words(self) -> list[str]:
        return [
            "compress", f"input={self.folder / 'in'}", f"output={self.archive}", "quiet=true", "codec.options.level=1",
            "profile=cloud", "profile.ladder=[cloud]", "provider=gateway", f"provider.base_url=http://127.0.0.1:{self.port}/v1",
            "provider.model=fake", "profile.max_failures=null", "profile.patience.tries=2", "similarity=null",
            "profile.patience.first_wait_seconds=0.05", "profile.patience.longest_wait_seconds=0.2",
            "profile.patience.rest_seconds=0.3", "engine.request_timeout_seconds=1",
        ]  # fmt: skip

    def start(self, *, full_disk: bool = False) -> subprocess.Popen[bytes]:
        limit = (FULL_DISK_BYTES, FULL_DISK_BYTES) if full_disk else (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        return subprocess.Popen(
            self.runner.argv(*self.words()),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd=self.folder,
            # Python itself would leave half of a compiled module behind on a disk that is full.
            env=self.runner.environ({"LLMC_HOME": str(self.folder / "home"), "PYTHONDONTWRITEBYTECODE": "1"}),
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit),
        )

    def running(self) -> subprocess.Popen[bytes]:
        """llmc at work; when it has finished it gets more to do."""
        if self.process is not None and self.process.poll() is not None:
            said = self.process.communicate()[1]
            assert self.process.returncode == 0, said
            self.process = None
            self.add(20)
        if self.process is None:
            self.process = self.start()
        return self.process

    def kill(self) -> None:
        process = self.running()
        process.send_signal(signal.SIGKILL)
        process.communicate()
        self.process = None
        self.note()

    def note(self) -> None:
        """What is done now, never less than before; what was said to be stored is intact, what is shown was checked."""
        requests = len(self.asked())
        try:
            archive = Archive.open(self.archive)
        except library.LlmcError:
            assert not self.done
            return
        assert not [problem for _, problem in archive.verify() if problem]
        rows = [row for part in archive.manifest.parts for row in viewstore.rows(archive, part)]
        done = {int(row["id"].removesuffix(".txt")) for row in rows if not row["retry"]}
        assert self.done <= done
        assert all(check["passed"] for row in rows if row["kind"] != "none" for check in row["verdict"])
        self.done = done
        self.notes.append((requests, frozenset(done)))

    # -- what goes wrong -----------------------------------------------------------------------------------------------------

    def disturb(self, kind: str) -> None:
        """One fault, while llmc works."""
        self.running()
        self.faults[kind] += 1
        if kind == "kill llmc":
            time.sleep(self.rng.uniform(0.2, 2.0))  # also while it starts
            self.kill()
        elif kind == "kill the server":
            self.kill_server()
            time.sleep(self.rng.uniform(0, 0.5))
            self.start_server()
        elif kind == "disk":
            self.kill()
            self.add(15)
            process = self.start(full_disk=True)
            _, said = process.communicate(timeout=120)
            assert process.returncode in (0, 1), said
            assert b"Traceback" not in said, said
            self.note()
        elif kind == "two":
            second = self.start()
            _, said = second.communicate(timeout=120)
            assert second.returncode == 0 or b"is being written by another llmc" in said, said
            if second.returncode == 0:  # the first one had ended, or had not begun
                self.process_may_have_lost()
        else:
            self.tell_server(fault=kind, times=1)
        time.sleep(self.rng.uniform(0.02, 0.3))

    def process_may_have_lost(self) -> None:
        """The first of two at once was the one that was refused."""
        if self.process is not None:
            _, said = self.process.communicate(timeout=120)
            assert self.process.returncode == 0 or b"is being written by another llmc" in said, said
            self.process = None

    def finish(self) -> None:
        """Undisturbed runs: of what is left, and of what an engine failed at meanwhile."""
        self.tell_server(fault=None)
        if self.process is not None:
            self.process.communicate(timeout=300)
        for _ in range(3):
            self.process = self.start()
            _, said = self.process.communicate(timeout=300)
            assert self.process.returncode == 0, said
            self.note()
            if len(self.done) == self.documents:
                break


def survive(scene: Scene, faults: Sequence[str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        scene.port = free.getsockname()[1]
    scene.start_server()
    try:
        scene.add(30)
        for kind in faults:
            scene.disturb(kind)
        scene.finish()
        everything = set(range(scene.documents))
        assert scene.done == everything

        library.restore(scene.archive, scene.folder / "back")
        written = {file.name: file.read_bytes() for file in (scene.folder / "in").iterdir()}
        assert {file.name: file.read_bytes() for file in (scene.folder / "back").iterdir()} == written

        archive = Archive.open(scene.archive)
        rows = [row for part in archive.manifest.parts for row in viewstore.rows(archive, part)]
        assert Counter(row["kind"] for row in rows)["gist"] == scene.documents
        for row in rows:
            assert check(written[row["id"]].decode(), row["text"]).passed

        asked = scene.asked()
        for requests, done in scene.notes:
            assert not done & set(asked[requests:]), "a document was asked for again though its view was there"
        before = len(asked)
        again = scene.start()
        _, said = again.communicate(timeout=120)
        assert again.returncode == 0, said
        assert len(scene.asked()) == before
        assert not list(scene.archive.glob("llmc-tmp-*"))
        sys.stderr.write(f"{dict(scene.faults)}: {scene.documents} documents, {before} requests, {len(scene.notes)} notes\n")
    finally:
        if scene.process is not None and scene.process.poll() is None:
            scene.process.kill()
            scene.process.communicate()
        scene.kill_server()


@pytest.mark.slow
def test_a_fault_of_each_costly_kind_costs_nothing_but_time(llmc, tmp_path: Path):
    survive(Scene(tmp_path, llmc, random.Random(4)), ["500", "kill llmc", "drop", "kill the server", "disk", "two"])


@pytest.mark.soak
def test_three_hundred_faults_in_one_long_run(llmc, tmp_path: Path):
    rng = random.Random(300)
    survive(Scene(tmp_path, llmc, rng), rng.choices(list(KINDS), weights=list(KINDS.values()), k=300))
