"""Files: written completely or not at all, locked for one run, and the cache folder.

A path that cannot be an output is the user's mistake (``OutputError``, exit code 2). A good path that
cannot be written, as on a full disk, is a failure (``WriteError``, exit code 1).

A lock is an ``flock`` of the operating system: it ends with the process that holds it, however that
ends, so that a killed run blocks nobody.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from sfumato.errors import MissingPackageError, OutputError, WriteError

try:
    import fcntl
except ModuleNotFoundError:  # Windows; what locks nothing can still be imported there
    fcntl = None  # type: ignore[assignment]

_MISTAKES = {
    errno.EACCES,
    errno.EEXIST,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
    errno.EPERM,
}


def is_bad_path(error: OSError) -> bool:
    """Return whether the error is the fault of the path, and not of the disk or of a later event.

    >>> is_bad_path(NotADirectoryError(errno.ENOTDIR, "")), is_bad_path(OSError(errno.ENOSPC, ""))
    (True, False)
    """
    return error.errno in _MISTAKES


def cannot_write(path: Path, error: OSError, *, what: str = "written") -> OutputError:
    """Return the error to raise where the operating system did not take an output.

    >>> cannot_write(Path("t.tsv"), OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    WriteError('t.tsv: cannot be written (No space left on device)')
    """
    kind = OutputError if is_bad_path(error) else WriteError
    return kind(f"{path}: cannot be {what} ({error.strerror or error})")


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the operating system says of an output inside the block into one line.

    Raises:
        OutputError, WriteError: as ``cannot_write``.
    """
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        raise cannot_write(path, error) from error


def require_in_place(path: Path, opened: os.stat_result) -> None:
    """Refuse to go on writing a file that was removed or replaced; ``opened`` is its status at the opening.

    Raises:
        WriteError: the path now has no file, or another one.
    """
    with writing(path):
        there = path.stat() if path.exists() else None
    if there is None or not os.path.samestat(opened, there):
        raise WriteError(f"{path}: was removed or replaced while it was written; run again")


def require_writable(path: Path) -> None:
    """Refuse a path that cannot be written as a file, before any work is done; change nothing on disk.

    Raises:
        OutputError: it is a folder, a name in it is too long, or its nearest existing parent is not a
            writable folder.
    """
    if "\0" in str(path):
        raise OutputError(f"{str(path)!r}: holds a NUL character; choose a path without it")
    parent = path.parent
    while not _exists(parent) and parent != parent.parent:
        parent = parent.parent
    if not parent.is_dir():
        raise OutputError(f"{path}: {parent} is not a folder; choose a path inside a writable one")
    _require_short(path, parent)
    if path.is_dir():
        raise OutputError(f"{path}: is a folder; choose the name of a file")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(f"{path}: {parent} is not writable; choose a path inside a writable folder")


def require_no_input(path: Path, inputs: Iterable[Path]) -> None:
    """Refuse an output that is, by any name, one of the files that are read for it: it would be lost.

    Raises:
        OutputError: it is.
    """
    for one in inputs:
        if _exists(one) and _exists(path) and path.samefile(one):
            raise OutputError(
                f"{path}: is read, and would be replaced by what is written; choose another output"
            )


def _exists(path: Path) -> bool:
    """Return whether there is something; ``Path.exists`` raises where a name is too long."""
    try:
        return path.exists()
    except OSError:
        return False


def _require_short(path: Path, folder: Path) -> None:
    """Refuse names and a path longer than ``folder``, the last one that exists, can hold."""
    most = {kind: os.pathconf(folder, f"PC_{kind.upper()}_MAX") for kind in ("name", "path")}
    most["path"] -= 1  # it ends with a NUL
    for kind, text in (*(("name", name) for name in path.parts), ("path", str(path))):
        if (size := len(os.fsencode(text))) > most[kind]:
            raise OutputError(
                f"the {kind} {text[:40]}... has {size} bytes; at most {most[kind]} are possible"
            )


def write_text(path: Path, text: str) -> None:
    """Write ``text`` in UTF-8 as ``write_bytes`` does.

    Raises:
        OutputError: it cannot be written.
    """
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` so that at any moment the file is either the complete old or the complete new one.

    A device or a pipe, which cannot be replaced, is written to as it is.

    Raises:
        OutputError: the path cannot be an output.
        WriteError: the disk is full, or writing fails otherwise.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.parent == Path("/dev") or (path.exists() and not path.is_file() and not path.is_dir()):
            path.write_bytes(content)
        else:
            _replace(path, content)


def _replace(path: Path, content: bytes) -> None:
    """Write a new file in the same folder, and give it the place of ``path``.

    Nobody can foresee its name, and opening fails where the name is taken, by a link too. The user's umask
    decides who may read it.
    """
    part = path.with_name(f".sfumato-{secrets.token_hex(8)}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            # a disk may say only now that it is full
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise


def share_as_usual(path: Path) -> None:
    """Give a file that another package made for the user alone the rights that the umask gives new files.

    Raises:
        OutputError, WriteError: as ``cannot_write``.
    """
    probe = path.with_name(f".sfumato-{secrets.token_hex(8)}.part")
    with writing(path):
        # the umask cannot be read without changing it, for other threads too; a new file tells it
        descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            path.chmod(stat.S_IMODE(os.fstat(descriptor).st_mode))
        finally:
            os.close(descriptor)
            probe.unlink()


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

    The lock is on a hidden file (``lock``, or one beside the output), which is removed afterwards. Another
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
        raise cannot_write(output, error, what="locked") from error
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
    """Open the lock's file, and make it if it is missing; a link is not followed."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    return os.fdopen(os.open(place, flags, 0o666), "r+", encoding="utf-8")


def _is_at(file: IO[str], place: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.lstat(place))
    except FileNotFoundError:
        return False


def cache_folder(kind: str) -> Path:
    """Return the cache folder of this kind (``data``, ``tuning``, ...); its files can be made again.

    It lies under ``SFUMATO_CACHE`` where that is set, or else in the user's cache folder.
    """
    if chosen := os.environ.get("SFUMATO_CACHE"):
        return Path(chosen) / kind
    import pooch

    return Path(pooch.os_cache("sfumato")) / kind
