"""What several test modules use: where the official data lie, small files, counted votes."""

import os
from pathlib import Path

import numpy as np
import torch

from sfumato import SmoothedClassifier
from sfumato.smoothing.configuration import Configuration

SHARED_DATA = Path(os.environ.get("SFUMATO_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))


def write_npz(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **arrays)
    return path


def votes(model, x: torch.Tensor, n: int = 100, *, batch_size: int = 64, **configuration) -> np.ndarray:
    """Return the class counts of ``n`` votes for each image under Gaussian noise of 0.5, on the CPU."""
    chosen = Configuration(batch_size, **configuration)
    return SmoothedClassifier(model, 0.5, device="cpu", configuration=chosen).votes(x, n)
