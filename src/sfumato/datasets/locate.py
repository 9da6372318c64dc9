"""Where Sfumato looks for data sets, and how it fetches missing ones.

Order: the directory the caller names, then the environment variable SFUMATO_DATA, then the user
cache, into which missing files are downloaded with their published checksums. In each root a set is
looked for in the folder of its name and in the root itself.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sfumato.datasets.reading import is_folder, is_regular_file
from sfumato.errors import DataError, DownloadError
from sfumato.files import cache_folder, share_as_usual

_SYSTEM_ROOTS = (Path("/usr/share/datasets"),)  # Debian's dataset-fashion-mnist


@dataclass(frozen=True)
class OfficialFile:
    """One file to download and how to know it is the right one.

    Attributes:
        name: of the file.
        address: where it is fetched.
        published_md5: what the data set's authors (or their mirror) publish for the file to download.
        content_sha256: of the decompressed content, so that a distribution's recompressed copy of the same
            data is accepted.
    """

    name: str
    address: str
    published_md5: str
    content_sha256: str | None = None


def data_roots(data_dir: Path | None) -> list[Path]:
    """Return the roots to look in, first match wins.

    Raises:
        DataError: ``data_dir`` or SFUMATO_DATA names no directory.
    """
    named = [("--data-dir", data_dir)] if data_dir is not None else []
    if value := os.environ.get("SFUMATO_DATA"):
        named.append(("SFUMATO_DATA", Path(value)))
    for origin, root in named:
        if not is_folder(root):
            raise DataError(f"{origin}: {root} is not a directory; give an existing one")
    return [root for _, root in named] + [*_SYSTEM_ROOTS, cache_folder("data")]


Spellings = Callable[[str], Sequence[str]]
"""The names under which people have an official file, from its own name."""


def find_files(
    folders: Iterable[str], names: Collection[str], data_dir: Path | None, spellings: Spellings | None = None
) -> dict[str, Path] | None:
    """Return the paths of ``names`` in the first root that has them all, or None.

    Raises:
        DataError: a folder named for the set holds some of the files but not all.
    """
    for root in data_roots(data_dir):
        for folder in folders:
            if paths := files_in(root / folder, names, spellings):
                return paths
        if len(paths := _present(root, names, spellings)) == len(names):
            return paths
    return None


def files_in(
    folder: Path, names: Collection[str], spellings: Spellings | None = None
) -> dict[str, Path] | None:
    """Return the paths of ``names`` in exactly this folder, None where it holds none of them.

    Raises:
        DataError: it holds some of the files but not all.
    """
    found = _present(folder, names, spellings)
    if missing := [name for name in names if found and name not in found]:
        raise DataError(f"{folder}: lacks {', '.join(missing)}; it must hold all of {', '.join(names)}")
    return found or None


def _present(folder: Path, names: Iterable[str], spellings: Spellings | None) -> dict[str, Path]:
    """Return the paths of those of ``names`` that ``folder`` holds, under the first spelling found."""
    found: dict[str, Path] = {}
    for name in names:
        for spelling in spellings(name) if spellings else (name,):
            if is_regular_file(folder / spelling):
                found.setdefault(name, folder / spelling)
    return found


def not_here(name: str) -> DataError:
    """Return the error for a missing set that must not be fetched."""
    return DataError(f"{name}: not found locally; name its folder by --data-dir or SFUMATO_DATA")


def download(file: OfficialFile, folder: str) -> Path:
    """Return the path of ``file`` in the user cache, downloaded and checked if it is missing.

    Raises:
        DownloadError: unreachable address or a checksum that differs from the published one.
    """
    import pooch

    try:
        return Path(
            pooch.retrieve(
                file.address,
                known_hash=f"md5:{file.published_md5}",
                fname=file.name,
                path=cache_folder("data") / folder,
                progressbar=False,
                processor=_shared,
            )
        )
    except ValueError as error:
        raise DownloadError(
            f"{file.address}: the download's checksum is not the published md5 {file.published_md5}"
        ) from error
    except Exception as error:  # pooch passes on whatever the transport raises
        raise DownloadError(
            f"{file.name}: not found locally and {file.address} cannot be fetched ({_reason(error)}); "
            "put the file into --data-dir or SFUMATO_DATA"
        ) from error


def _shared(name: str, action: str, _: object) -> str:
    """Let others read what was downloaded, as pooch leaves it to the user alone; return its name."""
    if action != "fetch":
        share_as_usual(Path(name))
    return name


def _reason(error: BaseException) -> str:
    """Return in one line what went wrong at the bottom, without the transport's layers around it."""
    proxy, below = "", error
    while True:
        if type(below).__name__ == "ProxyError":
            proxy = "the proxy: "
        inner = below.__cause__ or (None if below.__suppress_context__ else below.__context__)
        if inner is None:
            break
        below = inner
    words = getattr(below, "strerror", None) or str(below) or type(below).__name__
    local = f"{file}: " if (file := getattr(below, "filename", None)) else ""
    return f"{proxy}{local}{str(words).splitlines()[0][:200]}"


def check_digest(content: bytes, expected: str, path: Path, algorithm: str) -> None:
    """Refuse content whose digest is not ``expected``.

    Raises:
        DataError: naming both digests.
    """
    found = hashlib.new(algorithm, content, usedforsecurity=False).hexdigest()
    if found != expected:
        raise DataError(f"{path}: wrong checksum, {algorithm} is {found} but must be {expected}")
