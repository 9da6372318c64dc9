"""The embedded default: scikit-learn's 1,797 handwritten digits of 8 x 8 pixels (Alpaydin & Kaynak 1998).

1,000 are for training and 797 for testing, by one fixed permutation. The package is found but not imported:
that takes longer than reading its file.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from sfumato.datasets.base import Dataset, checked_split
from sfumato.datasets.units import PIXELS
from sfumato.errors import DataError

_FILE = Path("datasets") / "data" / "digits.csv.gz"
_TRAIN = 1000
_BRIGHTEST = 16.0


def load_digits_dataset(data_dir: Path | None = None, fetch: bool = True) -> Dataset:
    """Return the bundled digits; nothing is read from outside the installed packages.

    Raises:
        DataError: scikit-learn is not installed, or has no such file.
    """
    # a row is an image: 64 pixels of 0..16, then its class
    rows = np.loadtxt(_packed_digits(), delimiter=",")
    # not keyed noise: which images are the test set, always the same
    rows = rows[np.random.default_rng(0).permutation(len(rows))]
    x = (rows[:, :-1] / _BRIGHTEST).astype(np.float32).reshape(-1, 1, 8, 8)
    y = rows[:, -1].astype(np.int64)
    return Dataset(
        "digits",
        checked_split(x[:_TRAIN], y[:_TRAIN], 10, "digits (train)"),
        checked_split(x[_TRAIN:], y[_TRAIN:], 10, "digits (test)"),
        tuple(str(digit) for digit in range(10)),
        PIXELS,
        "bundled with scikit-learn",
    )


def _packed_digits() -> Path:
    package = find_spec("sklearn")
    for place in (package.submodule_search_locations or ()) if package else ():
        if (path := Path(place) / _FILE).is_file():
            return path
    raise DataError(f"the digits are bundled with scikit-learn, which lacks {_FILE} here; install it again")
