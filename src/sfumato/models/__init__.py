"""Base classifiers: architectures, the input normalisation, and checkpoints."""

from sfumato.models.checkpoint import ModelRecord, load_model, save_model
from sfumato.models.registry import build_model, model_names

__all__ = ["ModelRecord", "build_model", "load_model", "model_names", "save_model"]
