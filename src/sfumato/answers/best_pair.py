"""The best pair of noises (alpha, beta) for an objective, its confidence set and its gain.

All pairs are measured on the same images and with the same standard normal noise, which each beta scales, so
every comparison is paired. Statements are about the trained networks at hand.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool

from sfumato.answers.objective import Cell, Key, Objective
from sfumato.errors import DataError, require_open_unit
from sfumato.frames import data_frame
from sfumato.notebooks import html_list
from sfumato.statistics.compare import best_set, mean_rate_interval, selected_gain
from sfumato.studies.results import StudyResults

Pair = tuple[float, float]
"""Training noise alpha, smoothing noise beta."""


@dataclass(frozen=True)
class Gain:
    """How much lower the loss is at the best pair than with the usual rule, without selection bias.

    Attributes:
        rule: ``alpha = beta``, or ``best alpha = beta`` where beta is free.
        alpha, beta: the measured pair that the rule names.
        risk: mean loss there, on all images.
        gain: mean loss of the rule minus mean loss of the best pair, both selected on one half of the images
            and measured on the other.
        low, high, p_value: interval and two-sided p-value of ``gain`` (``statistics.compare.selected_gain``).
        selected, against: the best pair and the rule's pair, as selected on either half.
        clear: both halves select the same by a clear lead, so that the p-value is exact.
    """

    rule: str
    alpha: float
    beta: float
    risk: float
    gain: float
    low: float
    high: float
    p_value: float
    selected: tuple[Pair, Pair]
    against: tuple[Pair, Pair]
    clear: bool


@dataclass(frozen=True)
class PairAnswer:
    """The best pair of noises for one objective.

    Attributes:
        objective: in words.
        images: how many test images.
        seeds: training seeds that every pair here was trained with.
        pairs: all pairs compared, on all images.
        among: all pairs that took part: those compared, and those that dropped out of a race before.
        accuracies: share of images not lost, for each pair.
        alpha, beta: the best pair: fewest images lost; in a tie the smallest beta, then the smallest alpha.
        accuracy: share of images not lost there.
        low, high: its bounds in the population. They hold for all pairs together, so also for the selected
            one. For certificates, ``low`` bounds the share that is truly robust.
        members: pairs that no other beats significantly: with probability at least ``confidence`` the truly
            best of the measured pairs is among them (paired tests, ``statistics.compare.best_set``: exact
            with one training seed and images that are lost or not, else for many images).
        gain: over training with alpha = beta.
        left_out: cells that were not used, since their seed is missing for other pairs.
        confidence: of the bounds, the set and the gain's interval.
    """

    objective: str
    images: int
    seeds: tuple[int, ...]
    pairs: tuple[Pair, ...]
    among: tuple[Pair, ...]
    accuracies: tuple[float, ...]
    alpha: float
    beta: float
    accuracy: float
    low: float
    high: float
    members: tuple[Pair, ...]
    gain: Gain
    left_out: int
    confidence: float

    def to_frame(self) -> Any:
        """Return a pandas data frame with one row per pair that was compared on all images.

        ``in_set`` says whether the pair is a member of the confidence set, ``best`` whether it is the best.

        Raises:
            MissingPackageError: pandas is not installed.
        """
        return data_frame(
            {
                "alpha": [alpha for alpha, _ in self.pairs],
                "beta": [beta for _, beta in self.pairs],
                "accuracy": self.accuracies,
                "in_set": [pair in self.members for pair in self.pairs],
                "best": [pair == (self.alpha, self.beta) for pair in self.pairs],
            },
            index=("alpha", "beta"),
        )

    def _repr_html_(self) -> str:
        order = sorted(zip(self.accuracies, self.pairs, strict=True), key=lambda one: (-one[0], one[1][::-1]))
        rows = [
            [f"{alpha:g}", f"{beta:g}", f"{share:.4f}", "yes" if (alpha, beta) in self.members else "no"]
            for share, (alpha, beta) in order
        ]
        caption = (
            f"{self.objective}: best is alpha {self.alpha:g}, beta {self.beta:g} ({self.accuracy:.4f}, "
            f"{self.low:.4f} to {self.high:.4f}) on {self.images:,} images"
        )
        return html_list(caption, ["alpha", "beta", "accuracy", "in the set"], rows)

    @property
    def edges(self) -> tuple[str, ...]:
        """At which ends of the measured noises the best pair lies, so that the best may lie beyond."""
        alphas = sorted({alpha for alpha, beta in self.among if beta == self.beta})
        betas = sorted({beta for _, beta in self.among})
        found = []
        for name, value, measured in (("alpha", self.alpha, alphas), ("beta", self.beta, betas)):
            if len(measured) > 1 and value in (measured[-1], measured[0]) and value > 0:
                found.append(f"{name}* {value:g} is the {'largest' if value == measured[-1] else 'smallest'}")
        return tuple(found)


@dataclass(frozen=True)
class Losses:
    """The losses that can be compared: every pair with every seed, on the same images.

    Attributes:
        pairs: by beta, then alpha.
        seeds: training seeds.
        lost: whether each image is lost; one row per seed, or one per seed and part of an image.
        left_out: cells that were not used.
    """

    pairs: list[Pair]
    seeds: list[int]
    lost: Bool[np.ndarray, "rows pairs images"]
    left_out: int


def comparable_losses(results: StudyResults, objective: Objective[Any], beta: float | None = None) -> Losses:
    """Return the losses of all pairs, or of those at one ``beta``.

    Raises:
        SettingError: a beta that was not measured.
        DataError: what the objective needs is missing, or cells were measured on different images.
    """
    cells = objective.cells(results, beta)
    _require_same_images(cells.items())
    by_run = {((alpha, b), run): cell for (alpha, b, run), cell in cells.items()}
    pairs, seeds = _largest_rectangle(set(by_run))
    # (seeds, pairs, parts, images), where an image that cannot be lost in part is one part
    parts = np.array([[np.atleast_2d(objective.loss(by_run[pair, run])) for pair in pairs] for run in seeds])
    lost = parts.swapaxes(1, 2).reshape(-1, len(pairs), parts.shape[-1])
    return Losses(pairs, seeds, lost, len(by_run) - len(pairs) * len(seeds))


def _require_same_images(cells: Iterable[tuple[Key, Cell]]) -> None:
    (key, first), *others = cells
    for other_key, other in others:
        if not (
            np.array_equal(first.examples, other.examples) and np.array_equal(first.labels, other.labels)
        ):
            a, b = (
                f"(alpha {alpha:g}, beta {beta:g}, seed {run}; {len(cell.examples)} images)"
                for (alpha, beta, run), cell in ((key, first), (other_key, other))
            )
            raise DataError(f"cells {a} and {b} were measured on different images; they must be the same")


def _largest_rectangle(cells: set[tuple[Pair, int]]) -> tuple[list[Pair], list[int]]:
    """Return the pairs and seeds of a complete table among the (pair, seed) of an unfinished study.

    Seeds are added in the order of how many pairs have them, as long as the table grows.
    """
    by_seed = {run: {pair for pair, other in cells if other == run} for _, run in cells}
    order = sorted(by_seed, key=lambda run: (-len(by_seed[run]), run))
    tables = []
    for count in range(1, len(order) + 1):
        common = set.intersection(*(by_seed[run] for run in order[:count]))
        tables.append((len(common) * count, len(common), count, common))
    _, _, count, common = max(tables, key=lambda table: table[:2])
    return sorted(common, key=lambda pair: pair[::-1]), sorted(order[:count])


def best_pair(
    results: StudyResults,
    objective: Objective[Any],
    *,
    beta: float | None = None,
    confidence: float = 0.95,
    seed: int = 0,
) -> PairAnswer:
    """Return the best of all measured pairs (alpha, beta), or of those at one ``beta``.

    ``seed`` determines the halves of the images.

    Raises:
        SettingError: a confidence outside (0, 1), a beta that was not measured.
        DataError: what the objective needs is missing, or cells were measured on different images.
    """
    require_open_unit("confidence", confidence)
    found, error = comparable_losses(results, objective, beta), objective.error(results)
    return best_of(found, str(objective), error=error, free=beta is None, confidence=confidence, seed=seed)


def best_of(
    found: Losses,
    objective: str,
    *,
    error: float,
    free: bool,
    confidence: float,
    seed: int = 0,
    among: Sequence[Pair] | None = None,
) -> PairAnswer:
    """Return the best of these pairs.

    If the same images selected these pairs out of ``among``, set and bounds allow for all of ``among``. The
    gain is over those with alpha = beta in ``among``, as far as they are compared.

    ``error`` is the probability that a truly lost image counts as not lost. ``free`` says whether beta may be
    chosen. The rest is as in ``best_pair``.
    """
    pairs, lost = found.pairs, found.lost
    began = tuple(pairs if among is None else among)
    means = lost.mean(axis=(0, 2))
    best = int(lost.sum(axis=(0, 2)).argmin())
    # the bounds hold for all pairs together
    share = (1.0 - confidence) / len(began)
    low, high = mean_rate_interval(~lost[:, best], confidence=1.0 - share)
    kept = best_set(lost, confidence=confidence, among=len(began)).kept
    return PairAnswer(
        objective=objective,
        images=lost.shape[2],
        seeds=tuple(found.seeds),
        pairs=tuple(pairs),
        among=began,
        accuracies=tuple(float(1.0 - mean) for mean in means),
        alpha=pairs[best][0],
        beta=pairs[best][1],
        accuracy=float(1.0 - means[best]),
        low=max(0.0, (low - error) / (1.0 - error)),
        high=high,
        members=tuple(pair for pair, inside in zip(pairs, kept, strict=True) if inside),
        gain=_gain(found, began, free, confidence, seed),
        left_out=found.left_out,
        confidence=confidence,
    )


def _gain(found: Losses, began: Sequence[Pair], free: bool, confidence: float, seed: int) -> Gain:
    pairs, counts = found.pairs, found.lost.sum(axis=(0, 2))
    rules = {began[index] for index in usual_pairs(began)}
    usual = [index for index, pair in enumerate(pairs) if pair in rules] or usual_pairs(pairs)
    rule = min(usual, key=lambda index: int(counts[index]))
    crossed = selected_gain(found.lost, usual, confidence=confidence, seed=seed)
    return Gain(
        "best alpha = beta" if free else "alpha = beta",
        *pairs[rule],
        float(found.lost[:, rule].mean()),
        crossed.gain.value,
        crossed.gain.low,
        crossed.gain.high,
        crossed.gain.p_value,
        (pairs[crossed.selected[0]], pairs[crossed.selected[1]]),
        (pairs[crossed.references[0]], pairs[crossed.references[1]]),
        crossed.clear,
    )


def usual_pairs(pairs: Sequence[Pair]) -> list[int]:
    """Return where alpha = beta; if that was never measured, at each beta the alpha nearest to it.

    >>> usual_pairs([(0.25, 0.5), (0.5, 0.5), (1.0, 0.5), (0.5, 1.0)])
    [1]
    >>> usual_pairs([(0.25, 0.5), (0.75, 0.5), (0.25, 1.0), (0.75, 1.0)])
    [0, 3]
    """
    same = [index for index, (alpha, beta) in enumerate(pairs) if math.isclose(alpha, beta)]
    betas = sorted({beta for _, beta in pairs})
    return same or [
        min(
            (index for index, pair in enumerate(pairs) if pair[1] == beta),
            key=lambda index: (abs(pairs[index][0] - beta), pairs[index][0]),
        )
        for beta in betas
    ]
