"""One row of gpu.py: a block of toy seeds. Print one line of JSON.

python benchmarks/gpu_toy.py SEEDS [--dry]
"""

import argparse
import dataclasses
import json

from toy import STEPS, block_times, published_organism

SMALL = {"depth": 3, "width": 8, "install_start": 1, "install_length": 1}


def main() -> None:
    """Compile stage 1 of the toy arm for a block, and train it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seeds", type=int)
    parser.add_argument("--dry", action="store_true", help="a small network, few steps")
    args = parser.parse_args()
    organism = published_organism()
    if args.dry:
        organism = dataclasses.replace(organism, **SMALL)
    steps, repeats = (5, 1) if args.dry else (STEPS, 5)
    compiling, step = block_times(args.seeds, organism, steps, repeats)
    print(json.dumps({"s to compile": compiling, "ms a step": 1e3 * step}))


if __name__ == "__main__":
    main()
