"""The classifiers that a command is given, loaded the same way for all commands."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sfumato.cli import options
from sfumato.cli.terminal import warn

_FREE = ("seed", "warm_start", "images_per_part")
"""What differs between the seeds of one alpha: a warm start is from the same seed of another alpha."""

_SERVICE = ("http://", "https://")
"""How the address of a service begins, in place of a name of a file."""

Numbers = str | Sequence[float] | None
"""A number for each channel, or the text of the option that has them."""

if TYPE_CHECKING:
    from sfumato.datasets import Dataset
    from sfumato.models.classifier import Classifier


def load_classifiers(
    references: Sequence[str],
    dataset: Dataset,
    mean: Numbers,
    std: Numbers,
    factory: str | None,
    fingerprint: str | None = None,
) -> list[Classifier]:
    """Return the classifiers named by ``--model``; ``factory`` is what ``--network`` says.

    Raises:
        SettingError: a factory that none of them needs.
        ModelError: as ``sfumato.models.classifier.load_classifier``; a service for images without labels.
    """
    from sfumato.errors import SettingError
    from sfumato.models.classifier import as_classifier, load_classifier
    from sfumato.models.registry import is_built_in
    from sfumato.smoothing.class_names import warn_of_other_classes

    means, stds = _numbers("mean", mean), _numbers("std", std)
    sizes = (dataset.input_shape, dataset.num_classes, means, stds)
    loaded = []
    for name in references:
        if (adapted := _adapted(name, dataset.num_classes)) is not None:
            loaded.append(as_classifier(name, adapted, *sizes, fingerprint=fingerprint))
        else:
            loaded.append(load_classifier(name, *sizes, factory=factory, fingerprint=fingerprint))
    for found in loaded:
        warn_of_other_classes(found, dataset.class_names, dataset.name)
    made = [found for found in loaded if found.record and not is_built_in(found.record.architecture)]
    if factory is not None and not made and not any(found.factory for found in loaded):
        raise SettingError(f"none of the given models needs network {factory!r}; leave it out")
    for found in made:
        if found.record and found.record.architecture != factory:
            warn(
                f"{found.name}: was trained as {found.record.architecture!r} and is used as {factory!r}: "
                f"the weights fit, but only you know whether both compute the same"
            )
    return loaded


def load_one_classifier(
    references: Sequence[str],
    dataset: Dataset,
    mean: Numbers,
    std: Numbers,
    factory: str | None,
    fingerprint: str | None = None,
    denoiser: Path | None = None,
) -> Classifier:
    """Return the one classifier that several ``--model`` and ``--denoiser`` make.

    Raises:
        as ``load_classifiers``; ModelError: a pattern that matches no file, or models of several trainings,
            models that cannot be averaged, or a denoiser for other images.
    """
    names = [name for reference in references for name in seeds_of(reference)]
    loaded = load_classifiers(names, dataset, mean, std, factory, fingerprint)
    return behind(denoiser, together(loaded), dataset)


def seeds_of(reference: str) -> list[str]:
    """Return the files that a pattern matches, which must differ in their seeds only; else the reference.

    The address of a service is no pattern, though it may hold a question mark.

    Raises:
        ModelError: no such file, or files of trainings with other settings.
    """
    import glob

    from sfumato.errors import ModelError
    from sfumato.models.checkpoint import read_record

    if reference.startswith(_SERVICE) or not glob.has_magic(reference):
        return [reference]
    if os.path.exists(reference):  # noqa: PTH110  # takes any name
        return [reference]
    found = sorted(glob.glob(reference))  # noqa: PTH207  # Path.glob refuses absolute patterns
    if not found:
        raise ModelError(f"{reference}: no file matches this pattern; give existing .safetensors files")
    first, *others = (read_record(Path(name)) for name in found)
    for name, record in zip(found[1:], others, strict=True):
        known = {**first.training, "data": first.data_sha256}
        other = {**record.training, "data": record.data_sha256}
        for key in sorted(set(known) | set(other)):
            if key not in _FREE and known.get(key) != other.get(key):
                raise ModelError(
                    f"{reference}: a pattern takes the seeds of one training, but {name} has {key} "
                    f"{other.get(key)} and {found[0]} has {known.get(key)}; name the files one by one"
                )
    return found


def together(classifiers: Sequence[Classifier]) -> Classifier:
    """Return the classifier itself, or the mean of the logits of several.

    Raises:
        ModelError: models that cannot be averaged.
    """
    from sfumato.models.ensemble import ensemble

    return ensemble(classifiers) if len(classifiers) > 1 else classifiers[0]


def behind(denoiser: Path | None, classifier: Classifier, dataset: Dataset) -> Classifier:
    """Return the classifier behind the denoiser, if one is given.

    Raises:
        ModelError: a file that is no denoiser, or one for other images.
    """
    if denoiser is None:
        return classifier
    from sfumato.errors import ModelError
    from sfumato.models.classifier import Classifier as Named
    from sfumato.models.classifier import augmentation_of
    from sfumato.models.denoised import denoised
    from sfumato.models.denoiser import load_denoiser

    front, record = load_denoiser(denoiser)
    if record.input_shape != dataset.input_shape:
        raise ModelError(
            f"{denoiser}: is for images {record.input_shape}, but the data has {dataset.input_shape}"
        )
    seen = augmentation_of(record.training)
    return denoised(classifier, Named(str(denoiser), front, record.weights_sha256, augmentations=seen))


def _numbers(name: str, given: Numbers) -> Sequence[float] | None:
    return (options.parse_numbers(name, given) if isinstance(given, str) else given) or None


def _adapted(reference: str, classes: int) -> Classifier | None:
    """Return the model of another tool that the text names, an ONNX file or a service; None if none.

    Raises:
        ModelError: a service for images without labels.
    """
    if reference.startswith(_SERVICE):
        from sfumato.errors import ModelError
        from sfumato.interop.http_endpoint import from_endpoint

        if not classes:
            raise ModelError(
                f"{reference}: answers of a service are checked against the number of classes, which images "
                "without labels do not say; put the images into one folder for each class, or give a "
                "checkpoint"
            )
        return from_endpoint(reference, classes)
    if reference.endswith(".onnx"):
        from sfumato.interop.onnx_runtime import from_onnx

        return from_onnx(reference)
    return None
