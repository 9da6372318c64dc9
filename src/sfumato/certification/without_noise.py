"""The accuracy of the base classifier without noise, measured before any vote.

It shows at once what would otherwise cost a whole run: inputs in another range than the model expects, or
classes in another order.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from scipy import stats

from sfumato.datasets import Dataset
from sfumato.models.classifier import Classifier
from sfumato.smoothing.smoothed import Smoothed
from sfumato.smoothing.units import images_in_unit

_MOST_IMAGES = 100
_FEWEST_IMAGES = 10
_NONE_RIGHT = 7  # images of which a model that is right about half of them misses all once in 128 times
_BATCH = 32
_LIKELY = 0.2

WHOLE_TEST_SET = "the whole test set, recorded at its training"
THESE_IMAGES = "these images"


@dataclass(frozen=True)
class CleanAccuracy:
    """How many of some images the base classifier is right about, without noise.

    Attributes:
        right, images: counts.
        classes: of the data.
    """

    right: int
    images: int
    classes: int

    def at_chance(self) -> bool:
        """Return whether guessing would be right as often, with a probability of at least 0.2.

        Fewer than 10 images say nothing, unless none of 7 or more is right.
        """
        if self.images < _FEWEST_IMAGES:
            return self.right == 0 and self.images >= _NONE_RIGHT
        return bool(stats.binom.sf(self.right - 1, self.images, 1 / self.classes) >= _LIKELY)

    def hint(self, cause: str) -> str:
        """Return a warning of a model that only guesses; ``cause`` is what may be the reason."""
        return (
            f"{self.right} of {self.images} right without noise is what guessing among {self.classes} "
            f"classes gives: {cause}"
        )


@dataclass(frozen=True)
class StatedAccuracy:
    """The accuracy without noise that is stated beside a certified accuracy, and what it is of.

    Attributes:
        share: of the images that the base classifier is right about.
        of: which images these are: ``WHOLE_TEST_SET``, ``THESE_IMAGES`` or so many of them.
    """

    share: float
    of: str


def stated_accuracy(
    classifier: Classifier, data: Dataset, examples: Sequence[int], measured: CleanAccuracy
) -> StatedAccuracy | None:
    """Return what can be stated beside the certificates of these test examples; None without labels.

    A record's accuracy is of its own test set, and of the batch norms of its training: it is stated where the
    whole of that set is certified with these. Elsewhere it is what was measured on the examples.
    """
    record = classifier.record
    if (
        record is not None
        and classifier.normalization is None
        and len(examples) == len(data.test)
        and record.data_sha256 == data.checksum()
    ):
        return StatedAccuracy(record.clean_accuracy, WHOLE_TEST_SET)
    if not measured.images:
        return None
    of = THESE_IMAGES if measured.images == len(examples) else f"{measured.images} of these images"
    return StatedAccuracy(measured.right / measured.images, of)


def accuracy_without_noise(smoothed: Smoothed, data: Dataset, examples: Sequence[int]) -> CleanAccuracy:
    """Return the accuracy on at most 100 of these test examples, spread over all of them.

    Examples without a label (-1) do not count.

    Raises:
        DataError, ModelError, SfumatoError: as ``Smoothed.check``.
    """
    known = [
        index for index in (examples[place] for place in _spread(len(examples))) if data.test.y[index] >= 0
    ]
    right = 0
    for begin in range(0, len(known), _BATCH):
        some = known[begin : begin + _BATCH]
        images = np.asarray(data.test.x[some])
        smoothed.check(images[:1], data.num_classes)
        right += _right(smoothed.outputs(torch.from_numpy(images)), data.test.y[some])
    return CleanAccuracy(right, len(known), data.num_classes)


def warn_if_it_guesses(smoothed: Smoothed, images: torch.Tensor | np.ndarray, labels: np.ndarray) -> None:
    """Warn, in one line, where the base classifier only guesses the labels of these images without noise.

    It is asked about at most 100 of them. Nothing is said of labels of -1, which are unknown, nor of batch
    norms with the statistics of noisy inputs, which do not fit clean ones.
    """
    known = np.flatnonzero(labels >= 0)
    if len(known) < _NONE_RIGHT or smoothed.classifier.normalization is not None:
        return
    known = known[_spread(len(known))]
    right = classes = 0
    for begin in range(0, len(known), _BATCH):
        some = known[begin : begin + _BATCH]
        outputs = smoothed.outputs(images_in_unit(images[some], smoothed.beta, tell=False))
        right += _right(outputs, labels[some])
        classes = outputs.shape[1]
    if (found := CleanAccuracy(right, len(known), classes)).at_chance():
        cause = (
            "does the model expect its inputs normalised, or are its classes in another order, or counted "
            "from another number?"
        )
        warnings.warn(found.hint(cause), stacklevel=3)


def _right(outputs: torch.Tensor, labels: np.ndarray) -> int:
    return int((outputs.argmax(dim=1).cpu().numpy() == labels).sum())


def _spread(count: int) -> Int[np.ndarray, " places"]:
    """Return at most 100 places of so many, spread over all of them."""
    return np.linspace(0, count - 1, min(_MOST_IMAGES, count)).round().astype(int)
