"""Who may import whom: a module sees what is below it, and only three know Hydra."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "llmc"

# From the bottom. A name stands for a module or for a package with all that is in it.
LAYERS = (
    ("breakeven", "errors", "money", "units"),
    ("period", "state"),
    ("meter", "schema"),
    ("codec", "fidelity", "machine", "serving", "similar", "text"),
    ("parts",),
    ("archive", "cache", "documents", "engine", "model"),
    ("energy", "ledger", "monitor", "price"),
    ("route", "spending"),
    ("market", "owned"),
    ("worth",),
    ("view",),
    ("calibrations", "viewstore", "writer", "files", "stats", "diff"),
    ("pipeline", "gate"),
    ("bench",),
    ("api",),
    ("report", "runner"),
    ("make",),
    ("target",),
    ("cli",),
)
ALLOWED_UP = {
    ("report.tables", "make"),  # a table needs the type of what it shows
    ("report.tables", "target"),
}
MAY_IMPORT_HYDRA = {"cli", "make", "schema"}
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.name != "__main__.py" and path != PACKAGE / "__init__.py"
}


def imports(tree: ast.AST) -> Iterator[str]:
    """Full names of what is imported in these nodes; ``from a import b`` is both ``a`` and ``a.b``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def at_import_time(path: Path) -> set[str]:
    """What a module imports when it is imported: not in functions, not for the type checker only."""
    tree = ast.parse(path.read_text())
    found = set()
    for node in tree.body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.update(imports(node))
    return found


def ours(names: set[str]) -> set[str]:
    """Of these names the modules of llmc, as they are named in MODULES."""
    inside = {name.removeprefix("llmc.") for name in names if name.startswith("llmc.")}
    return {name for name in inside if name in MODULES}


def layer(module: str) -> int:
    return LEVEL[module.split(".")[0]]


def test_every_module_has_a_layer():
    assert {module.split(".")[0] for module in MODULES} == set(LEVEL)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_nothing_from_above(module):
    up = {
        name
        for name in ours(at_import_time(MODULES[module]))
        if layer(name) > layer(module) and (".".join(module.split(".")[:2]), name.split(".")[0]) not in ALLOWED_UP
    }
    assert not up, f"{module} imports {sorted(up)}"


def test_no_modules_import_each_other_in_a_circle():
    graph = {module: ours(at_import_time(path)) - {module} for module, path in MODULES.items()}
    for module in graph:  # a package's own __init__ runs first whatever is imported from it
        graph[module] = {name for name in graph[module] if not module.startswith(f"{name}.")}
    left = dict(graph)
    while free := [module for module, needs in left.items() if not needs & left.keys()]:
        for module in free:
            del left[module]
    assert not left, f"in a circle: {sorted(left)}"


@pytest.mark.parametrize("module", sorted(MODULES.keys() - MAY_IMPORT_HYDRA))
def test_only_three_modules_know_hydra(module):
    found = {name.split(".")[0] for name in imports(ast.parse(MODULES[module].read_text()))}
    assert not found & {"hydra", "omegaconf"}


@pytest.mark.parametrize("module", MODULES)
def test_a_module_opens_with_what_it_is_for(module):
    assert ast.get_docstring(ast.parse(MODULES[module].read_text()))


def test_what_is_imported_is_installed_or_the_standard_librarys():
    allowed = {
        "diskcache", "genai_prices", "opentelemetry", "prometheus_client", "ray", "regex", "rensa",
        "httpx", "hydra", "jinja2", "llmc", "markupsafe", "matplotlib", "numpy", "nupunkt", "omegaconf", "platformdirs",
        "psutil", "pyarrow", "pyppmd", "pytest", "pytest_benchmark", "rich", "scipy", "tenacity", "xllamacpp", "zstandard",
    }  # fmt: skip
    found = {n.split(".")[0] for path in MODULES.values() for n in imports(ast.parse(path.read_text()))}
    assert found - set(sys.stdlib_module_names) <= allowed
