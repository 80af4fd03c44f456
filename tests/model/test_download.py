"""One file from hosts that misbehave, over several connections at once; what each host sent is counted by itself."""

import hashlib
import json
import random

import pytest

from llmc.errors import PullError
from llmc.model.download import Fetched, Limits, Remote, exclusive, fetch

CONTENT = random.Random(3).randbytes(1_000_000)
OTHER = random.Random(4).randbytes(1_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
QUICK = Limits(min_segment_bytes=100_000, stall_seconds=0.3, wait_seconds=0.01, max_wait_seconds=0.05)


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "root"
    folder.mkdir()
    (folder / "file").write_bytes(CONTENT)
    (folder / "other").write_bytes(OTHER)
    (folder / "longer").write_bytes(CONTENT + b"more")
    (folder / "shorter").write_bytes(CONTENT[:-1])
    return folder


@pytest.fixture
def host(fake, root):
    return lambda *flags: fake("file_server", "--root", root, *flags)


def offer(server, sha256=SHA256, size=1_000_000, **more):
    return Remote(f"{server.url}/own/file", sha256, size, **more)


def sent(server):
    return sum(line["sent"] for line in server.log)


def refused(server, path, limits=QUICK, offered=None, **options):
    with pytest.raises(PullError) as caught:
        fetch(offered or offer(server), path, limits=limits, **options)
    return caught.value.message, caught.value.hint


def left(path):
    return sorted(p.name for p in path.parent.iterdir() if p.name.startswith(path.name) and p.suffix != ".log")


def test_segments_are_fetched_at_once_and_each_byte_once(host, tmp_path):
    server = host("--slow", 2_000_000)
    path = tmp_path / "file"
    assert fetch(offer(server), path, limits=QUICK) == Fetched(SHA256, 1_000_000)
    assert path.read_bytes() == CONTENT
    assert left(path) == ["file"]
    assert {line["range"] for line in server.log} == {f"bytes={i}-{i + 99_999}" for i in range(0, 1_000_000, 100_000)}
    assert max(line["at_once"] for line in server.log) == QUICK.connections
    assert sent(server) == 1_000_000


def test_a_file_of_no_bytes_is_a_file(host, tmp_path):
    path = tmp_path / "file"
    fetch(offer(host(), hashlib.sha256(b"").hexdigest(), 0), path)
    assert path.read_bytes() == b""


@pytest.mark.parametrize("size", [1, 99_999, 100_000, 100_001, 999_999])
def test_the_last_segment_is_as_long_as_it_is(host, root, tmp_path, size):
    (root / "file").write_bytes(CONTENT[:size])
    path = tmp_path / "file"
    fetch(offer(host(), hashlib.sha256(CONTENT[:size]).hexdigest(), size), path, limits=QUICK)
    assert path.read_bytes() == CONTENT[:size]


def test_connections_that_drop_go_on_where_they_stopped(host, tmp_path):
    server = host("--drop-after", 30_000, "--drops", 12)
    fetch(offer(server), tmp_path / "file", limits=QUICK)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert sent(server) == 1_000_000


def test_a_connection_that_falls_silent_is_given_up_and_its_segment_goes_on(host, tmp_path):
    server = host("--stall-after", 30_000, "--stalls", 4)
    fetch(offer(server), tmp_path / "file", limits=QUICK)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert sent(server) == 1_000_000


def test_a_host_that_always_falls_silent_is_an_error_that_keeps_what_came(host, tmp_path):
    server = host("--stall-after", 0)
    message, hint = refused(server, tmp_path / "file", Limits(stall_seconds=0.1, attempts=2, wait_seconds=0.01))
    assert message == f"{server.url}/own/file could not be fetched: no byte for 0.1 s"
    assert hint == "run the same command again: it goes on where it stopped"


def test_attempts_are_counted_only_while_nothing_comes(host, tmp_path):
    server = host("--drop-after", 1_000)
    fetch(
        offer(server),
        tmp_path / "file",
        limits=Limits(min_segment_bytes=1 << 20, attempts=2, wait_seconds=0, max_wait_seconds=0),
    )
    assert len(server.log) == 1_000


def test_a_host_that_sends_nothing_is_given_up_after_so_many_attempts(host, tmp_path):
    server = host("--status", 503)
    message, _ = refused(server, tmp_path / "file", Limits(attempts=3, wait_seconds=0.01))
    assert message.endswith("could not be fetched: the server answered 503")
    assert len(server.log) == 3


def test_a_host_that_is_too_busy_is_asked_again(host, tmp_path):
    fetch(offer(host("--status", 429, "--statuses", 3, "--retry-after", 1)), tmp_path / "file", limits=QUICK)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_host_that_ignores_ranges_is_asked_for_the_whole_file(host, tmp_path):
    server = host("--ignore-range")
    fetch(offer(server), tmp_path / "file", limits=QUICK)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert None in [asked["range"] for asked in server.log]  # not the last: one given up on may be noted later


def test_a_host_that_ignores_ranges_and_drops_starts_from_zero(host, tmp_path):
    server = host("--ignore-range", "--drop-after", 500_000, "--drops", 6)
    fetch(offer(server), tmp_path / "file", limits=QUICK)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_file_of_unknown_size_is_fetched_in_one_piece(host, tmp_path):
    server = host("--drop-after", 500_000, "--drops", 1)
    assert fetch(offer(server, size=None), tmp_path / "file", limits=QUICK).received_bytes == 1_500_000
    assert (tmp_path / "file").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("name", "said"), [("longer", "has 1000004 bytes where 1000000 are expected"), ("shorter", "has 999999 bytes where")]
)
def test_a_file_of_another_length_is_refused_at_once(host, tmp_path, name, said):
    server = host("--replace", name)
    message, hint = refused(server, tmp_path / "file")
    assert said in message
    assert hint == "run it again later"
    assert not (tmp_path / "file").exists()


def test_a_file_replaced_midway_by_one_of_the_same_length_is_not_mixed_with_it(host, tmp_path):
    server = host("--replace", "other", "--replace-after", 450_000)
    digest = hashlib.sha256(OTHER).hexdigest()
    fetched = fetch(offer(server), tmp_path / "file", again=lambda: offer(server, digest), limits=QUICK)
    assert fetched.sha256 == digest
    assert (tmp_path / "file").read_bytes() == OTHER
    assert left(tmp_path / "file") == ["file"]


def test_a_file_replaced_midway_by_a_longer_one_is_not_mixed_with_it(host, tmp_path):
    server = host("--replace", "longer", "--replace-after", 450_000)
    longer = offer(server, hashlib.sha256(CONTENT + b"more").hexdigest(), len(CONTENT) + 4)
    fetch(offer(server), tmp_path / "file", again=lambda: longer, limits=QUICK)
    assert (tmp_path / "file").read_bytes() == CONTENT + b"more"


def test_a_file_replaced_midway_that_nobody_announces_leaves_nothing(host, tmp_path):
    server = host("--replace", "other", "--replace-after", 450_000)
    message, _ = refused(server, tmp_path / "file", again=lambda: offer(server))
    assert "has sha256" in message
    assert message.endswith("deleted")
    assert left(tmp_path / "file") == []


def test_hosts_that_name_the_same_file_differently_are_still_one_download(host, tmp_path):
    server = host("--new-etags", "--slow", 2_000_000)
    fetch(offer(server), tmp_path / "file", again=lambda: offer(server), limits=QUICK)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert sent(server) < 1_600_000


def test_a_file_that_never_stays_the_same_is_given_up(host, tmp_path):
    server = host("--new-etags")
    count = iter(range(100))
    with pytest.raises(PullError, match="changes while it is being downloaded"):
        fetch(offer(server), tmp_path / "file", again=lambda: offer(server, f"{next(count):064}"), limits=QUICK)


def test_an_interrupted_download_goes_on_with_what_each_segment_has(host, tmp_path):
    path = tmp_path / "file"
    refused(host("--drop-after", 40_000, "--status", 500, "--statuses", 0), path, Limits(min_segment_bytes=100_000, attempts=1))
    head, *counters = (tmp_path / "file.part.state").read_text().splitlines()
    assert json.loads(head) == {"sha256": SHA256, "bytes": 1_000_000, "segment_bytes": 100_000}
    have = sum(map(int, counters))
    assert 40_000 <= have <= 160_000
    server = host()
    assert fetch(offer(server), path, limits=QUICK).received_bytes == 1_000_000 - have == sent(server)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    "damage",
    [
        lambda part, state: state.write_text("nonsense"),
        lambda part, state: state.write_text("[]\n0\n"),
        lambda part, state: state.write_text(state.read_text()[:-30]),
        lambda part, state: state.write_text(state.read_text().replace("100000}", "7}")),
        lambda part, state: state.write_text(state.read_text().replace(SHA256, "0" * 64)),
        lambda part, state: state.unlink(),
        lambda part, state: part.unlink(),
        lambda part, state: part.write_bytes(b"short"),
    ],
)
def test_a_state_that_does_not_fit_its_part_is_not_believed(host, tmp_path, damage):
    path = tmp_path / "file"
    refused(host("--drop-after", 40_000), path, Limits(min_segment_bytes=100_000, attempts=1))
    damage(tmp_path / "file.part", tmp_path / "file.part.state")
    fetch(offer(host()), path, limits=QUICK)
    assert path.read_bytes() == CONTENT


def test_bytes_changed_in_the_part_are_found_by_the_digest_and_the_next_run_works(host, tmp_path):
    path, server = tmp_path / "file", host()
    refused(host("--drop-after", 40_000), path, Limits(attempts=1))
    part = bytearray((tmp_path / "file.part").read_bytes())
    part[:100] = bytes(100)
    (tmp_path / "file.part").write_bytes(part)
    message, _ = refused(server, path)
    assert "deleted" in message
    assert left(path) == []
    fetch(offer(server), path, limits=QUICK)
    assert path.read_bytes() == CONTENT


def test_the_bytes_that_are_here_are_told_while_they_come(host, tmp_path):
    told = []
    fetch(offer(host()), tmp_path / "file", on_bytes=told.append, limits=QUICK)
    assert told == sorted(told)
    assert (told[0], told[-1]) == (0, 1_000_000)


def test_a_licence_page_is_named_when_a_blob_is_closed(host, tmp_path):
    server = host("--status", 403)
    message, hint = refused(server, tmp_path / "file", offered=offer(server, publisher="https://example.org/someone/tiny"))
    assert message == f"{server.url}/own/file is not open to you (403)"
    assert hint == "accept the licence at https://example.org/someone/tiny, then set HF_TOKEN"


def test_secrets_in_an_address_are_not_shown(host, tmp_path):
    server = host("--status", 404)
    address = f"{server.url}/own/file?signature=secret".replace("://", "://user:password@")
    message, _ = refused(server, tmp_path / "file", offered=Remote(address, SHA256, 5))
    assert message == f"{server.url}/own/file does not exist (404)"


def test_who_waits_for_another_is_told_so(tmp_path):
    told = []
    with exclusive(tmp_path / "file", lambda: told.append("first")):
        pass
    assert told == []
