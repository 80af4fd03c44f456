"""runner=ray on two simulated nodes: the archive is the one a run without a cluster writes, also when a node is taken away."""

import gc
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llmc import viewstore
from llmc.archive import Archive

ray = pytest.importorskip("ray", reason="pip install 'llmc-cli[ray]'")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # Ray's own

DOCUMENTS = 200


@pytest.fixture
def cluster(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head with one processor and a node with one, each a process of its own."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    made.second = made.add_node(num_cpus=1)
    yield made
    made.shutdown()
    gc.collect()  # Ray leaves pipes open: their warnings belong here, where they are ignored


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    rng = random.Random(2)
    names, things = ("Anna", "José", "Kwame", "Marta"), ("lease", "roof", "invoice", "delivery", "budget", "contract")
    folder = tmp_path / "in"
    folder.mkdir()
    for i in range(DOCUMENTS):
        sentences = [
            f"{rng.choice(names)} said on {rng.randint(1, 28)} March 2026 that the {rng.choice(things)} {rng.randint(1, 999)} "
            f"costs {rng.randint(100, 99999):,} EUR and {rng.choice(('is', 'is not'))} part of the {rng.choice(things)}."
            for _ in range(12)
        ]
        (folder / f"{i:03}.md").write_text(" ".join(sentences))
    return folder


def content(archive: Path) -> tuple[dict[str, bytes], list[dict[str, Any]]]:
    """The exact layer's bytes, and the views without the times they took."""
    exact = {f.name: f.read_bytes() for f in archive.iterdir() if f.name.startswith(("docs-", "blocks-", "manifest"))}
    opened = Archive.open(archive)
    rows = [row for part in opened.manifest.parts for row in viewstore.rows(opened, part)]
    for row in rows:
        row["seconds"] = None
        row["attempts"] = [{**attempt, "seconds": None} for attempt in row["attempts"]]
    return exact, rows


def options(cluster: Any) -> list[str]:
    return ["runner=ray", f"runner.address={cluster.address}", "runner.documents_per_task=8", "profile.offline=false"]


def test_the_archive_is_the_one_a_run_without_a_cluster_writes(llmc, cluster, documents: Path, tmp_path: Path):
    words = ["compress", f"input={documents}", "view=extract", "codec.options.block_bytes=20000"]
    llmc(*words, f"output={tmp_path / 'here.llmc'}").ok()
    said = llmc(*words, f"output={tmp_path / 'there.llmc'}", *options(cluster), timeout=300).ok().json
    assert said["run"]["documents_viewed"] == DOCUMENTS
    assert content(tmp_path / "there.llmc") == content(tmp_path / "here.llmc")


def test_a_node_taken_away_in_the_middle_costs_nothing_but_time(llmc, cluster, documents: Path, tmp_path: Path, fake):
    server = fake("cloud", "--service-seconds", 0.05)
    words = [
        "compress",
        f"input={documents}",
        "profile=cloud",
        "profile.ladder=[cloud]",
        "provider=gateway",
        f"provider.base_url={server.url}/v1",
        "provider.model=fake",
        "cache.enabled=false",
    ]
    llmc(*words, f"output={tmp_path / 'here.llmc'}", timeout=300).ok()
    asked = len([each for each in server.log if each.get("path", "").endswith("/chat/completions")])
    running = llmc.start(*words, f"output={tmp_path / 'there.llmc'}", *options(cluster))
    deadline = time.monotonic() + 120
    while sum(len(f.read_bytes().splitlines()) for f in tmp_path.glob("there.llmc/*.journal")) < 30:
        assert time.monotonic() < deadline
        assert running.poll() is None, running.communicate()
        time.sleep(0.05)
    cluster.remove_node(cluster.second, allow_graceful=False)
    _, said = running.communicate(timeout=300)
    assert running.returncode == 0, said
    assert content(tmp_path / "there.llmc") == content(tmp_path / "here.llmc")
    again = len([each for each in server.log if each.get("path", "").endswith("/chat/completions")]) - asked
    assert asked <= again <= asked + 2 * 8 * 4  # a lost task's documents are asked for again, and no others


def test_without_an_address_or_with_a_budget_it_says_so(llmc_inside, documents: Path, tmp_path: Path):
    words = ["compress", f"input={documents}", f"output={tmp_path / 'a.llmc'}", "view=extract", "runner=ray"]
    assert llmc_inside(*words).error(2) == ("runner=ray needs the address of the cluster", "runner.address=HOST:6379")
    message, _ = llmc_inside(*words, "budget.run.requests=5").error(2)
    assert "runner=ray cannot keep it" in message


def test_under_profile_local_a_cluster_whose_nodes_are_all_here_may_be_used(llmc, cluster, documents: Path, tmp_path: Path):
    address = f"127.0.0.1:{cluster.address.rpartition(':')[2]}"
    words = ["compress", f"input={documents}", f"output={tmp_path / 'a.llmc'}", "view=none", "runner=ray"]
    said = llmc(*words, f"runner.address={address}", timeout=300).ok().json
    assert said["run"]["stored"] == DOCUMENTS
