"""A trained classifier as a user names it: a checkpoint of ours, or a factory of their own."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sfumato.errors import ModelError, SfumatoError
from sfumato.models.checkpoint import ModelRecord, load_model, read_record, weights_checksum
from sfumato.models.registry import Factory, build_body, factory_name, is_built_in, normalisation
from sfumato.user_code import told_in_one_line


@dataclass(frozen=True)
class TrainedClassifier:
    """A classifier ready to be smoothed.

    Attributes:
        name: as the user gave it.
        model: network behind its normalisation, in evaluation mode; or a black box.
        weights_sha256: checksum of all its tensors; for a black box, whose tensors are not seen, of
            ``mean`` and ``std``.
        record: what its checkpoint says of it; None for a factory.
        factory: name of the factory that made the network, where its record names another: the same weights
            in other code are another classifier.
    """

    name: str
    model: Callable[[torch.Tensor], torch.Tensor]
    weights_sha256: str
    record: ModelRecord | None
    factory: str | None = None


def load_classifier(
    reference: str,
    input_shape: tuple[int, ...],
    num_classes: int,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    *,
    factory: Factory | None = None,
) -> TrainedClassifier:
    """Return the classifier in a ``.safetensors`` of ours, or made by ``package.module:factory``.

    The factory gets (input_shape, num_classes) and returns a trained module, or any callable from a batch
    (batch, *input_shape), a float32 tensor, to logits or scores (batch, classes), a tensor or an array.
    ``mean`` and ``std`` wrap it for inputs in [0, 1] if it expects normalised ones.

    ``factory`` makes the network of a file whose record names a factory, as in ``load_model``; a file of a
    built-in architecture makes no use of it.

    Raises:
        ModelError: a missing or damaged file, one made for other data, or a factory that fails.
    """
    # unlike Path.exists it takes any name
    if ":" in reference and not os.path.exists(reference):  # noqa: PTH110
        normalise = normalisation(mean or [0.0] * input_shape[0], std or [1.0] * input_shape[0], input_shape)
        body = build_body(reference, input_shape, num_classes)
        if isinstance(body, nn.Module):
            wrapped = nn.Sequential(normalise, body).eval()
            with told_in_one_line(
                f"{reference}: the module does not say what its weights are", lost=SfumatoError
            ):
                checksum = weights_checksum(wrapped.state_dict())
            return TrainedClassifier(reference, wrapped, checksum, None)
        if not callable(body):
            raise ModelError(
                f"{reference}: the factory must return a torch.nn.Module or a callable, got "
                f"{type(body).__name__}"
            )
        return TrainedClassifier(
            reference, _black_box(normalise, body), weights_checksum(normalise.state_dict()), None
        )
    if mean is not None or std is not None:
        raise ModelError(
            f"{reference}: --mean and --std are for a package.module:factory; this file has its own"
        )
    path = Path(reference)
    record = read_record(path)
    if (record.input_shape, record.num_classes) != (input_shape, num_classes):
        raise ModelError(
            f"{reference}: is for inputs {record.input_shape} and {record.num_classes} classes, but the data "
            f"has {input_shape} and {num_classes}"
        )
    needed = None if is_built_in(record.architecture) else factory
    model, record = load_model(path, factory=needed)
    other = needed is not None and factory_name(needed) != record.architecture
    return TrainedClassifier(
        reference, model, record.weights_sha256, record, factory_name(needed) if needed and other else None
    )


def _black_box(
    normalise: nn.Module, scores: Callable[[torch.Tensor], Any]
) -> Callable[[torch.Tensor], torch.Tensor]:
    def classify(x: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(scores(normalise.to(x.device)(x)), device=x.device)

    return classify
