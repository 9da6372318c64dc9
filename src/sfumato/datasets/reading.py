"""Opening files that may be damaged, hostile, or too large for this machine."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sfumato.errors import DataError, SfumatoError, first_line

DEFLATE_LIMIT = 1032  # zlib cannot pack this many bytes and more into one

_KINDS = (
    (stat.S_ISDIR, "folder"),
    (stat.S_ISFIFO, "FIFO"),
    (stat.S_ISSOCK, "socket"),
    (stat.S_ISCHR, "device"),
    (stat.S_ISBLK, "device"),
)


@contextmanager
def damage_is_a_data_error(where: object, kind: str) -> Iterator[None]:
    """Turn whatever a parser of foreign bytes raises inside the block into one line.

    Parsers raise almost anything at damaged bytes (struct.error, SyntaxError, OverflowError, ...), so
    nothing but the parsing belongs inside the block.

    Raises:
        DataError: naming the file and the parser's own reason.
    """
    try:
        yield
    except SfumatoError:
        raise
    except Exception as error:
        raise DataError(f"{where}: not a readable {kind} ({first_line(error)})") from error


def is_folder(path: Path) -> bool:
    """Return whether ``path`` is a folder; False for a name that no file can have."""
    return os.path.isdir(path)  # noqa: PTH112 - Path.is_dir raises


def is_regular_file(path: Path) -> bool:
    """Return whether ``path`` is a regular file; False for a name that no file can have."""
    return os.path.isfile(path)  # noqa: PTH113 - Path.is_file raises


def require_regular_file(path: Path) -> int:
    """Return the size in bytes of a regular file. Opening anything else could wait for ever.

    Raises:
        DataError: missing, a link to nowhere, a folder, FIFO, socket or device, a name too long.
    """
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        if os.path.islink(path):  # noqa: PTH114 - Path.is_symlink raises
            raise DataError(f"{path}: is a link that leads nowhere; give an existing file") from error
        if isinstance(error, FileNotFoundError):
            raise DataError(f"{path}: no such file; give an existing one") from error
        raise DataError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not stat.S_ISREG(status.st_mode):
        kind = next((name for holds, name in _KINDS if holds(status.st_mode)), "special file")
        raise DataError(f"{path}: is a {kind}, must be a regular file")
    return status.st_size


def read_file(path: Path) -> bytes:
    """Return the content of a regular file.

    Raises:
        DataError: it cannot be read.
    """
    require_regular_file(path)
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def list_folder(path: Path) -> list[Path]:
    """Return what a folder holds, in the order of the names.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return sorted(path.iterdir())
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def require_memory(needed: int, where: object) -> None:
    """Refuse, before anything is allocated, what cannot fit into this machine's memory.

    Raises:
        DataError: ``needed`` bytes are more than the machine has.
    """
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > installed:
        raise DataError(
            f"{where}: its arrays need {needed / 1e9:,.1f} GB, more than this machine's "
            f"{installed / 1e9:,.1f} GB of memory"
        )


def escaped(path: Path) -> str:
    """Return a path that can be written into records, with bytes that are not UTF-8 escaped."""
    return str(path).encode("utf-8", "backslashreplace").decode()


def require_text(name: str, what: str) -> str:
    """Return ``name`` if it can be written into records and shown on one line.

    Raises:
        DataError: bytes that are not UTF-8, or control characters.
    """
    if any(0xD800 <= ord(letter) <= 0xDFFF for letter in name):
        raise DataError(f"{what} {name!a} is not UTF-8, so no record could hold it; rename it")
    if any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in name):
        raise DataError(f"{what} {name!a} holds control characters; rename it")
    return name


def shown(name: str) -> str:
    """Return a name as it is if a terminal can show it on one line."""
    return name if name.isprintable() else ascii(name)
