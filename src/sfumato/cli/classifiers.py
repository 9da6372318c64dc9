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
    """Return the classifiers named by ``--model``; ``factory`` is what ``--model-factory`` says.

    Raises:
        SettingError: a factory that none of them needs.
        ModelError: as ``sfumato.models.classifier.load_classifier``.
    """
    from sfumato.errors import SettingError
    from sfumato.models.classifier import load_classifier
    from sfumato.models.registry import is_built_in

    means, stds = (options.parse_numbers(name, text) or None for name, text in (("mean", mean), ("std", std)))
    loaded = [
        load_classifier(
            name,
            dataset.input_shape,
            dataset.num_classes,
            means,
            stds,
            factory=factory,
            fingerprint=fingerprint,
        )
        for name in references
    ]
    for found in loaded:
        known = found.record.class_names if found.record else ()
        if known and dataset.class_names and tuple(known) != dataset.class_names:
            warn(
                f"{found.name}: was trained on the classes {_shortened(known)}, and {dataset.name} has "
                f"{_shortened(dataset.class_names)}: a label may not mean the same in both"
            )
    made = [found for found in loaded if found.record and not is_built_in(found.record.architecture)]
    if factory is not None and not made:
        raise SettingError(f"none of the given checkpoints needs model-factory {factory!r}; leave it out")
    for found in made:
        if found.record and found.record.architecture != factory:
            warn(
                f"{found.name}: was trained as {found.record.architecture!r} and is used as {factory!r}: "
                f"the weights fit, but only you know whether both compute the same"
            )
    return loaded


def _shortened(names: Sequence[str]) -> str:
    return ", ".join([*names[:5], *(["..."] if names[5:] else [])])
