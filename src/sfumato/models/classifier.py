"""A classifier with its identity: from a checkpoint, from a factory, or given as a model."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sfumato.errors import ModelError, SfumatoError
from sfumato.models.checkpoint import (
    WITHOUT_RECORD,
    ModelRecord,
    Normalization,
    has_record,
    load_model,
    read_record,
    record_on,
    weights_checksum,
)
from sfumato.models.outputs import understood
from sfumato.models.registry import Factory, build_body, factory_name, is_built_in, normalisation
from sfumato.models.state_dict import load_into, read_state_dict
from sfumato.models.zoo import is_of_zoo
from sfumato.user_code import told_in_one_line


@dataclass(frozen=True)
class Classifier:
    """A classifier with its identity: the one owner of a model.

    Attributes:
        name: as the user gave it, or the model's own.
        model: network behind its normalisation, or a black box, from a batch to (batch, classes).
        weights_sha256: checksum of the tensors that were loaded (of a black box those of ``mean`` and
            ``std``); None for a model that was handed over, whose tensors count as they are.
        record: what its checkpoint says of it; None for a model of one's own.
        factory: name of the factory that made the network, where a record names another or there is none:
            the same weights in other code are another classifier.
        fingerprint: a text by its owner that identifies a model whose weights are not visible. Without it,
            the answers to fixed inputs identify the model.
        normalization: how its batch norms were re-estimated, if they were.
        augmentations: what was done to the training images of its parts, where it is made of several and has
            no record of its own.
        class_names, unit: what is known without a record: its classes in the order of its outputs, and the
            unit of its inputs. Of a module that ``load_model`` returned they are its record's.
        mean, std: of each channel, as they were given for a model of one's own; None where none were.
    """

    name: str
    model: Callable[[torch.Tensor], torch.Tensor]
    weights_sha256: str | None = None
    record: ModelRecord | None = None
    factory: str | None = None
    fingerprint: str | None = None
    normalization: Normalization | None = None
    augmentations: frozenset[str] = frozenset()
    class_names: tuple[str, ...] = ()
    unit: str | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    @property
    def known_classes(self) -> tuple[str, ...]:
        """The names of its classes in the order of its outputs; none where they are not known."""
        return self.class_names if self.record is None else self.record.class_names

    @property
    def known_unit(self) -> str | None:
        """What a noise level of 1 means for its inputs; None where it is not known."""
        return self.unit if self.record is None else self.record.unit

    @staticmethod
    def of(model: Callable[[torch.Tensor], torch.Tensor] | Classifier) -> Classifier:
        """Return the classifier of a module or a callable; its attribute ``fingerprint`` is its owner's word.

        >>> Classifier.of(nn.Linear(2, 2)).name
        'Linear'

        Raises:
            ModelError: what cannot be called, or a fingerprint that is no text.
        """
        if isinstance(model, Classifier):
            return model
        if not callable(model):
            raise ModelError(f"a model is a torch.nn.Module or a callable, got {type(model).__name__}")
        name = getattr(model, "__qualname__", None) or type(model).__name__
        loaded = Classifier(name, model, fingerprint=_fingerprint_of(model))
        told = record_on(model)
        return replace(loaded, class_names=told.class_names, unit=told.unit) if told else loaded

    def training_augmentations(self) -> frozenset[str]:
        """Return what was done to the images of its training or of its parts'; empty: nothing says it."""
        if self.record is None:
            return self.augmentations
        return augmentation_of(self.record.training)

    def checksum(self) -> str:
        """Return the checksum of the tensors that the model has now.

        Raises:
            ModelError: they have changed since loading.
            SfumatoError: the tensors cannot be read from the module.
        """
        if not isinstance(self.model, nn.Module):
            return weights_checksum({}) if self.weights_sha256 is None else self.weights_sha256
        with told_in_one_line(
            f"{self.name}: the module does not say what its weights are", lost=SfumatoError
        ):
            found = weights_checksum(self.model.state_dict())
        if self.weights_sha256 not in (None, found):
            raise ModelError(
                f"{self.name}: its weights have changed since it was loaded (checksum {found[:12]}, it was "
                f"{str(self.weights_sha256)[:12]}); save the changed model and load that"
            )
        return found


def augmentation_of(training: Mapping[str, Any]) -> frozenset[str]:
    """Return what was done to the images of the training that a record describes; earlier ones do not say."""
    return frozenset([str(training.get("augmentation", "none"))])


def augmentations_of(parts: Iterable[Classifier]) -> frozenset[str]:
    """Return what was done to the training images of these parts of a classifier, as far as they say it.

    Parts without batch norms are left out: nothing in them is estimated from images again.
    """
    return frozenset(
        augmentation
        for part in parts
        if isinstance(part.model, nn.Module)
        and any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in part.model.modules())
        for augmentation in part.training_augmentations()
    )


def load_classifier(
    reference: str,
    input_shape: tuple[int, ...],
    num_classes: int,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    *,
    factory: Factory | None = None,
    fingerprint: str | None = None,
) -> Classifier:
    """Return the classifier in a file of weights, or made by ``package.module:name``.

    The name is that of a module, or of a factory, which gets (input_shape, num_classes) and returns a trained
    module, a ``Classifier``, or any callable from a batch (batch, *input_shape), a float32 tensor, to logits
    or scores (batch, classes) or labels (batch,), a tensor or an array. ``mean`` and ``std`` wrap it for
    inputs in [0, 1] if it expects normalised ones.

    ``factory`` builds the network of ordinary PyTorch weights (``read_state_dict``), and of a file of ours
    whose record names a factory, as in ``load_model``; for a built-in architecture it is not used.
    ``fingerprint`` says what a model of a factory is, in place of an attribute of this name. Where the data
    say nothing of classes, ``num_classes`` is 0; a factory needs it.

    Raises:
        ModelError: a missing or damaged file, one made for other data, or a factory that fails.
    """
    # unlike Path.exists it takes any name
    if ":" in reference and not os.path.exists(reference):  # noqa: PTH110
        if not num_classes:
            raise ModelError(
                f"{reference}: a factory is told the number of classes, which images without labels do not "
                "say; put the images into one folder for each class, or give a checkpoint"
            )
        if is_of_zoo(reference):
            raise ModelError(
                f"{reference}: is a network with random weights; train it, and give the checkpoint with "
                f"--network {reference}, or name a factory of your own that loads weights"
            )
        body = build_body(reference, input_shape, num_classes)
        return as_classifier(reference, body, input_shape, num_classes, mean, std, fingerprint=fingerprint)
    if not has_record(Path(reference)):
        if factory is None:
            raise ModelError(f"{reference}: {WITHOUT_RECORD}")
        body = build_body(factory, input_shape, num_classes)
        if not isinstance(body, nn.Module):
            made = type(body).__name__
            raise ModelError(f"{factory_name(factory)}: must return a torch.nn.Module, got {made}")
        load_into(body, read_state_dict(reference), reference)
        loaded = as_classifier(reference, body, input_shape, num_classes, mean, std, fingerprint=fingerprint)
        return replace(loaded, factory=factory_name(factory))
    for options, given in (("--fingerprint", (fingerprint,)), ("--mean and --std", (mean, std))):
        if any(value is not None for value in given):
            raise ModelError(
                f"{reference}: {options} is for models and weights of your own; this file already states it"
            )
    path = Path(reference)
    record = read_record(path)
    if (record.input_shape, record.num_classes) != (input_shape, num_classes or record.num_classes):
        raise ModelError(
            f"{reference}: is for inputs {record.input_shape} and {record.num_classes} classes, but the data "
            f"has {input_shape} and {num_classes}"
        )
    if factory is None or is_built_in(record.architecture):
        model, record = load_model(path)
        return Classifier(reference, model, record.weights_sha256, record, normalization=record.normalization)
    model, record = load_model(path, factory=factory)
    other = factory_name(factory) if factory_name(factory) != record.architecture else None
    return Classifier(
        reference, model, record.weights_sha256, record, other, normalization=record.normalization
    )


def as_classifier(
    name: str,
    model: object,
    input_shape: tuple[int, ...],
    num_classes: int,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    *,
    fingerprint: str | None = None,
) -> Classifier:
    """Return a module, a callable or a ``Classifier`` as the classifier of this name, normalised in front.

    Raises:
        ModelError: anything else, or not one mean and std for each channel.
    """
    channels = input_shape[0]
    normalise = normalisation(
        [0.0] * channels if mean is None else mean, [1.0] * channels if std is None else std, input_shape
    )
    known: dict[str, Any] = {
        "fingerprint": fingerprint or _fingerprint_of(model),
        "mean": tuple(mean) if mean else None,
        "std": tuple(std) if std else None,
    }
    inner = model
    if isinstance(model, Classifier):
        inner, known = model.model, known | {"class_names": model.known_classes, "unit": model.known_unit}
    if isinstance(inner, nn.Module):
        loaded = Classifier(name, nn.Sequential(normalise, inner).eval(), **known)
        return replace(loaded, weights_sha256=loaded.checksum())
    if not callable(inner):
        raise ModelError(
            f"{name}: the factory must return a torch.nn.Module or a callable, got {type(inner).__name__}"
        )
    seen = weights_checksum(normalise.state_dict())
    return Classifier(name, _BlackBox(normalise, inner, num_classes), seen, **known)


def _fingerprint_of(model: object) -> str | None:
    found = getattr(model, "fingerprint", None)
    if found is not None and not isinstance(found, str):
        raise ModelError(f"the attribute fingerprint of a model must be a text, got {type(found).__name__}")
    return found


class _BlackBox:
    """A callable behind its normalisation, whose labels become logits."""

    def __init__(self, normalise: nn.Module, scores: Callable[[torch.Tensor], Any], classes: int) -> None:
        self._normalise, self._scores, self._classes = normalise, scores, classes

    def __call__(self, x: torch.Tensor) -> Any:
        return understood(self._scores(self._normalise.to(x.device)(x)), self._classes)
