"""The embedded default: scikit-learn's 1,797 handwritten digits of 8 x 8 pixels (Alpaydin & Kaynak 1998).

1,000 are for training and 797 for testing, by one fixed permutation.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sfumato.datasets.base import Dataset, checked_split
from sfumato.datasets.units import PIXELS

_TRAIN = 1000
_BRIGHTEST = 16.0


def load_digits_dataset(data_dir: Path | None = None, fetch: bool = True) -> Dataset:
    """Return the bundled digits; nothing is read from outside the installed packages."""
    from sklearn.datasets import load_digits

    bundle = load_digits()
    # not keyed noise: which images are the test set, always the same
    order = np.random.default_rng(0).permutation(len(bundle.target))
    x = (bundle.images[order] / _BRIGHTEST).astype(np.float32)[:, None]
    y = bundle.target[order]
    return Dataset(
        "digits",
        checked_split(x[:_TRAIN], y[:_TRAIN], 10, "digits (train)"),
        checked_split(x[_TRAIN:], y[_TRAIN:], 10, "digits (test)"),
        tuple(str(digit) for digit in range(10)),
        PIXELS,
        "bundled with scikit-learn",
    )
