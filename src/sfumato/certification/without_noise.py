"""The accuracy of the base classifier without noise, measured before any vote.

It shows at once what would otherwise cost a whole run: inputs in another range than the model expects, or
classes in another order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import stats

from sfumato.datasets import Dataset
from sfumato.models.classifier import Classifier
from sfumato.smoothing.smoothed import Smoothed

_MOST_IMAGES = 100
_FEWEST_IMAGES = 10
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

        Fewer than 10 images say nothing.
        """
        if self.images < _FEWEST_IMAGES:
            return False
        return bool(stats.binom.sf(self.right - 1, self.images, 1 / self.classes) >= _LIKELY)


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
    places = np.linspace(0, len(examples) - 1, min(_MOST_IMAGES, len(examples))).round().astype(int)
    known = [index for index in (examples[place] for place in places) if data.test.y[index] >= 0]
    right = 0
    for begin in range(0, len(known), _BATCH):
        some = known[begin : begin + _BATCH]
        images = np.asarray(data.test.x[some])
        smoothed.check(images[:1], data.num_classes)
        named = smoothed.outputs(torch.from_numpy(images)).argmax(dim=1).cpu().numpy()
        right += int((named == data.test.y[some]).sum())
    return CleanAccuracy(right, len(known), data.num_classes)
