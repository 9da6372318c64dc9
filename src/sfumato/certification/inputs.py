"""What can be certified, as batches of images with their labels: arrays, data sets and loaders.

A loader is read batch by batch, so that the data need not fit into memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Generic, TypeGuard, TypeVar

import numpy as np
import torch
from jaxtyping import Int64
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from sfumato.datasets import Dataset, Split
from sfumato.datasets.given import require_order, without_frame
from sfumato.datasets.items import class_names_of, has_items, read_item
from sfumato.datasets.on_demand import BLOCK_BYTES, OnDemand, in_blocks
from sfumato.errors import DataError

Images = torch.Tensor | np.ndarray
Inputs = Images | OnDemand | Dataset | Split | TorchDataset[Any] | DataLoader[Any] | tuple[Images, Any]
Batch = tuple[Images, "Int64[np.ndarray, ' images'] | None"]

UNKNOWN = -1
"""The label of an image whose class is not known."""

_TOGETHER = 256
_T = TypeVar("_T")


def batches(x: Inputs) -> Iterator[Batch]:
    """Yield the images of ``x`` batch by batch, with their labels where ``x`` has them.

    ``x`` is an array, a tensor or a data frame (images, *shape), such images with their labels (x, y),
    one of our data sets (its test split) or splits, a PyTorch ``Dataset`` or ``DataLoader`` of images or of
    (image, label), or a Hugging Face split.
    Arrays and tensors keep the order of their axes; images of Pillow become (channels, height, width).

    Raises:
        DataError: items of another form, a loader that shuffles, or a data frame of other than numbers.
    """
    if isinstance(x, Mapping):
        raise DataError(f"the data hold the parts {', '.join(map(str, x))}; give one of them")
    if hasattr(x, "toarray"):  # SciPy's
        raise DataError(f"images are a sparse {type(x).__name__}; give x.toarray()")
    if _is_pair(x):
        labels = whole_labels(x[1])
        if len(labels) != len(x[0]):
            raise DataError(f"{len(labels)} labels for {len(x[0])} images; give one for each")
        yield without_frame(x[0]), labels
        return
    x = without_frame(x)
    if isinstance(x, Dataset):
        x = x.test
    if isinstance(x, Split):
        first = 0
        for block in in_blocks(x.x):
            yield block, x.y[first : first + len(block)]
            first += len(block)
    elif isinstance(x, OnDemand):
        yield from ((block, None) for block in in_blocks(x))
    elif isinstance(x, DataLoader):
        require_order(x)
        yield from _loaded(x, "the loader's data set")
    elif has_items(x):
        yield from _stacked(x)
    elif isinstance(x, TorchDataset):
        yield from _loaded(DataLoader(x, batch_size=_TOGETHER), "the data set")
    elif not hasattr(x, "__len__"):
        raise DataError(
            f"images must be an array, a tensor, (x, y), a data set or a DataLoader, got {type(x).__name__}"
        )
    else:
        images: Any = x
        yield images, None


def _is_pair(x: object) -> TypeGuard[tuple[Images, Any]]:
    """Return whether it is images or features with their labels, and not two images."""
    return (
        isinstance(x, tuple | list)
        and len(x) == 2
        and hasattr(x[0], "shape")
        and len(x[0].shape) > 1
        and (np.ndim(x[1]) == 1 or np.shape(x[1]) == (len(x[0]), 1))
    )


def number_of_images(x: Inputs) -> int | None:
    """Return how many images ``batches`` will yield; None where only reading them tells."""
    images: Any = x.test if isinstance(x, Dataset) else x.sampler if isinstance(x, DataLoader) else x
    if _is_pair(x):
        images = x[0]
    try:
        return len(images)
    except (TypeError, NotImplementedError):  # as of a stream
        return None


def named_classes(x: Inputs) -> tuple[tuple[str, ...] | None, str]:
    """Return the names that the data have for their classes, if any, and what the data are called."""
    if isinstance(x, Dataset):
        return x.class_names, x.name
    holder = x.dataset if isinstance(x, DataLoader) else x
    return class_names_of(holder), f"the data ({type(holder).__name__})"


def _loaded(loader: DataLoader[Any], whose: str) -> Iterator[Batch]:
    """Yield the batches of a loader; its items must be what it can put together."""
    try:
        yield from map(_parted, loader)
    except TypeError as error:
        raise DataError(f"the items of {whose} must be tensors or arrays ({error})") from error


def _stacked(data: Any) -> Iterator[Batch]:
    """Yield the items of a map-style data set, so many together as take about as much as a block."""
    start = 0
    while start < len(data):
        images: list[np.ndarray] = []
        labels, left = [], BLOCK_BYTES
        while start < len(data) and left > 0 and len(images) < _TOGETHER:
            image, label = read_item(data, start, f"item {start} of the data")
            if images and (image.shape, image.dtype) != (images[0].shape, images[0].dtype):
                raise DataError(
                    f"item {start} of the data has shape {image.shape} of {image.dtype}, others "
                    f"{images[0].shape} of {images[0].dtype}; all must have one"
                )
            images.append(image)
            labels.append(label)
            left, start = left - 4 * image.size, start + 1
        yield np.stack(images), None if all(one is None for one in labels) else whole_labels(labels)


def _parted(batch: object) -> Batch:
    if isinstance(batch, torch.Tensor | np.ndarray):
        return batch, None
    if not isinstance(batch, list | tuple) or not 1 <= len(batch) <= 2:
        what = f"{len(batch)} parts" if isinstance(batch, list | tuple) else type(batch).__name__
        raise DataError(f"a batch must be images or (images, labels), got {what}")
    return batch[0], None if len(batch) == 1 else whole_labels(batch[1])


def whole_labels(labels: object) -> Int64[np.ndarray, " images"]:
    """Return labels, also those in a column, as class indices; -1 is an unknown one.

    Raises:
        DataError: no whole number for each image.
    """
    if isinstance(labels, torch.Tensor):
        given = labels.detach().cpu().numpy()
    else:
        given = np.asarray(without_frame(labels))
    if given.ndim == 2 and given.shape[1] == 1:
        given = given[:, 0]
    if given.ndim != 1 or (given.size and given.dtype.kind not in "iu"):
        raise DataError(
            f"labels must be one whole number for each image, got {given.dtype} of shape {given.shape}"
        )
    found = given.astype(np.int64)
    if found.size and ((found < UNKNOWN) | (found != given)).any():
        raise DataError(
            f"labels must be classes from 0, or {UNKNOWN} where unknown, got {given.min()} to {given.max()}"
        )
    return found


class Dealt(Generic[_T]):
    """One value for each image, dealt out batch by batch."""

    def __init__(self, name: str, values: Iterable[_T]) -> None:
        if not isinstance(values, Iterable):
            raise DataError(f"{name} must be a sequence, one for each image, got {type(values).__name__}")
        self._name, self._left, self._dealt = name, iter(values), 0

    def next(self, images: int) -> Sequence[_T]:
        """Return the values of the next images.

        Raises:
            DataError: there are fewer.
        """
        found = list(islice(self._left, images))
        if len(found) < images:
            raise DataError(
                f"{self._dealt + len(found)} {self._name} for {self._dealt + images} or more images; give "
                "one for each"
            )
        self._dealt += images
        return found

    def finish(self) -> None:
        """Refuse values that are left over after the last image.

        Raises:
            DataError: some are left.
        """
        if left := sum(1 for _ in self._left):
            raise DataError(f"{self._dealt + left} {self._name} for {self._dealt} images; give one for each")
