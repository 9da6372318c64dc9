"""A warning where a model and data name their classes differently: a label is then not the same in both."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from sfumato.models.classifier import Classifier

_SHOWN = 5


def warn_of_other_classes(classifier: Classifier, names: Sequence[str] | None, whose: str) -> None:
    """Warn, in one line, if both name their classes and the names or their order differ.

    ``names`` are those of the data, which are called ``whose``. Data that only number their classes are
    warned of where the model has the record of its training.
    """
    known, given = classifier.known_classes, tuple(names or ())
    numbered = given == tuple(map(str, range(len(given))))
    if not known or not given or known == given or (numbered and classifier.record is None):
        return
    order = ""
    if sorted(known) == sorted(given):
        place = next(k for k, (one, other) in enumerate(zip(known, given, strict=True)) if one != other)
        order = f" (in another order: class {place} is {known[place]!r} there and {given[place]!r} here)"
    warnings.warn(
        f"{classifier.name}: was trained on the classes {_shortened(known)}, and {whose} has "
        f"{_shortened(given)}{order}: a label may not mean the same in both",
        stacklevel=3,
    )


def _shortened(names: Sequence[str]) -> str:
    return ", ".join([*names[:_SHOWN], *(["..."] if names[_SHOWN:] else [])])
