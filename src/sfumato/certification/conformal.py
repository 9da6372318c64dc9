"""Prediction sets that hold the true label with a chosen probability, wherever the input is moved to.

The steps have MAPIE's names: ``conformalize`` on calibration inputs with labels, ``predict_set`` on others.
The guarantee and its proof are in ``statistics.conformal``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Bool, Int

from sfumato.certification.inputs import whole_labels
from sfumato.errors import DataError, SettingError, require_nonnegative
from sfumato.frames import data_frame
from sfumato.notebooks import html_list
from sfumato.smoothing.smoothed import DEFAULT_VOTES, Smoothed
from sfumato.statistics.conformal import plan_conformal

Images = torch.Tensor | np.ndarray


@dataclass(frozen=True)
class PredictionSets:
    """The set of labels of each input.

    With probability at least ``coverage``, over calibration inputs, test input and noise, the set of a test
    input holds its true label, wherever within ``radius`` it was moved to before the votes. It is no
    statement about each single input or class.

    Attributes:
        members: whether a label is in the set of an input.
        coverage, radius: of the statement; the radius in the noise's norm, in the input's unit.
        votes: noisy copies of each input.
        threshold: a label is in the set if it has at least this many votes; with 0 every label is.
        calibration_count: the count of the calibration from which it follows.
    """

    members: Bool[np.ndarray, "inputs classes"]
    coverage: float
    radius: float
    votes: int
    threshold: int
    calibration_count: int

    def __len__(self) -> int:
        return len(self.members)

    @property
    def sizes(self) -> Int[np.ndarray, " inputs"]:
        """How many labels each set has."""
        return np.asarray(self.members.sum(axis=1))

    def labels(self, index: int) -> list[int]:
        """Return the labels in the set of an input."""
        return [int(label) for label in np.flatnonzero(self.members[index])]

    def covered(self, labels: object) -> Bool[np.ndarray, " inputs"]:
        """Return whether the set of each input holds its label.

        Raises:
            DataError: not one class for each input.
        """
        given = _labels(labels, len(self), self.members.shape[1])
        return np.asarray(self.members[np.arange(len(self)), given])

    def to_frame(self) -> Any:
        """Return a pandas data frame with one row per input: the size of its set, and its labels.

        Raises:
            MissingPackageError: pandas is not installed.
        """
        return data_frame({"size": self.sizes, "labels": [self.labels(row) for row in range(len(self))]})

    def __repr__(self) -> str:
        mean = f"{self.sizes.mean():.3g}" if len(self) else "no"
        return (
            f"PredictionSets({len(self)} inputs, {mean} labels on average, coverage {self.coverage:g} within "
            f"radius {self.radius:g}, at least {self.threshold} of {self.votes} votes)"
        )

    def _repr_html_(self) -> str:
        rows = [[row, ", ".join(map(str, self.labels(row)))] for row in range(len(self))]
        return html_list(repr(self), ["input", "labels"], rows)


class ConformalClassifier:
    """A smoothed classifier that returns sets of labels.

    Args:
        smoothed: whose votes are counted; every call takes fresh noise.
        coverage: probability with which a set holds the true label, e.g. 0.9.
        radius: within which test inputs may have been moved, in the noise's norm; 0 for ordinary sets.
        votes: noisy copies of each input.

    >>> model = torch.nn.Linear(1, 2)
    >>> _ = model.weight.data.copy_(torch.tensor([[0.0], [1.0]])), model.bias.data.zero_()
    >>> smoothed = Smoothed(model, beta=0.5, device="cpu")
    >>> x = torch.linspace(-2, 2, 200)[:, None]
    >>> sets = ConformalClassifier(smoothed, coverage=0.9, radius=0.1).conformalize(x, (x[:, 0] > 0).int())
    >>> sets.predict_set(torch.tensor([[-1.0], [1.0]])).members.tolist()
    [[True, False], [False, True]]

    Raises:
        SettingError: a coverage outside (0, 1), a radius below 0, no votes, or a noise that does not say how
            much probabilities change within a radius.
    """

    def __init__(
        self, smoothed: Smoothed, *, coverage: float = 0.9, radius: float = 0.0, votes: int = DEFAULT_VOTES
    ) -> None:
        self.smoothed, self.radius = smoothed, require_nonnegative("radius", radius)
        self._worst = partial(smoothed.noise.worst_failure, radius=self.radius)
        roughly = partial(smoothed.noise.forecaster().worst_failure, radius=self.radius)
        self.plan = plan_conformal(votes, coverage, roughly)
        self._found: tuple[int, int] | None = None
        self._changes = 0

    def conformalize(self, x: Images, y: object) -> Self:
        """Find the threshold on calibration inputs with their labels, none of which was trained on.

        Raises:
            DataError: not one class for each input; images or a model that do not fit, as ``Smoothed.votes``.
        """
        counts = self.smoothed.fresh_votes(x, self.plan.votes)
        labels = _labels(y, len(counts), counts.shape[1])
        k = self.plan.calibration_count(counts[np.arange(len(counts)), labels])
        self._found = k, self.plan.threshold(k, self._worst)
        self._changes = self.smoothed.changes
        return self

    def predict_set(self, x: Images) -> PredictionSets:
        """Return the sets of these inputs.

        Raises:
            SettingError: before ``conformalize``, or a module that has changed since.
        """
        if self._found is None:
            raise SettingError("conformalize comes before predict_set; give it inputs with labels")
        k, threshold = self._found
        counts = self.smoothed.fresh_votes(x, self.plan.votes)
        if self.smoothed.changes != self._changes:
            raise SettingError("the model has changed since conformalize, which must be done again")
        plan = self.plan
        return PredictionSets(counts >= threshold, plan.coverage, self.radius, plan.votes, threshold, k)


def _labels(given: object, inputs: int, classes: int) -> Int[np.ndarray, " inputs"]:
    """Return one class for each input."""
    labels = whole_labels(given)
    if len(labels) != inputs:
        raise DataError(f"{len(labels)} labels for {inputs} images; give one for each")
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        raise DataError(f"labels must lie in 0..{classes - 1}, got {labels.min()}..{labels.max()}")
    return labels
