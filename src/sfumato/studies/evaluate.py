"""The votes of one shard of test images, as the rows that a study keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Int

from sfumato.smoothing.answers import require_classes
from sfumato.smoothing.base_classifier import BaseClassifier
from sfumato.smoothing.smoothed import SmoothedClassifier
from sfumato.statistics.plans import ABSTAIN
from sfumato.statistics.plans.base import Plan, PlanRun
from sfumato.studies.design import VotesTable
from sfumato.studies.store import Rows

SHARD = 500
"""Images voted on together and kept in one transaction: enough to fill batches, little to lose."""


def classify_shard(
    base: BaseClassifier, x: torch.Tensor, examples: Sequence[int], labels: Int[np.ndarray, " images"]
) -> Rows:
    """Return the rows of ``count_shard`` at beta = 0: the base classifier itself is the one vote.

    Raises:
        ModelError: the model does not fit the images.
        SfumatoError: the forward pass failed.
    """
    require_classes(base.prepare(x), int(labels.max()) + 1)
    predicted = base.classes(x).cpu().numpy()
    ones = np.ones(len(x), dtype=np.int64)
    return _rows(examples, labels, predicted, ones, ones, predicted == labels)


def count_shard(
    smoothed: SmoothedClassifier,
    votes: VotesTable,
    x: torch.Tensor,
    examples: Sequence[int],
    labels: Int[np.ndarray, " images"],
) -> Rows:
    """Return one row per image: example, label, predicted, votes, first votes, hits among these.

    ``x`` is (images, *shape) on the classifier's device, ``examples`` are the keys of their noise. The
    first votes are those counted before any look at the result, so that hits / first votes estimates
    the per-noise-sample accuracy without bias.

    Raises:
        SfumatoError: the forward pass failed.
    """
    smoothed.check(x[:1], int(labels.max()) + 1)
    if votes.rule == "all":
        counts = smoothed.votes(x, votes.n, examples=examples)
        each = np.full(len(x), votes.n, dtype=np.int64)
        predicted = np.where(counts.any(axis=1), counts.argmax(axis=1), ABSTAIN)
        return _rows(examples, labels, predicted, each, each, counts[np.arange(len(x)), labels])
    watched = _FirstCounts(votes.plan())
    decisions = smoothed.certify(x, watched, examples=examples)
    first = watched.counts[0]
    return _rows(
        examples,
        labels,
        np.array([decision.prediction for decision in decisions]),
        np.array([decision.votes for decision in decisions]),
        watched.demanded[0],
        first[np.arange(len(x)), labels],
    )


def _rows(examples: Sequence[int], *columns: np.ndarray) -> Rows:
    return np.column_stack([np.asarray(examples), *columns]).astype(np.int64)


@dataclass
class _FirstCounts:
    """A plan that keeps the counts of the first votes of its run."""

    plan: Plan
    demanded: list[Int[np.ndarray, " images"]] = field(default_factory=list)
    counts: list[Int[np.ndarray, "images classes"]] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.plan.name

    @property
    def least_votes(self) -> int:
        return self.plan.least_votes

    def start(
        self,
        images: int,
        classes: int,
        *,
        beta: float,
        confidence: float,
        labels: Int[np.ndarray, " images"] | None = None,
    ) -> PlanRun:
        return _FirstCountsRun(
            self, self.plan.start(images, classes, beta=beta, confidence=confidence, labels=labels)
        )


class _FirstCountsRun:
    def __init__(self, owner: _FirstCounts, run: PlanRun) -> None:
        self._owner, self._run = owner, run
        self.demand, self.decisions = run.demand, run.decisions

    def update(self, counts: Int[np.ndarray, "images classes"]) -> None:
        if not self._owner.counts:
            self._owner.demanded.append(self._run.demand())
            self._owner.counts.append(counts.copy())
        self._run.update(counts)
