"""Writing files so that nothing half-made or belonging to another run is ever left or lost."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from sfumato.errors import OutputError


def require_writable(path: Path) -> None:
    """Refuse a path that could not be created, before any work is done; nothing on disk is changed.

    Raises:
        OutputError: the nearest existing folder above it is no folder or not writable.
    """
    parent = path.parent
    while not parent.exists() and parent != parent.parent:
        parent = parent.parent
    if not parent.is_dir():
        raise OutputError(f"{path}: {parent} is not a folder; choose a path inside a writable one")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(f"{path}: {parent} is not writable; choose a path inside a writable folder")


def write_text(path: Path, text: str) -> None:
    """Write ``text`` in UTF-8 as ``write_bytes`` does.

    Raises:
        OutputError: it cannot be written.
    """
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` so that at any moment the file is the old or the new one, whole.

    Raises:
        OutputError: it cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error
