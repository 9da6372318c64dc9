"""The user's own data: an ``.npz`` of arrays, or a folder of images with one sub-folder per class.

An ``.npz`` holds ``x`` and ``y``, and ``x_test`` and ``y_test`` if there is a test set. A folder
holds ``train/CLASS/*`` and ``test/CLASS/*``, or just ``CLASS/*``. Where no test set is given, a fixed
random fifth of the examples is set aside as one, the same at every load.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from sfumato.datasets.base import Dataset, Split, checked_split, pixels_from_bytes
from sfumato.errors import DataError

_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}
_TEST_SHARE = 5


def load_npz(path: Path) -> Dataset:
    """Return the data in an ``.npz`` file.

    ``x`` is (n, features), (n, height, width), (n, channels, height, width) or channels last; bytes
    are divided by 255, floating point numbers are taken as they are and their unit is the data's own.

    Raises:
        DataError: not an npz, missing or object arrays, and all that ``checked_split`` refuses.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files if name in _KEYS}
            names = archive.files
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise DataError(f"{path}: not a readable .npz of plain arrays ({error})") from error
    for name in ("x", "y") + (("x_test", "y_test") if {"x_test", "y_test"} & set(names) else ()):
        if name not in arrays:
            raise DataError(
                f"{path}: lacks the array {name!r}; it holds {', '.join(sorted(names)) or 'none'}"
            )
    for name in ("y", "y_test"):
        if name in arrays and not np.issubdtype(arrays[name].dtype, np.integer):
            raise DataError(f"{path}: {name} must hold whole numbers, got {arrays[name].dtype}")
    if len(arrays["y"]) == 0:
        raise DataError(f"{path}: holds no examples, at least 1 is needed")
    unit = "pixels in [0, 1]" if _is_image_unit(arrays["x"]) else "the data's own unit"
    classes = int(max(arrays["y"].max(), arrays["y_test"].max() if "y_test" in arrays else 0)) + 1
    train = checked_split(_as_features(arrays["x"], path), arrays["y"], classes, str(path))
    if "x_test" in arrays:
        test = checked_split(
            _as_features(arrays["x_test"], path), arrays["y_test"], classes, f"{path} (test)"
        )
    else:
        train, test = _set_aside(train)
    if train.x.shape[1:] != test.x.shape[1:]:
        raise DataError(f"{path}: x has examples of shape {train.x.shape[1:]} but x_test {test.x.shape[1:]}")
    names_of_classes = tuple(str(index) for index in range(classes))
    return Dataset(str(path), train, test, names_of_classes, unit, str(path.resolve()))


_KEYS = ("x", "y", "x_test", "y_test")


def _is_image_unit(x: np.ndarray) -> bool:
    if x.dtype == np.uint8:
        return True
    return x.ndim > 2 and bool(np.nanmin(x) >= 0) and bool(np.nanmax(x) <= 1)


def _as_features(x: np.ndarray, path: Path) -> np.ndarray:
    if x.dtype == object or not (np.issubdtype(x.dtype, np.number) or x.dtype == bool):
        raise DataError(f"{path}: x must hold numbers, got {x.dtype}")
    values = pixels_from_bytes(x) if x.dtype == np.uint8 else x.astype(np.float32)
    if values.ndim == 3:
        return values[:, None]
    if values.ndim == 4 and values.shape[3] in (1, 3) and values.shape[1] not in (1, 3):
        return values.transpose(0, 3, 1, 2)
    return values


def _set_aside(data: Split) -> tuple[Split, Split]:
    """Return (train, test) with a fixed random fifth as test; all of it is both if there is but one."""
    # not keyed noise: which images are the test set, always the same
    order = np.random.default_rng(0).permutation(len(data))
    held = max(1, len(data) // _TEST_SHARE)
    if len(data) < 2:
        raise DataError("1 example is too few to set a test set aside; at least 2 are needed")
    test, train = order[:held], order[held:]
    return Split(data.x[train], data.y[train]), Split(data.x[test], data.y[test])


def load_folder(path: Path) -> Dataset:
    """Return the images under a folder with one sub-folder per class, in the order of their names.

    Raises:
        DataError: no classes, no images, images of different shape, files that are no images.
    """
    split = (path / "train").is_dir() and (path / "test").is_dir()
    root = path / "train" if split else path
    classes = tuple(sorted(folder.name for folder in root.iterdir() if folder.is_dir()))
    if len(classes) < 2:
        raise DataError(f"{root}: holds {len(classes)} class folders, at least 2 are needed")
    train = _read_class_folders(root, classes)
    if split:
        extra = {folder.name for folder in (path / "test").iterdir() if folder.is_dir()} - set(classes)
        if extra:
            raise DataError(f"{path / 'test'}: class {sorted(extra)[0]!r} is not among those in {root}")
        test = _read_class_folders(path / "test", classes)
        if train.x.shape[1:] != test.x.shape[1:]:
            raise DataError(
                f"{path}: train images have shape {train.x.shape[1:]} but test images {test.x.shape[1:]}"
            )
    else:
        train, test = _set_aside(train)
    return Dataset(str(path), train, test, classes, "pixels in [0, 1]", str(path.resolve()))


def _read_class_folders(root: Path, classes: tuple[str, ...]) -> Split:
    files = [
        (file, label)
        for label, name in enumerate(classes)
        if (root / name).is_dir()
        for file in sorted((root / name).iterdir())
        if file.suffix.lower() in _SUFFIXES
    ]
    if not files:
        raise DataError(f"{root}: holds no images; accepted are {', '.join(sorted(_SUFFIXES))}")
    images = [_read_image(file) for file, _ in files]
    shapes = {image.shape: file for image, (file, _) in zip(images, files, strict=True)}
    if len(shapes) > 1:
        (first, one), (second, other) = list(shapes.items())[:2]
        raise DataError(f"{root}: {one} has shape {first} but {other} {second}; all must be alike")
    labels = np.array([label for _, label in files], dtype=np.int64)
    return checked_split(pixels_from_bytes(np.stack(images)), labels, len(classes), str(root))


def _read_image(file: Path) -> np.ndarray:
    """Return uint8 (channels, height, width), one channel for grey images and three for all others."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file) as image:
            pixels = np.asarray(image.convert("L" if image.mode in ("1", "L", "LA", "I;16") else "RGB"))
    except (OSError, UnidentifiedImageError, ValueError) as error:
        raise DataError(f"{file}: not a readable image ({error})") from error
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
