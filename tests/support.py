"""What several test modules use: where the official data lie, and small files."""

import os
from pathlib import Path

import numpy as np

SHARED_DATA = Path(os.environ.get("SFUMATO_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))


def write_npz(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **arrays)
    return path
