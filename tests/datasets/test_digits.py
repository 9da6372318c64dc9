"""The bundled digits: read from scikit-learn's file without importing it."""

import subprocess
import sys

import numpy as np
from sklearn.datasets import load_digits

from sfumato.datasets import load_dataset


def test_the_digits_are_those_that_scikit_learn_loads():
    found, bundle = load_dataset("digits"), load_digits()
    order = np.random.default_rng(0).permutation(1797)
    x, y = np.concatenate([found.train.x, found.test.x]), np.concatenate([found.train.y, found.test.y])
    np.testing.assert_array_equal(x[:, 0], (bundle.images[order] / 16.0).astype(np.float32))
    np.testing.assert_array_equal(y, bundle.target[order])
    assert len(found.train) == 1000


def test_loading_the_digits_imports_no_scikit_learn():
    code = "import sys; from sfumato.datasets import load_dataset; load_dataset('digits'); "
    code += "sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
