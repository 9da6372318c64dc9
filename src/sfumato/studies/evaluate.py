"""The votes of one shard of test images, as the rows that a study keeps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Int

from sfumato.plans import ABSTAIN
from sfumato.smoothing.answers import require_classes
from sfumato.smoothing.base_classifier import BaseClassifier
from sfumato.smoothing.smoothed import Smoothed
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
    smoothed: Smoothed,
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
    run = smoothed.run(x, votes.plan(), examples=examples)
    return _rows(
        examples,
        labels,
        np.array([decision.prediction for decision in run.decisions()]),
        run.votes,
        run.first_votes,
        run.first_counts[np.arange(len(x)), labels],
    )


def _rows(examples: Sequence[int], *columns: np.ndarray) -> Rows:
    return np.column_stack([np.asarray(examples), *columns]).astype(np.int64)
