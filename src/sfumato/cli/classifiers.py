"""The classifiers that a command is given, loaded the same way for all commands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sfumato.cli import options
from sfumato.cli.terminal import warn

if TYPE_CHECKING:
    from sfumato.datasets import Dataset
    from sfumato.models.classifier import Classifier


def load_classifiers(
    references: Sequence[str],
    dataset: Dataset,
    mean: str | None,
    std: str | None,
    factory: str | None,
    fingerprint: str | None = None,
) -> list[Classifier]:
    """Return the classifiers named by ``--model``; ``factory`` is what ``--network`` says.

    Raises:
        SettingError: a factory that none of them needs.
        ModelError: as ``sfumato.models.classifier.load_classifier``.
    """
    from sfumato.errors import SettingError
    from sfumato.models.classifier import as_classifier, load_classifier
    from sfumato.models.registry import is_built_in

    means, stds = (options.parse_numbers(name, text) or None for name, text in (("mean", mean), ("std", std)))
    sizes = (dataset.input_shape, dataset.num_classes, means, stds)
    loaded = []
    for name in references:
        if (adapted := _adapted(name, dataset.num_classes)) is not None:
            loaded.append(as_classifier(name, adapted, *sizes, fingerprint=fingerprint))
        else:
            loaded.append(load_classifier(name, *sizes, factory=factory, fingerprint=fingerprint))
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


def _adapted(reference: str, classes: int) -> Classifier | None:
    """Return the model of another tool that the text names, an ONNX file or a service; None if none."""
    if reference.startswith(("http://", "https://")):
        from sfumato.interop.http_endpoint import from_endpoint

        return from_endpoint(reference, classes)
    if reference.endswith(".onnx"):
        from sfumato.interop.onnx_runtime import from_onnx

        return from_onnx(reference)
    return None
