"""The README's commands, run as they stand there."""

import re
import shlex
from pathlib import Path

import pytest

README = (Path(__file__).parent.parent / "README.md").read_text()
COMMANDS = [
    line.split("  #")[0].strip()
    for line in README.split("## Tasks")[1].split("## Settings")[0].splitlines()
    if line.startswith("    llmc ")
]
NOTE = "On 12 March 2026 the board voted 7-2 to extend the lease. The rent falls to 4,850 EUR per month from April. " * 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("readme")
    (path / "notes").mkdir()
    (path / "notes" / "board.md").write_text(NOTE)
    (path / "notes" / "2026-03-12.md").write_text("Milk and bread.")
    (path / "log.jsonl").write_text('{"text": "one line"}\n')
    return path


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_readme_works(command: str, folder: Path, llmc, weights: Path):
    words = shlex.split(command)
    assert llmc(*words[1:], cwd=folder, timeout=120).code == 0


def test_the_readme_names_every_target_and_option():
    from llmc.cli import CONF, target_files

    for target in target_files():
        assert f"llmc {target}" in README, target
    for group in ("view", "codec", "model", "quant", "profile", "policy", "engine"):
        for option in (CONF / group).glob("*.yaml"):
            assert f"`{option.stem}`" in README, option


def test_the_python_of_the_readme_works(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(folder)
    code = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[0]
    exec(code, {})
    assert NOTE in capsys.readouterr().out.replace("\\n", "\n")
