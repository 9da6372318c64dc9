"""A trained classifier as a user names it: a checkpoint of ours, or a factory of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from sfumato.errors import ModelError
from sfumato.models.checkpoint import ModelRecord, load_model, weights_checksum
from sfumato.models.registry import build_model


@dataclass(frozen=True)
class TrainedClassifier:
    """A classifier ready to be smoothed.

    Attributes:
        name: as the user gave it.
        model: network behind its normalisation, in evaluation mode.
        weights_sha256: checksum of all its tensors.
        record: what its checkpoint says of it; None for a factory.
    """

    name: str
    model: nn.Module
    weights_sha256: str
    record: ModelRecord | None


def load_classifier(
    reference: str,
    input_shape: tuple[int, ...],
    num_classes: int,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> TrainedClassifier:
    """Return the classifier in a ``.safetensors`` of ours, or made by ``package.module:factory``.

    The factory gets (input_shape, num_classes) and returns a trained module; ``mean`` and ``std``
    wrap it for inputs in [0, 1] if it expects normalised ones.

    Raises:
        ModelError: a missing or damaged file, or one made for other data.
    """
    if ":" in reference and not Path(reference).exists():
        identity = ([0.0] * input_shape[0], [1.0] * input_shape[0])
        model = build_model(
            reference, input_shape, num_classes, mean or identity[0], std or identity[1]
        ).eval()
        return TrainedClassifier(reference, model, weights_checksum(model.state_dict()), None)
    if mean is not None or std is not None:
        raise ModelError(
            f"{reference}: --mean and --std are for a package.module:factory; this file has its own"
        )
    model, record = load_model(Path(reference))
    if (record.input_shape, record.num_classes) != (input_shape, num_classes):
        raise ModelError(
            f"{reference}: is for inputs {record.input_shape} and {record.num_classes} classes, but the data "
            f"has {input_shape} and {num_classes}"
        )
    return TrainedClassifier(reference, model, record.weights_sha256, record)
