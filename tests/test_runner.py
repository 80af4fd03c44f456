"""What comes back from a cluster, told to those who wait: without Ray, by a pool that fails or answers as a node does."""

import asyncio
import socket
from collections.abc import Callable
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from llmc import codec, pipeline, schema
from llmc.documents import Selection
from llmc.errors import EngineError, EngineUnavailable, UsageError
from llmc.meter import Call, Outcome, Unmetered
from llmc.runner import RemoteLadder, elsewhere
from llmc.target import compress
from llmc.view import Attempt
from llmc.view.ladder import no_view
from tests.route.falling import views


class Pool:
    """Answers at once with what ``answer`` makes of the work."""

    tasks = 1
    config = SimpleNamespace(documents_per_task=2)

    def __init__(self, answer: Callable[..., Any]) -> None:
        self.answer = answer

    def submit(self, function: Callable[..., Any], /, *args: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(self.answer(*args))
        return future


class Told(Unmetered):
    def __init__(self) -> None:
        self.calls: list[tuple[Call, Outcome]] = []

    def settle(self, call: Call, outcome: Outcome) -> None:
        self.calls.append((call, outcome))


@pytest.fixture
def ladder(composed):
    def made(answer: Callable[..., Any], meter: Any) -> RemoteLadder:
        config = schema.typed(composed("target=compress"))
        return RemoteLadder(Pool(answer), config, [], reuse=None, why="", meter=meter)

    return made


def test_what_a_rung_that_only_a_node_has_took_is_told(ladder):
    call = Call("1", "a.md", "qwen", True, "embedded", "", "qwen", 1)
    meter = Told()
    made = ladder(
        lambda config, version, jobs: ([no_view(9, Attempt("none", "kept"))] * len(jobs), [(call, Outcome("ok"))]), meter
    )

    async def views() -> list[Any]:
        async with asyncio.timeout(10):
            return await asyncio.gather(made.make("one", "a.md"), made.make("two", "b.md"))

    assert [view.kind for view in asyncio.run(views())] == ["none", "none"]
    assert meter.calls == [(call, Outcome("ok"))]


def test_whatever_goes_wrong_nobody_waits_for_ever(ladder):
    made = ladder(lambda *args: 1 / 0, Told())

    async def views() -> list[Any]:
        async with asyncio.timeout(10):
            return await asyncio.gather(made.make("one"), made.make("two"), return_exceptions=True)

    assert [type(each) for each in asyncio.run(views())] == [EngineUnavailable] * 2


def test_a_cluster_that_is_gone_is_a_run_that_goes_wrong(ladder, tmp_path):
    def gone(*args: Any) -> Any:
        raise ConnectionError("the cluster is gone")

    folder = tmp_path / "in"
    folder.mkdir()
    for i in range(20):
        (folder / f"{i}.txt").write_text("The lease ends in 2029. " * 40)
    made = ladder(gone, Told())
    with pytest.raises(EngineError, match=r"profile.max_failures=3; the last: .*the cluster is gone"):
        pipeline.compress(Selection(str(folder)), tmp_path / "a.llmc", codec.load("zstd"), made, max_failures=3)
    assert len(views(tmp_path / "a.llmc")) < 20


def test_nodes_on_other_machines_are_told_from_those_here():
    here = next(a.address for each in psutil.net_if_addrs().values() for a in each if a.family == socket.AF_INET)
    assert elsewhere(["127.0.0.1", here, "203.0.113.7"]) == ["203.0.113.7"]  # an address for examples (RFC 5737)


@pytest.mark.parametrize(
    ("address", "refused"),
    [("head:6379", True), ("ray://10.0.0.7:10001", True), ("127.0.0.1:6379", False), ("ray://localhost:10001", False)],
)
def test_under_profile_local_documents_travel_to_no_other_machine(composed, tmp_path, address, refused):
    (tmp_path / "a.txt").write_text("text")
    words = [
        f"input={tmp_path}/a.txt",
        f"output={tmp_path}/a.llmc",
        "view=extract",
        "runner=ray",
        f"runner.address='{address}'",
    ]

    def check(*more: str) -> None:
        compress.check(schema.typed(composed("target=compress", *words, *more)))

    if refused:
        with pytest.raises(UsageError, match="profile=local sends documents to no other machine") as error:
            check()
        assert "profile.offline=false" in error.value.hint
    else:
        check()
    check("profile.offline=false")
