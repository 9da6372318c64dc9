"""What commands say of a model that only guesses without noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sfumato.cli.terminal import warn

if TYPE_CHECKING:
    from sfumato.certification.without_noise import CleanAccuracy
    from sfumato.datasets import Dataset
    from sfumato.models.classifier import Classifier


def warn_at_chance(found: CleanAccuracy, classifier: Classifier) -> None:
    """Say what may be wrong where the model, the user's own or one of ours, only guesses.

    Nothing is said of batch norms with the statistics of noisy inputs, which do not fit clean ones.
    """
    if classifier.normalization is None and found.at_chance():
        cause = (
            "give --mean and --std if the model expects normalised inputs, and check the order of its classes"
            if classifier.record is None
            else "is this the data that it was trained for?"
        )
        warn(found.hint(cause))


def warn_if_it_guesses(classifier: Classifier, data: Dataset, examples: Sequence[int], device: str) -> None:
    """Ask the model about some test images without noise, and say what may be wrong where it only guesses."""
    from sfumato.certification.without_noise import accuracy_without_noise
    from sfumato.smoothing.smoothed import Smoothed

    unsmoothed = Smoothed(classifier, beta=1.0, device=device)
    warn_at_chance(accuracy_without_noise(unsmoothed, data, examples), classifier)
