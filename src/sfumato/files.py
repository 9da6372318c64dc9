"""Writing files so that nothing half-made or belonging to another run is ever left or lost.

A path that cannot be an output is the user's mistake (``OutputError``, exit code 2). A good path that
cannot be written, as on a full disk, is a failure (``WriteError``, exit code 1).
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from pathlib import Path

from sfumato.errors import OutputError, WriteError

_MISTAKES = frozenset(
    (
        errno.EACCES,
        errno.EEXIST,
        errno.EISDIR,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.ENOTDIR,
        errno.EPERM,
    )
)


def is_bad_path(error: OSError) -> bool:
    """Return whether the path is at fault, and not the disk or what happened meanwhile.

    >>> is_bad_path(NotADirectoryError(errno.ENOTDIR, "")), is_bad_path(OSError(errno.ENOSPC, ""))
    (True, False)
    """
    return error.errno in _MISTAKES


def cannot_write(path: Path, error: OSError) -> OutputError:
    """Return the error to raise where the operating system did not take an output.

    >>> cannot_write(Path("t.tsv"), OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    WriteError('t.tsv: cannot be written (No space left on device)')
    """
    kind = OutputError if is_bad_path(error) else WriteError
    return kind(f"{path}: cannot be written ({error.strerror or error})")


def require_writable(path: Path) -> None:
    """Refuse a path that could not become a file, before any work is done; nothing on disk is changed.

    Raises:
        OutputError: it is a folder, a name in it is too long, or the nearest existing folder above it is
            no folder or not writable.
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


def _exists(path: Path) -> bool:
    """Return whether there is something; ``Path.exists`` raises where a name is too long."""
    try:
        return path.exists()
    except OSError:
        return False


def _require_short(path: Path, folder: Path) -> None:
    """Refuse names longer than ``folder``, the last one that exists, can hold."""
    longest = os.pathconf(folder, "PC_NAME_MAX")
    for name in path.parts:
        if len(os.fsencode(name)) > longest:
            raise OutputError(
                f"the name {name[:40]}... has {len(os.fsencode(name))} bytes; at most {longest} are possible"
            )
    longest = os.pathconf(folder, "PC_PATH_MAX")
    if len(os.fsencode(path)) >= longest:
        raise OutputError(
            f"the path {str(path)[:40]}... has {len(os.fsencode(path))} bytes; at most {longest - 1} are "
            "possible"
        )


def write_text(path: Path, text: str) -> None:
    """Write ``text`` in UTF-8 as ``write_bytes`` does.

    Raises:
        OutputError: it cannot be written.
    """
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` so that at any moment the file is the old or the new one, whole.

    A device or a pipe, which cannot be replaced, is written to as it is.

    Raises:
        OutputError: the path cannot be an output.
        WriteError: the disk is full, or writing fails otherwise.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.parent == Path("/dev") or (path.exists() and not path.is_file() and not path.is_dir()):
            path.write_bytes(content)
        else:
            _replace(path, content)
    except OSError as error:
        raise cannot_write(path, error) from error


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
