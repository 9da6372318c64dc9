"""The best pair of noises at a radius, certifying the contenders only.

Every pair (alpha, beta) of a study is in the race. All pairs are certified on the same images, some at a
time, and a pair that another one beats drops out (``answers.race``). Those that run to the end are
compared as ``best_pair`` compares a whole grid. What is certified is kept in the study's folder: a race that
was killed, or that is run again over more images, spends no vote twice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import special

from sfumato.answers.best_pair import Losses, Pair, PairAnswer, best_of, usual_pairs
from sfumato.answers.objective import CertifiedAccuracy, CertifiedCell
from sfumato.answers.race import Race
from sfumato.certification.certificate import Certificate
from sfumato.datasets import Dataset
from sfumato.datasets.class_order import warn_of_class_order
from sfumato.errors import SettingError, require_count, require_nonnegative, require_open_unit
from sfumato.files import locked
from sfumato.frames import data_frame
from sfumato.noise import Gaussian
from sfumato.plans import Decide
from sfumato.settings import CONFIDENCE
from sfumato.statistics.binomial import lower_bound
from sfumato.studies.design import CertificationTable, Design
from sfumato.studies.run import LOCK_FILE, Watch, checked_data, mend_results, run_part

LEVEL = 0.001
"""How often at most the truly best pair drops out of a race."""

ROUNDING = 1e-12
"""Levels that add up to 1 but for so little leave nothing for the set."""

_IMAGES = 1000
_FIRST = 50
_GROWTH = 1.5


@dataclass(frozen=True)
class RaceResult:
    """How a race ended.

    Attributes:
        radius: the certified radius, in the unit of the input.
        answer: the best of the pairs that ran to the end and its gain over the best alpha = beta; its set
            holds the truly best of all pairs with its ``confidence``, the level of the race included.
        dropped: the pairs that dropped out, and after how many images.
        cannot: betas that cannot certify the radius, whatever the votes are.
        votes: noisy copies that the certificates of this race took.
        images: how many test images were raced over.
        certificate_confidence: probability with which each certificate holds.
        unit: what a noise level of 1 means.
        data: name of the data set.
    """

    radius: float
    answer: PairAnswer
    dropped: dict[Pair, int]
    cannot: tuple[float, ...]
    votes: int
    images: int
    certificate_confidence: float
    unit: str
    data: str

    def to_frame(self) -> Any:
        """Return a pandas data frame with one row per pair of the race.

        ``images`` is over how many the pair was raced. The accuracy of a pair that was not certified on
        all of them is unknown (NaN).

        Raises:
            MissingPackageError: pandas is not installed.
        """
        answer = self.answer
        accuracies = dict(zip(answer.pairs, answer.accuracies, strict=True))
        pairs = sorted(answer.among, key=lambda pair: (pair[1], pair[0]))
        return data_frame(
            {
                "alpha": [alpha for alpha, _ in pairs],
                "beta": [beta for _, beta in pairs],
                "accuracy": [accuracies.get(pair, math.nan) for pair in pairs],
                "images": [self.images if pair in accuracies else self.dropped[pair] for pair in pairs],
                "dropped": [pair in self.dropped for pair in pairs],
                "in_set": [pair in answer.members for pair in pairs],
                "best": [pair == (answer.alpha, answer.beta) for pair in pairs],
            },
            index=("alpha", "beta"),
        )


def race_study(
    design: Design,
    folder: Path | str,
    radius: float,
    *,
    images: int | None = None,
    level: float = LEVEL,
    confidence: float = 0.95,
    device: str = "auto",
    watch: Watch | None = None,
    on_batch: Callable[[int, int, int], None] = lambda images, running, votes: None,
) -> RaceResult:
    """Race the pairs of the study at ``radius`` over its first ``images`` test images, 1,000 if not given.

    Models that are not trained yet are trained. With several training seeds the first one runs. Each
    certificate has the confidence of those of the study (``race_confidence``). ``on_batch`` is called with
    the number of images so far, of pairs left, and of votes so far.

    Raises:
        SettingError: a radius that no beta of the study can certify, or a number out of range.
        OutputError, DataError, ModelError, SfumatoError: as ``run_study``.
    """
    folder = Path(folder)
    require_open_unit("confidence", confidence)
    if require_open_unit("level", level) + confidence > 1.0 - ROUNDING:
        raise SettingError(f"level must be below 1 - confidence = {1.0 - confidence:.4g}, got {level:g}")
    plan = Decide(require_nonnegative("radius", radius))
    certificate_confidence = race_confidence(design)
    able, cannot = able_betas(design.grid.beta, plan, certificate_confidence)
    pairs = [(alpha, beta) for beta in able for alpha in design.grid.alpha]
    usual = usual_pairs(pairs)
    objective = CertifiedAccuracy(radius)
    dropped: dict[Pair, int] = {}
    certificates: dict[Pair, list[Certificate]] = {}
    data = checked_data(design, folder)
    images = race_images(images, data)
    warn_of_class_order(data, range(images), race=True)
    # the pairs of the rule alpha = beta race for themselves too: the gain is over the best of them
    race, habit = Race(len(pairs), images, level), Race(len(usual), images, level)
    with locked(folder, folder / LOCK_FILE):
        watch = watch or Watch()
        mend_results(folder, watch)
        for size in race_sizes(images):
            runs = race.running.copy()
            runs[usual] |= habit.running
            # one run for all pairs, as each run hashes the test images and reads all that is kept
            running = [pairs[row] for row in np.flatnonzero(runs)]
            table = race_table(running, plan, certificate_confidence, size)
            certificates |= _certified(design, data, folder, table, device, watch)
            lost = np.ones((len(pairs), size), dtype=bool)
            for row in np.flatnonzero(runs):
                lost[row] = objective.loss(CertifiedCell.of(certificates[pairs[row]]))
            habit.add(lost[usual, habit.seen :])
            race.add(lost[:, race.seen :])
            for row in np.flatnonzero(~race.running):
                dropped.setdefault(pairs[row], size)
            on_batch(size, int(race.running.sum()), _votes(certificates))
    whole = [row for row in range(len(pairs)) if len(certificates[pairs[row]]) == images]
    losses = Losses([pairs[row] for row in whole], [design.grid.seeds[0]], lost[None, whole], 0)
    answer = best_of_raced(
        losses,
        str(objective),
        raced=pairs,
        level=level,
        free=True,
        confidence=confidence,
        certificate_confidence=certificate_confidence,
    )
    members = tuple(pair for pair in answer.members if pair not in dropped)
    answer = replace(answer, members=members)
    return RaceResult(
        radius=radius,
        answer=answer,
        dropped=dropped,
        cannot=cannot,
        votes=_votes(certificates),
        images=images,
        certificate_confidence=certificate_confidence,
        unit=data.unit,
        data=data.name,
    )


def best_of_raced(
    losses: Losses,
    objective: str,
    *,
    raced: Sequence[Pair],
    level: float,
    free: bool,
    confidence: float,
    certificate_confidence: float,
) -> PairAnswer:
    """Return the best pair after a race; ``confidence`` includes the error of the race.

    ``level`` is the largest probability that the race loses the best pair, ``raced`` the pairs that began it.
    ``objective`` and ``free`` are as in ``best_of``.
    """
    answer = best_of(
        losses,
        objective,
        error=1.0 - certificate_confidence,
        free=free,
        confidence=confidence + level,
        among=raced,
    )
    return replace(answer, confidence=confidence)


def race_confidence(design: Design) -> float:
    """Return the confidence of each certificate of a race: that of the study's certificates, else 0.999."""
    return CONFIDENCE if design.certification is None else design.certification.confidence


def able_betas(
    betas: tuple[float, ...], plan: Decide, confidence: float
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the betas that can certify the plan's radius within its votes, and those that cannot.

    Raises:
        SettingError: none can.
    """
    able, refusal = [], None
    for beta in betas:
        if beta > 0.0:
            try:
                plan.tests(Gaussian(beta), confidence, label_known=True)
                able.append(beta)
            except SettingError as error:
                refusal = error
    if not any(betas):
        raise SettingError("no beta is above 0; add the smoothing noises to choose from")
    if not able:
        raise SettingError(
            f"none of the betas {', '.join(f'{beta:g}' for beta in betas)} can certify radius "
            f"{plan.radius:g}; it takes a beta of at least {least_beta(plan, confidence):.2g}"
        ) from refusal
    return tuple(able), tuple(beta for beta in betas if beta > 0.0 and beta not in able)


def least_beta(plan: Decide, confidence: float) -> float:
    """Return the beta below which the plan cannot certify its radius, even if all its votes agree."""
    return plan.radius / float(special.ndtri(lower_bound(plan.n_max, plan.n_max, confidence)))


def race_images(images: int | None, data: Dataset) -> int:
    """Return over how many test images to race: 1,000 if not given and there are as many.

    Raises:
        SettingError: fewer than one, or more than there are.
    """
    if images is None:
        return min(_IMAGES, len(data.test))
    if require_count("images", images) > len(data.test):
        raise SettingError(
            f"images must be at most the {len(data.test)} test images of {data.name}, got {images}"
        )
    return images


class RaceTable(CertificationTable):
    """The certificates that a race looks at: the true label is tested at one radius, for some pairs alone."""

    pairs: tuple[Pair, ...]

    def betas_of(self, alpha: float) -> tuple[float, ...]:
        """Return the betas at which models of this alpha are certified."""
        return tuple(beta for beta in self.beta if (alpha, beta) in self.pairs)


def race_table(pairs: Sequence[Pair], plan: Decide, confidence: float, images: int) -> RaceTable:
    """Return the certificates of these pairs on the first ``images`` test images."""
    return RaceTable(
        beta=tuple(sorted({beta for _, beta in pairs})),
        radii=None,
        plan=plan.name,
        confidence=confidence,
        images=images,
        label_known=True,
        pairs=tuple(pairs),
    )


def race_sizes(images: int) -> Iterator[int]:
    """Yield after how many images the race is looked at."""
    size = min(_FIRST, images)
    yield size
    while size < images:
        size = min(images, int(size * _GROWTH))
        yield size


def _certified(
    design: Design, data: Dataset, folder: Path, table: RaceTable, device: str, watch: Watch
) -> dict[Pair, list[Certificate]]:
    """Return the certificates of the table's pairs, computed where they are not kept yet."""
    seed = design.grid.seeds[0]
    alphas = tuple(sorted({alpha for alpha, _ in table.pairs}))
    grid = design.grid.model_copy(update={"alpha": alphas, "beta": table.beta, "seeds": (seed,)})
    part = design.model_copy(update={"grid": grid, "certification": table})
    found = run_part(part, design, data, folder, device=device, watch=watch).certificates
    return {(alpha, beta): found[alpha, beta, seed] for alpha, beta in table.pairs}


def _votes(kept: dict[Pair, list[Certificate]]) -> int:
    return sum(row.votes or 0 for rows in kept.values() for row in rows)
