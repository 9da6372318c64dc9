"""The structure of a folder of images: training and test part, classes, and ignored files."""

from __future__ import annotations

from pathlib import Path

from sfumato.datasets.images import SUFFIXES
from sfumato.datasets.reading import is_folder, list_folder, require_text, shown
from sfumato.errors import DataError

_TRAIN = frozenset({"train", "training"})
_TEST = frozenset({"test", "testing"})
_VALIDATION = frozenset({"val", "valid", "validation"})
_OF_PROGRAMS = frozenset({"__MACOSX", "__pycache__", "@eaDir", "lost+found", "$RECYCLE.BIN"})

# what is not read, in the order in which it is said
_ASIDE = (
    _HIDDEN := "hidden folders are no classes",
    _EMPTY := "empty folders are no classes",
    _NESTED := "folders inside class folders are not read",
    _LOOSE := "images beside the class folders are not read",
    _HIDDEN_FILES := "hidden files are not read",
    _OTHER_FILES := "files without an image's suffix are not read",
)


def find_parts(path: Path, notes: list[str]) -> tuple[Path | None, Path | None]:
    """Return the folders of the training and the test images, None for one that is not there.

    ``test`` is preferred to ``val`` as test set, unless beside ``train`` only ``val`` has class folders, as
    where the labels of a competition's test images are secret. A folder without ``train``, and with others
    than these, holds the classes themselves, of which a test set has to be set aside. What is left aside is
    added to ``notes``.

    Raises:
        DataError: two folders for one part, or one that cannot be read.
    """
    folders = _shown_folders(path)
    train = _one_of(folders, _TRAIN, path)
    test = _one_of(folders, _TEST, path)
    validation = _one_of(folders, _VALIDATION, path)
    unlabelled = train is not None and _has_classes(validation) and not _has_classes(test)
    tested = validation if unlabelled else test or validation
    parts = [part for part in (train, test, validation) if part is not None]
    if tested is None and (train is None or len(folders) > 1):
        return path, None
    if train is None and (len(parts) < len(folders) or not _is_part(tested)):
        return path, None
    if rest := [folder.name for folder in folders if folder not in (train, tested)]:
        notes.append(f"{path}: {', '.join(map(shown, rest))} is not used")
    if test is not None and validation is not None and tested is validation:
        notes.append(f"{path}: {test.name} holds no class folders, so {validation.name} is the test set")
    if test is None and validation is not None:
        notes.append(f"{path}: there is no folder test, so {validation.name} is the test set")
    return train, tested


def _has_classes(folder: Path | None) -> bool:
    return folder is not None and bool(_shown_folders(folder))


def _is_part(folder: Path | None) -> bool:
    """Return whether a folder named as a part is one where no ``train`` says so, and not a class."""
    return _has_classes(folder) or (folder is not None and folder.name.lower() in _TEST)


def _shown_folders(path: Path) -> list[Path]:
    return [entry for entry in list_folder(path) if not _is_hidden(entry.name) and is_folder(entry)]


def loose_images(root: Path, notes: list[str]) -> list[str]:
    """Return the names of the images that lie directly in a folder without any folders; else none.

    What is left aside is added to ``notes``.
    """
    if _shown_folders(root):
        return []
    images: list[str] = []
    other: list[str] = []
    for entry in list_folder(root):
        if not is_folder(entry) and not _is_hidden(entry.name):
            (images if entry.suffix.lower() in SUFFIXES else other).append(entry.name)
    if images and other:
        notes.append(f"{root}: {_OTHER_FILES} ({len(other)}: {_first_of(other)})")
    return images


def _one_of(folders: list[Path], names: frozenset[str], path: Path) -> Path | None:
    found = [folder for folder in folders if folder.name.lower() in names]
    if len(found) > 1:
        raise DataError(f"{path}: holds both {found[0].name} and {found[1].name}; keep one of them")
    return found[0] if found else None


def list_classes(root: Path, notes: list[str]) -> dict[str, list[str]]:
    """Return the images in the class folders directly below ``root``, by class in the order of their names.

    Images are named as seen from ``root``.

    Hidden folders and folders with nothing in them are no classes. A folder that holds files but no image
    is refused: leaving it out would silently drop a class. What is left aside is added to ``notes``.

    Raises:
        DataError: that, or names that cannot be written into a record.
    """
    files: dict[str, list[str]] = {}
    aside: dict[str, list[str]] = {what: [] for what in _ASIDE}
    for entry in list_folder(root):
        if not is_folder(entry):
            if entry.suffix.lower() in SUFFIXES:
                aside[_LOOSE].append(entry.name)
        elif _is_hidden(entry.name):
            aside[_HIDDEN].append(entry.name)
        else:
            require_text(entry.name, f"{root}: the class folder")
            if images := _images_of_class(entry, aside):
                files[entry.name] = images
            else:
                aside[_EMPTY].append(entry.name)
    notes += [f"{root}: {what} ({len(names)}: {_first_of(names)})" for what, names in aside.items() if names]
    return files


def _images_of_class(folder: Path, aside: dict[str, list[str]]) -> list[str]:
    images, nested, other = [], [], []
    for entry in list_folder(folder):
        name = f"{folder.name}/{entry.name}"
        if is_folder(entry):
            nested.append(name)
        elif _is_hidden(entry.name):
            aside[_HIDDEN_FILES].append(name)
        elif entry.suffix.lower() in SUFFIXES:
            images.append(name)
        else:
            other.append(name)
    if not images and (nested or other):
        held = f"the folder {shown(nested[0])}" if nested else shown(other[0])
        raise DataError(
            f"{folder}: holds no image but {held}; images must lie directly in it, accepted are {accepted()}"
        )
    aside[_NESTED] += nested
    aside[_OTHER_FILES] += other
    return images


def accepted() -> str:
    """Return the accepted suffixes for a message."""
    return ", ".join(sorted(SUFFIXES))


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name in _OF_PROGRAMS


def _first_of(names: list[str]) -> str:
    return ", ".join([*map(shown, names[:3]), *(["..."] if names[3:] else [])])
