"""Sfumato: certified robustness by randomized smoothing, and how much noise to train with for it.

The public names are imported when they are first used, so that ``import sfumato`` is instant.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PUBLIC = {
    "Certificate": "sfumato.certification.certificate",
    "Curve": "sfumato.plans",
    "Dataset": "sfumato.datasets.base",
    "Decide": "sfumato.plans",
    "Fixed": "sfumato.plans",
    "FixedTwoClass": "sfumato.plans",
    "Gaussian": "sfumato.noise",
    "Laplace": "sfumato.noise",
    "ModelRecord": "sfumato.models.checkpoint",
    "Noise": "sfumato.noise",
    "Precision": "sfumato.plans",
    "Predict": "sfumato.plans",
    "SfumatoError": "sfumato.errors",
    "SmoothedClassifier": "sfumato.certification.smoothed_classifier",
    "TrainingSettings": "sfumato.training.settings",
    "Uniform": "sfumato.noise",
    "Vote": "sfumato.plans",
    "build_model": "sfumato.models.registry",
    "load_dataset": "sfumato.datasets.registry",
    "load_model": "sfumato.models.checkpoint",
    "parse_plan": "sfumato.plans",
    "register_noise": "sfumato.noise",
    "register_plan": "sfumato.plans",
    "save_model": "sfumato.models.checkpoint",
    "train": "sfumato.training.loop",
}

__all__ = [
    "Certificate",
    "Curve",
    "Dataset",
    "Decide",
    "Fixed",
    "FixedTwoClass",
    "Gaussian",
    "Laplace",
    "ModelRecord",
    "Noise",
    "Precision",
    "Predict",
    "SfumatoError",
    "SmoothedClassifier",
    "TrainingSettings",
    "Uniform",
    "Vote",
    "__version__",
    "build_model",
    "load_dataset",
    "load_model",
    "parse_plan",
    "register_noise",
    "register_plan",
    "save_model",
    "train",
]

if TYPE_CHECKING:
    from sfumato.certification.certificate import Certificate
    from sfumato.certification.smoothed_classifier import SmoothedClassifier
    from sfumato.datasets.base import Dataset
    from sfumato.datasets.registry import load_dataset
    from sfumato.errors import SfumatoError
    from sfumato.models.checkpoint import ModelRecord, load_model, save_model
    from sfumato.models.registry import build_model
    from sfumato.noise import Gaussian, Laplace, Noise, Uniform, register_noise
    from sfumato.plans import (
        Curve,
        Decide,
        Fixed,
        FixedTwoClass,
        Precision,
        Predict,
        Vote,
        parse_plan,
        register_plan,
    )
    from sfumato.training.loop import train
    from sfumato.training.settings import TrainingSettings


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
