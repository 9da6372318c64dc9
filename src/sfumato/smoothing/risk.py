"""The risk Delta(alpha, beta) of Pal & Sulam 2023: how often the smoothed prediction is not the label.

Every command and every cell of a study measures it here: ``vote_on`` decides an image by the same votes,
stopped by the same plan, and keeps the same columns for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int

from sfumato.datasets import Dataset, Split
from sfumato.datasets.given import without_frame
from sfumato.datasets.on_demand import Examples, OnDemand, per_block
from sfumato.devices import choose_device
from sfumato.errors import DataError, require_nonnegative
from sfumato.frames import data_frame
from sfumato.notebooks import html_table
from sfumato.plans import Plan
from sfumato.plans.early_vote import EarlyVote
from sfumato.plans.vote import Vote
from sfumato.progress import shown_progress
from sfumato.smoothing.answers import require_classes
from sfumato.smoothing.base_classifier import BaseClassifier
from sfumato.smoothing.begun import finish_together
from sfumato.smoothing.configuration import Configuration, Network, require_precision
from sfumato.smoothing.smoothed import DEFAULT_VOTES, Smoothed
from sfumato.smoothing.units import images_in_unit
from sfumato.statistics.binomial import two_sided_interval

SHARD = 500
"""Images voted on together where their pace is not known: enough to fill batches, little to lose."""
LARGEST_SHARD = 2_000
"""More images leave hardly fewer small batches: those of the last looks, when few images are undecided."""

_FIRST_VOTES = 32_000  # of all images voted on together, where each gets many

Rows = Int[np.ndarray, "images 6"]
"""The columns of ``ImageVotes``."""


@dataclass(frozen=True)
class ImageVotes:
    """The result of the votes on each image.

    Attributes:
        examples: indices of the test images.
        labels: their true classes.
        predicted: the majority class of the votes, -1 where every vote was NaN.
        votes: noisy copies spent on each image.
        first_votes: how many of these, the first ones, were counted before any look at the result, so
            that ``first_hits / first_votes`` estimates the per-noise-sample accuracy without bias.
        first_hits: how many of the first votes were for the label.
    """

    examples: Int[np.ndarray, " images"]
    labels: Int[np.ndarray, " images"]
    predicted: Int[np.ndarray, " images"]
    votes: Int[np.ndarray, " images"]
    first_votes: Int[np.ndarray, " images"]
    first_hits: Int[np.ndarray, " images"]

    @property
    def wrong(self) -> Bool[np.ndarray, " images"]:
        """Whether the smoothed prediction differs from the label."""
        return np.asarray(self.predicted != self.labels)

    @property
    def errors(self) -> int:
        """How many predictions differ from the label."""
        return int(self.wrong.sum())

    @property
    def risk(self) -> float:
        """Delta(alpha, beta) on these images."""
        return float(self.wrong.mean())

    @property
    def soft_risk(self) -> float:
        """The share of single noisy copies whose class is not the label, averaged over images."""
        return float(1.0 - (self.first_hits / self.first_votes).mean())

    def to_frame(self) -> Any:
        """Return a pandas data frame with one row per image.

        Raises:
            MissingPackageError: pandas is not installed.
        """
        beside = {name: getattr(self, name) for name in ("votes", "first_votes", "first_hits")}
        asked = {"example": self.examples, "label": self.labels}
        return data_frame(
            {**asked, "predicted": self.predicted, "wrong": self.wrong, **beside}, index="example"
        )


@dataclass(frozen=True)
class Risk:
    """Share of examples whose smoothed prediction differs from the label.

    Attributes:
        beta: smoothing noise in the input's unit.
        votes: noisy copies per example; their majority is the prediction.
        images: the votes of each example.
    """

    beta: float
    votes: int
    images: ImageVotes

    @property
    def errors(self) -> int:
        """How many predictions differ from the label."""
        return self.images.errors

    @property
    def examples(self) -> int:
        """How many examples were voted on."""
        return len(self.images.examples)

    @property
    def value(self) -> float:
        """The estimate Delta."""
        return self.images.risk

    def to_frame(self) -> Any:
        """Return a pandas data frame with one row per example, as ``ImageVotes`` does."""
        return self.images.to_frame()

    def _repr_html_(self) -> str:
        low, high = self.interval()
        row = [f"{self.beta:g}", f"{self.value:.4f}", f"{low:.4f}", f"{high:.4f}"]
        row += [f"{self.images.soft_risk:.4f}", f"{self.examples:,}", f"{self.votes:,}"]
        columns = ["beta", "risk", "low", "high", "soft risk", "images", "votes"]
        return html_table("Risk of the majority of the votes, with its 95 % interval", columns, [row])

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Return the exact two-sided interval for the risk on the population of examples."""
        return two_sided_interval(self.errors, self.examples, confidence)


def measure_risk(
    model: Network,
    split: Split | Dataset | tuple[Any, Any],
    beta: float,
    *,
    n: int = DEFAULT_VOTES,
    error: float | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    device: str = "auto",
    precision: str = "float32",
    configuration: Configuration | None = None,
    classes: int | None = None,
    on_progress: Callable[[int], None] = lambda examples: None,
    progress: bool | None = None,
) -> Risk:
    """Return the risk of the majority of ``n`` votes at noise ``beta`` over all of ``split``.

    That is a ``Split``, images with their labels (x, y), or the test images of a ``Dataset``. Voting on an
    image stops once the majority of its n votes is decided. With ``error`` it stops sooner, and
    for each image the prediction may differ from that majority with at most this probability (``EarlyVote``).
    beta = 0 is the base classifier itself, one vote without noise. With the ``precision`` bf16 the
    bfloat16 network is measured. ``configuration`` is how votes are computed, as ``tuning`` measures
    it, in place of ``batch_size`` and ``precision``. ``classes`` is how many the data has, if more than the
    labels of ``split`` show. ``on_progress`` is called with the number of examples just finished.
    ``progress`` draws a progress bar on standard error; in notebooks only if not given.

    Raises:
        SettingError: a beta, n or error out of range.
        DataError: anything else in place of ``split``, or not one label for each image.
        ModelError: a model that does not fit the images, or has fewer outputs than the data has classes.
    """
    require_nonnegative("beta", beta)
    split = _split_of(split, beta)
    plan = Vote(n) if error is None else EarlyVote(n, error)
    if configuration is not None:
        precision = configuration.precision
    voter = (
        Smoothed(
            model,
            beta,
            seed=seed,
            batch_size=batch_size,
            device=device,
            precision=precision,
            configuration=configuration,
        )
        if beta > 0
        else BaseClassifier(model, choose_device(device), precision=require_precision(precision))
    )
    with shown_progress(progress, f"risk at beta {beta:g}", len(split)) as bar:

        def go_on(images: int) -> None:
            bar.advance(images)
            on_progress(images)

        rows = vote_on(voter, plan, split.x, split.y, range(len(split)), classes=classes, on_progress=go_on)
    return Risk(beta, n if beta > 0 else 1, ImageVotes(*rows.T.copy()))


def _split_of(given: Any, beta: float) -> Split:
    """Return images with their labels as a split; bytes are divided by 255.

    Raises:
        DataError: neither of them, or not one class index for each image.
    """
    if isinstance(given, Split | Dataset):
        return given if isinstance(given, Split) else given.test
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise DataError(
            f"split must be a Split, images with their labels (x, y) or a Dataset, got {type(given).__name__}"
        )
    x, y = (without_frame(part) for part in given)
    images = images_in_unit(x, beta).cpu().numpy()
    labels = np.asarray(y.detach().cpu() if hasattr(y, "detach") else y)
    if labels.shape != (len(images),) or labels.dtype.kind not in "iu":
        raise DataError(
            f"labels must be one whole number for each of {len(images)} images, got {labels.dtype} of shape "
            f"{labels.shape}"
        )
    return Split(images, labels.astype(np.int64))


def vote_on(
    voter: Smoothed | BaseClassifier,
    plan: Plan,
    x: Examples,
    labels: Int[np.ndarray, " images"],
    examples: Sequence[int],
    *,
    classes: int | None = None,
    together: int = SHARD,
    on_progress: Callable[[int], None] = lambda images: None,
) -> Rows:
    """Return a row for each image, the columns of ``ImageVotes``.

    A base classifier is its own one vote, whatever the plan. ``examples`` are the keys of the images' noise,
    ``classes`` and ``on_progress`` as of ``measure_risk``. At most ``together`` images are voted on at once,
    which changes the speed only.

    Raises:
        DataError: an unknown label.
        ModelError: the model does not fit the images, or has fewer outputs than the data has classes.
        SfumatoError: the forward pass failed.
    """
    if isinstance(voter, Smoothed):
        (rows,) = vote_on_each(
            *([voter], plan, x, labels, examples),
            classes=classes,
            together=together,
            on_progress=on_progress,
        )
        return rows
    found = []
    needed = _classes_of(labels, classes)
    for part, images in _parts(x, plan, together):
        on_device, true = images.to(voter.device), labels[part]
        require_classes(voter.prepare(on_device), needed)
        predicted = voter.classes(on_device).cpu().numpy()
        one = np.ones(len(images), dtype=np.int64)
        found.append(_rows(examples[part], true, predicted, one, one, predicted == true))
        on_progress(len(images))
    return np.concatenate(found)


def vote_on_each(
    voters: Sequence[Smoothed],
    plan: Plan,
    x: Examples,
    labels: Int[np.ndarray, " images"],
    examples: Sequence[int],
    *,
    classes: int | None = None,
    together: int = SHARD,
    on_progress: Callable[[int], None] = lambda images: None,
) -> list[Rows]:
    """Return for each classifier the rows that ``vote_on`` returns for it alone.

    An image's noise is drawn once for all that want the same votes of it. The classifiers are of one seed and
    on one device; ``on_progress`` is told of images that all of them have voted on.

    Raises:
        SettingError: classifiers of several seeds.
        DataError, ModelError, SfumatoError: as ``vote_on``.
    """
    found: list[list[Rows]] = [[] for _ in voters]
    needed = _classes_of(labels, classes)
    for part, images in _parts(x, plan, together):
        on_device, keys, true = images.to(voters[0].device), examples[part], labels[part]
        for voter in voters:
            voter.check(on_device[:1], needed)
        begun = [voter.begin((on_device, keys, None), plan) for voter in voters]
        finish_together(begun)
        for rows, run in zip(found, (one.run for one in begun), strict=True):
            first_hits = run.first_counts[np.arange(len(images)), true]
            rows.append(_rows(keys, true, run.predictions(), run.votes, run.first_votes, first_hits))
        on_progress(len(images))
    return [np.concatenate(rows) for rows in found]


def _classes_of(labels: Int[np.ndarray, " images"], classes: int | None) -> int:
    if labels.min() < 0:
        raise DataError("the risk needs the label of each image, and some are unknown (-1)")
    return classes or int(labels.max()) + 1


def _parts(x: Examples, plan: Plan, together: int) -> Iterator[tuple[slice, torch.Tensor]]:
    """Yield the images in parts that are voted on at once."""
    together = max(1, min(together, _FIRST_VOTES // max(1, plan.least_votes)))
    if isinstance(x, OnDemand):
        together = min(together, per_block(x))
    for start in range(0, len(x), together):
        part = slice(start, start + together)
        yield part, torch.from_numpy(x[part])


def _rows(keys: Sequence[int], *columns: np.ndarray) -> Rows:
    return np.column_stack([np.asarray(keys), *columns]).astype(np.int64)
