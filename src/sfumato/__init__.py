"""Sfumato: certified robustness by randomized smoothing, and how much noise to train with for it.

The public names are imported when they are first used, so that ``import sfumato`` is instant.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PUBLIC = {
    "Certificate": "sfumato.smoothing.certificate",
    "Dataset": "sfumato.datasets.base",
    "Fixed": "sfumato.statistics.plans",
    "ModelRecord": "sfumato.models.checkpoint",
    "SfumatoError": "sfumato.errors",
    "SmoothedClassifier": "sfumato.smoothing.smoothed",
    "TrainingSettings": "sfumato.training.loop",
    "build_model": "sfumato.models.registry",
    "load_dataset": "sfumato.datasets.registry",
    "load_model": "sfumato.models.checkpoint",
    "save_model": "sfumato.models.checkpoint",
    "train": "sfumato.training.loop",
}

__all__ = [
    "Certificate",
    "Dataset",
    "Fixed",
    "ModelRecord",
    "SfumatoError",
    "SmoothedClassifier",
    "TrainingSettings",
    "__version__",
    "build_model",
    "load_dataset",
    "load_model",
    "save_model",
    "train",
]

if TYPE_CHECKING:
    from sfumato.datasets.base import Dataset
    from sfumato.datasets.registry import load_dataset
    from sfumato.errors import SfumatoError
    from sfumato.models.checkpoint import ModelRecord, load_model, save_model
    from sfumato.models.registry import build_model
    from sfumato.smoothing.certificate import Certificate
    from sfumato.smoothing.smoothed import SmoothedClassifier
    from sfumato.statistics.plans import Fixed
    from sfumato.training.loop import TrainingSettings, train


def __getattr__(name: str) -> Any:
    """Import a public name at its first use."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'sfumato' has no attribute {name!r}")
    value = getattr(importlib.import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names without importing them."""
    return list(__all__)
