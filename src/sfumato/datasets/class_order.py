"""A warning where test images are in the order of their classes, and the first ones are of few classes."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64

from sfumato.datasets.base import Dataset

_BEYOND_CHANCE = 4.0  # standard deviations


def warn_of_class_order(data: Dataset, examples: Sequence[int], *, race: bool = False) -> None:
    """Warn, in one line, if the test images are in class order and ``examples`` end before the last of them.

    ``examples`` are indices of test images, increasing. A ``race`` needs random order even over all images.
    The images of a folder are in class order.
    """
    labels = data.test.y
    step = examples[1] - examples[0] if len(examples) > 1 else 1
    whole = len(examples) == 0 or examples[-1] + step >= len(labels)
    if (whole and not race) or not in_class_order(labels):
        return
    seen, classes = len(np.unique(labels[examples])), len(np.unique(labels))
    told = (
        f"the {len(examples):,} taken hold {seen} of {classes} classes, so that results do not hold for all"
    )
    warnings.warn(
        f"{data.name}: the test images are in class order: "
        f"{'a race needs them in random order' if whole else told}; shuffle them, e.g. in an .npz",
        stacklevel=2,
    )


def in_class_order(labels: Int64[np.ndarray, " images"]) -> bool:
    """Return whether neighbours are of one class far more often than in random order.

    That is: by four standard deviations, and by half of what is possible.

    >>> in_class_order(np.repeat([0, 1, 2], 20)), in_class_order(np.tile([0, 1, 2], 20))
    (True, False)
    """
    if len(labels) < 2:
        return False
    _, counts = np.unique(labels, return_counts=True)
    chance = float(((counts / len(labels)) ** 2).sum())
    same = float((labels[1:] == labels[:-1]).mean())
    spread = math.sqrt(chance * (1.0 - chance) / (len(labels) - 1))
    return chance < 1.0 and same > max((1.0 + chance) / 2.0, chance + _BEYOND_CHANCE * spread)
