"""What ``import llmc`` promises, and what it does not load."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import llmc


def test_the_surface_is_these_names_in_order():
    assert llmc.__all__ == [
        "Archive", "Codec", "Engine", "LlmcError", "Policy", "Verdict", "View", "check", "compress", "restore",
    ]  # fmt: skip
    assert llmc.__all__ == sorted(llmc.__all__)


@pytest.mark.parametrize("name", llmc.__all__)
def test_every_name_can_be_imported_and_is_explained(name):
    assert (getattr(llmc, name).__doc__ or "").strip()


def test_the_type_checker_sees_the_same_names():
    tree = ast.parse(Path(inspect.getfile(llmc)).read_text())
    (guarded,) = (n for n in tree.body if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.unparse(n.test))
    seen = {a.name: n.module for n in guarded.body if isinstance(n, ast.ImportFrom) for a in n.names}
    assert sorted(seen) == llmc.__all__
    assert {name: getattr(importlib.import_module(module), name) for name, module in seen.items()} == {
        name: getattr(llmc, name) for name in llmc.__all__
    }


def test_what_the_package_shows_in_its_documentation_is_public():
    shown = set(re.findall(r"\bllmc\.([A-Za-z]\w*)", llmc.__doc__)) - {"llmc"}
    assert shown
    assert shown <= set(llmc.__all__)


def test_the_example_of_the_documentation_says_what_it_gives():
    call, name, result = re.search(r"llmc\.(check\(.*?\))\[(\".*?\")\]\.passed +# (\w+)", llmc.__doc__).groups()
    assert str(eval(f"llmc.{call}[{name}].passed")) == result


def test_another_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = llmc.nothing


def test_importing_llmc_loads_nothing_heavy():
    heavy = "{'hydra', 'omegaconf', 'pyarrow', 'numpy', 'httpx', 'rich', 'nupunkt', 'zstandard'}"
    code = f"import sys, llmc; heavy = {heavy} & set(sys.modules); assert not heavy, heavy; print(llmc.__version__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", done.stdout)


def test_the_package_says_that_it_is_typed():
    assert (Path(inspect.getfile(llmc)).parent / "py.typed").is_file()


def test_the_library_prints_nothing(tmp_path, capfd):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_bytes(b"text")
    llmc.compress(tmp_path / "in", tmp_path / "a.llmc", view="none")
    llmc.restore(tmp_path / "a.llmc", tmp_path / "back")
    assert (tmp_path / "back" / "a.txt").read_bytes() == b"text"
    assert capfd.readouterr() == ("", "")
