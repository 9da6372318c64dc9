"""Holding a file or folder for one process alone, so that two runs never write one output.

A lock is an ``flock`` of the operating system: it ends with the process that holds it, however that
ends, so that a killed run blocks nobody.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from sfumato.errors import MissingPackageError, OutputError, WriteError
from sfumato.files import is_bad_path

try:
    import fcntl
except ModuleNotFoundError:  # Windows; what locks nothing can still be imported there
    fcntl = None  # type: ignore[assignment]


def try_lock(file: IO[Any]) -> bool:
    """Lock the open file for this process alone; return False where another one holds it.

    Raises:
        MissingPackageError: the operating system is Windows.
        OSError: the file system cannot lock.
    """
    if fcntl is None:
        raise MissingPackageError(
            "files cannot be locked here: Windows is not supported; run Sfumato in WSL, the Windows "
            "Subsystem for Linux"
        )
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def locked(output: Path, lock: Path | None = None) -> Iterator[None]:
    """Hold ``output`` for this process alone while the block runs.

    What is locked is a hidden file, ``lock`` or one beside the output, which is gone afterwards. Another
    spelling of the path leads to the same lock.

    Raises:
        OutputError: another run holds it, or it cannot be locked.
    """
    place = lock or output.with_name(f".{output.name}.lock")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        # the last part is not resolved: an output that is a link is replaced, not followed
        place = place.parent.resolve() / place.name
        file = _opened(place)
        while (held := try_lock(file)) and not _is_at(file, place):
            # whoever held it has removed it since it was opened
            file.close()
            file = _opened(place)
    except OSError as error:
        kind = OutputError if is_bad_path(error) else WriteError
        raise kind(f"{output}: cannot be locked ({error.strerror or error})") from error
    with file:
        if not held:
            process = file.read(20).strip() or "unknown"
            raise OutputError(
                f"{output}: another run (process {process}) holds it; wait for it or choose another output"
            )
        with contextlib.suppress(OSError):  # who holds it is for messages only; the disk may be full
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()
        try:
            yield
        finally:
            if _is_at(file, place):
                place.unlink(missing_ok=True)


def _opened(place: Path) -> IO[str]:
    """Return the lock's file, made if it is not there; a link is not followed."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    return os.fdopen(os.open(place, flags, 0o666), "r+", encoding="utf-8")


def _is_at(file: IO[str], place: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.lstat(place))
    except FileNotFoundError:
        return False
