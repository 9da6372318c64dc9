"""Examples of data sets of other libraries: anything with a length whose items are an image and its label.

An item is (image, label), or a mapping with a column for each, as of a Hugging Face ``datasets`` split; no
such library is imported. An image is a tensor, an array or an image of Pillow; bytes become pixels in [0, 1].
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float32

from sfumato.datasets.images import pixels_in
from sfumato.datasets.layout import channels_first
from sfumato.datasets.on_demand import Source
from sfumato.datasets.units import pixels_from_bytes
from sfumato.errors import DataError
from sfumato.user_code import told_in_one_line

_IMAGES = ("image", "img", "pixel_values", "x")
_LABELS = ("label", "labels", "target", "y")
_CHECKED_TWICE = 3


def has_items(data: object) -> bool:
    """Return whether it is a data set of items, and no array, list, text or mapping of parts."""
    known = (np.ndarray, list, tuple, str, bytes, Mapping)
    numbers = hasattr(data, "dtype") and hasattr(data, "shape")
    sized = hasattr(data, "__getitem__") and hasattr(data, "__len__")
    return sized and not (numbers or isinstance(data, known))


class LabelledItems(Source):
    """The items of a map-style data set.

    They are read once when this is made, so that what they are is known, and again when they are needed.

    Raises:
        DataError: no items, or items of another form, of several shapes, with labels of several kinds, or
            that change between readings.
    """

    threaded = False  # nothing says that others' code may run in several threads
    covers = "the values of items"

    def __init__(self, data: Any, name: str) -> None:
        self.data, self.name = data, name
        self.class_names = class_names_of(data)
        count = len(data)
        if count == 0:
            raise DataError(f"{name}: holds no items, at least 1 is needed")
        self.digests = np.empty((count, 32), np.uint8)
        labels: list[Any] = []
        kinds: set[Any] = set()
        for index in range(count):
            image, label = self.item(index)
            self.digests[index] = np.frombuffer(hashlib.sha256(image.tobytes()).digest(), np.uint8)
            if index == 0:
                self.shape = image.shape
            if image.shape != self.shape:
                raise DataError(
                    f"{name}: item 0 has shape {self.shape} but item {index} {image.shape}; all must have "
                    "the same shape: resize and crop them in the data set's transform"
                )
            if index < _CHECKED_TWICE:
                self.read(index)  # refuses what changes
            kinds.add(image.dtype == np.uint8)
            labels.append(label)
        if len(kinds) > 1:
            raise DataError(f"{name}: some items are bytes, others not; give all of them one unit")
        self.are_bytes = kinds.pop()
        self.labels = _together(labels, name)

    def raw(self, index: int) -> np.ndarray:
        """Return the image of an item as it is: bytes, or floating point numbers.

        Raises:
            DataError: it is not what it was when it was read first.
        """
        image, _ = self.item(index)
        self.require_same(
            index,
            image.tobytes(),
            f"{self.name}: item {index} is not the same when it is read again; leave random transforms out "
            "(a training crops and mirrors by itself: augmentation='crop-flip')",
        )
        return image

    def read(self, index: int) -> Float32[np.ndarray, "*shape"]:
        """Return one example.

        Raises:
            DataError: as ``raw``.
        """
        image = self.raw(index)
        return pixels_from_bytes(image) if image.dtype == np.uint8 else image

    def item(self, index: int) -> tuple[np.ndarray, Any]:
        """Return the image, channels first, and the label (None without one) of an item.

        Raises:
            DataError, ModelError: as ``read_item``.
        """
        where = f"{self.name}: item {index}"
        image, label = read_item(self.data, index, where)
        turned, _ = channels_first(image[None], where)
        return np.ascontiguousarray(turned[0]), label


def read_item(data: Any, index: int, where: str) -> tuple[np.ndarray, Any]:
    """Return an item's image and its label or None; errors call the item ``where``.

    The image is of bytes or float32. Arrays and tensors keep the order of their axes, which their model
    expects; an image of Pillow becomes (channels, height, width).

    Raises:
        DataError: an item of another form, or that cannot be read from disk.
        ModelError: the data set's own code failed.
    """
    with told_in_one_line(f"{where} cannot be read", lost=DataError):
        item = data[index]
    if isinstance(item, Mapping):
        image = item[_column(item, _IMAGES, where, "image")]
        label = item[_column(item, _LABELS, where, "label")] if set(_LABELS) & set(item) else None
        return _array(image, where), _label(label)
    if isinstance(item, list | tuple):
        if not 1 <= len(item) <= 2:
            raise DataError(f"{where} must be an image or (image, label), got {len(item)} parts")
        return _array(item[0], where), _label(item[1]) if len(item) == 2 else None
    return _array(item, where), None


def _column(item: Mapping[Any, Any], names: tuple[str, ...], where: str, what: str) -> str:
    found = [name for name in names if name in item]
    if len(found) != 1:
        raise DataError(
            f"{where} has the columns {', '.join(map(str, item))}; exactly one of {', '.join(names)} must "
            f"hold the {what}: rename or remove columns"
        )
    return found[0]


def _label(label: Any) -> Any:
    return label.tolist() if hasattr(label, "tolist") else label


def _together(labels: list[Any], name: str) -> np.ndarray | None:
    """Return the labels of all items, numbers or names; None if some item has none."""
    if any(label is None for label in labels):
        return None
    named = [isinstance(label, str) for label in labels]
    if any(named) and not all(named):  # numpy would make a name of a number
        word, number = named.index(True), named.index(False)
        raise DataError(
            f"{name}: item {word} has the label {labels[word]!r} but item {number} {labels[number]!r:.40}; "
            "labels must be all names or all whole numbers"
        )
    try:
        return np.asarray(labels)
    except ValueError as error:
        raise DataError(f"{name}: labels must be one name or whole number for each item ({error})") from error


def _array(image: Any, where: str) -> np.ndarray:
    if hasattr(image, "getbands"):  # of Pillow, whose channels are last for certain
        pixels = pixels_in(image, where)
        pixels = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    elif hasattr(image, "detach"):
        pixels = image.detach().cpu().numpy()
    else:
        pixels = np.asarray(image)
    if pixels.dtype != np.uint8:
        if pixels.dtype.kind != "f":
            raise DataError(
                f"{where}: its image must be a tensor, an array or an image of Pillow, of bytes or floating "
                f"point numbers, got {type(image).__name__} of {pixels.dtype}"
            )
        pixels = pixels.astype(np.float32)
        if not np.isfinite(pixels).all():
            raise DataError(f"{where} holds NaN or infinite values; pixels must be finite")
    if not 1 <= pixels.ndim <= 3 or pixels.size == 0:
        raise DataError(f"{where}: its image must have 1 to 3 axes, got shape {pixels.shape}")
    return np.ascontiguousarray(pixels)


def class_names_of(data: Any) -> tuple[str, ...] | None:
    """Return the names that the data set has for its classes: ``classes``, or those of a label column."""
    named = getattr(data, "classes", None)
    features = getattr(data, "features", None)
    if named is None and isinstance(features, Mapping):
        columns = [features[name] for name in _LABELS if name in features]
        named = next((found for column in columns if (found := getattr(column, "names", None))), None)
    return tuple(map(str, named)) if isinstance(named, list | tuple) and named else None
