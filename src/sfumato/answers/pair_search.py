"""The best pair of noises at a radius from few trainings: which alpha to train next.

A beta costs no training, so every network is certified at all betas, and what the search learns of an alpha
is the lowest loss among them. What is believed between the alphas is in ``loss_curve``. The next alpha is the
one of largest expected improvement; the last of the budget goes to the lowest expected loss.
``PairSearch`` knows nothing of training; ``search_pairs`` feeds it from a study.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from sfumato.answers.best_pair import Losses, Pair, PairAnswer
from sfumato.answers.loss_curve import LossCurve
from sfumato.answers.objective import CertifiedAccuracy, CertifiedCell
from sfumato.answers.proposals import Proposals
from sfumato.answers.race import Race
from sfumato.answers.race_study import (
    LEVEL,
    ROUNDING,
    able_betas,
    best_of_raced,
    race_confidence,
    race_images,
    race_sizes,
    race_table,
)
from sfumato.answers.search import SearchedStudy, follow
from sfumato.datasets.class_order import warn_of_class_order
from sfumato.errors import (
    SettingError,
    require_count,
    require_nonnegative,
    require_open_unit,
    require_positive,
)
from sfumato.files import locked
from sfumato.frames import columns_of, data_frame
from sfumato.plans import Decide
from sfumato.studies.design import Design
from sfumato.studies.run import LOCK_FILE, Watch, checked_data, mend_results

_HIGHEST = 2.0  # of the largest beta: proposals stay within
_STEP = 0.1  # of the smallest beta
_MOST = 400  # candidates
_STARTS = (0.7, 0.35, 1.4)  # of the radius, kept within what betas can make use of
_SCALE = (0.7, 1.5)  # the least, of the smallest beta, and the most, of the largest, that starts refer to


class PairSearch(Proposals):
    """Proposes training noises for a radius and a choice of smoothing noises.

    Deterministic: the same points told give the same proposals, in whatever order they were told.

    Args:
        radius: to certify, in the unit of the input.
        betas: smoothing noises that can certify it.
        budget: how many proposals may be trained; points told that were not proposed are free.
        step: proposals are multiples of it, from 0 to twice the largest beta; a tenth of the smallest beta if
            not given.

    >>> search = PairSearch(0.5, betas=(0.25, 0.5), budget=2)
    >>> search.propose()
    0.35
    >>> search.tell(0.35, lost=400, images=1000)
    >>> search.propose()
    0.175

    Raises:
        SettingError: a negative radius, no betas, a beta or step that is not positive, a budget below 1.
    """

    def __init__(
        self, radius: float, betas: Sequence[float], budget: int, *, step: float | None = None
    ) -> None:
        self.radius = require_nonnegative("radius", radius)
        if not betas:
            raise SettingError("a search needs at least one beta, got none")
        self.betas = tuple(sorted(require_positive("beta", beta) for beta in betas))
        budget = require_count("budget", budget)
        highest = _HIGHEST * self.betas[-1]
        usual = max(_STEP * self.betas[0], highest / _MOST)
        step = require_positive("step", usual if step is None else step)
        count = round(highest / step)
        if count < len(_STARTS):
            raise SettingError(
                f"step must leave at least {len(_STARTS)} alphas up to {highest:g}, twice the largest beta; "
                f"got {step:g}"
            )
        self._scale = min(max(radius, _SCALE[0] * self.betas[0]), _SCALE[1] * self.betas[-1])
        super().__init__(np.array([round(k * step, 10) for k in range(count + 1)]), budget, step)

    def informs(self, alpha: float) -> bool:
        """Return whether a network trained at ``alpha`` lies within the range that is searched."""
        return 0.0 <= alpha <= self.range[1]

    def tell(self, alpha: float, lost: int, images: int) -> None:
        """Add a network: at its best beta ``lost`` of ``images`` are not certified.

        Raises:
            SettingError: a negative alpha, counts that do not fit.
        """
        alpha = require_nonnegative("alpha", alpha)
        require_count("images", images)
        if require_count("lost", lost, minimum=0) > images:
            raise SettingError(f"lost must be at most the {images} images, got {lost}")
        self._keep(alpha, lost, images)

    def expected_accuracy(self, alphas: Sequence[float]) -> Float[np.ndarray, " alphas"]:
        """Return the certified accuracy expected at the best beta of networks trained at ``alphas``.

        Raises:
            SettingError: nothing told yet.
        """
        if not self._points:
            raise SettingError("there is no result yet; call tell first")
        return 1.0 - self._curve(np.asarray(alphas, dtype=np.float64)).loss

    def _u(self, alphas: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        return np.log1p(alphas / self.betas[0])

    def _next(self) -> float:
        open_ = self._open
        if len(self._points) < len(_STARTS):
            known = self._u(np.array(sorted(self._points)))
            for share in _STARTS:
                start = min(share * self._scale, self.range[1])
                u = self._u(np.array([start]))
                # a start is done if something is known near it
                if not (np.abs(known - u) < 0.15).any():
                    return float(open_[np.abs(open_ - start).argmin()])
        curve = self._curve(open_)
        if self._spent == self.budget - 1:
            return float(open_[curve.mean.argmin()])
        best = float(self._curve(np.array(sorted(self._points))).mean.min())
        return float(open_[curve.gain(best).argmax()])

    def _curve(self, alphas: Float[np.ndarray, " grid"]) -> LossCurve:
        known = sorted(self._points)
        lost, images = np.array([self._points[alpha] for alpha in known], dtype=np.float64).T
        centre = float(self._u(np.array([self._scale]))[0])
        return LossCurve(self._u(np.array(known)), lost, images, self._u(alphas), centre)


@dataclass(frozen=True)
class PairPoint:
    """One network of a search.

    Attributes:
        alpha: the noise that it was trained with.
        beta: the best beta to smooth it with; in a tie the smallest.
        lost: how many images are not certified there.
        images: how many images were tried.
        dropped: betas that dropped out of the race, as another beta is surely better for this network.
        votes: noisy copies that its certificates took.
        new: whether this search trained it.
    """

    alpha: float
    beta: float
    lost: int
    images: int
    dropped: tuple[float, ...]
    votes: int
    new: bool


@dataclass(frozen=True)
class PairSearchResult:
    """What a search at a radius found.

    Attributes:
        search: with all points told.
        answer: the best pair of the networks trained, its bounds, and the set of pairs that it does not beat
            significantly; betas that dropped out of their network's race were left out, and the level of the
            races is included in its ``confidence``.
        points: in the order in which they were measured.
        cannot: betas that cannot certify the radius, whatever the votes are.
        certificate_confidence: probability with which each certificate holds.
        seed: of all trainings.
        unit: what a noise level of 1 means.
    """

    search: PairSearch
    answer: PairAnswer
    points: tuple[PairPoint, ...]
    cannot: tuple[float, ...]
    certificate_confidence: float
    seed: int
    unit: str

    def to_frame(self) -> Any:
        """Return a pandas data frame with one row per network, in the order in which they were measured.

        Raises:
            MissingPackageError: pandas is not installed.
        """
        names = ("alpha", "beta", "lost", "images", "dropped", "votes", "new")
        return data_frame(columns_of(self.points, names), index="alpha")


def search_pairs(
    design: Design,
    folder: Path | str,
    radius: float,
    budget: int,
    *,
    beta: float | None = None,
    step: float | None = None,
    images: int | None = None,
    confidence: float = 0.95,
    seed: int | None = None,
    device: str = "auto",
    watch: Watch | None = None,
    on_point: Callable[[PairPoint], None] = lambda point: None,
) -> PairSearchResult:
    """Train what a search for the best pair at ``radius`` proposes, until it is finished.

    Every network is certified at all betas of the study's grid, or at ``beta`` alone, on the first ``images``
    test images (1,000 if not given). Betas drop out as in a race, and certificates have its confidence.
    Models that the study has trained already cost none of the budget. Like ``search_study`` it continues
    after a kill, within its budget.

    Raises:
        SettingError: a radius that no beta can certify, or a number out of range.
        OutputError, DataError, ModelError, SfumatoError: as ``run_study``.
    """
    folder = Path(folder)
    chosen = design.grid.seeds[0] if seed is None else require_count("seed", seed, minimum=0)
    if require_open_unit("confidence", confidence) + LEVEL > 1.0 - ROUNDING:
        raise SettingError(f"confidence must be below {1.0 - LEVEL:g}, got {confidence:g}")
    betas = design.grid.beta if beta is None else (require_positive("beta", beta),)
    plan = Decide(require_nonnegative("radius", radius))
    certificate_confidence = race_confidence(design)
    able, cannot = able_betas(betas, plan, certificate_confidence)
    search, objective = PairSearch(radius, able, budget, step=step), CertifiedAccuracy(radius)
    data = checked_data(design, folder)
    images = race_images(images, data)
    warn_of_class_order(data, range(images), race=True)
    points: list[PairPoint] = []
    whole: dict[Pair, Bool[np.ndarray, " images"]] = {}
    with locked(folder, folder / LOCK_FILE):
        asked = {"radius": plan.radius, "beta": beta}
        # votes at beta 0 are one for each image: the accuracy of the network itself
        study = SearchedStudy(design, data, folder, asked, 0.0, chosen, device, watch or Watch())
        mend_results(folder, study.watch)

        def measure(alpha: float, new: bool) -> None:
            race, votes = Race(len(able), images, LEVEL), dict.fromkeys(able, 0)
            lost = np.ones((len(able), images), dtype=bool)
            for size in race_sizes(images):
                running = np.flatnonzero(race.running)
                running_pairs = [(alpha, able[row]) for row in running]
                table = race_table(running_pairs, plan, certificate_confidence, size)
                found = study.part(alpha, table).certificates
                for row in running:
                    b = able[row]
                    rows = found[alpha, b, chosen]
                    lost[row, :size] = objective.loss(CertifiedCell.of(rows))
                    votes[b] = sum(certificate.votes or 0 for certificate in rows)
                race.add(lost[:, race.seen : size])
            kept = {able[row]: lost[row] for row in np.flatnonzero(race.running)}
            best = min(kept, key=lambda b: (int(kept[b].sum()), b))
            whole.update({(alpha, b): kept[b] for b in kept})
            search.tell(alpha, int(kept[best].sum()), images)
            dropped = tuple(b for b in able if b not in kept)
            points.append(
                PairPoint(alpha, best, int(kept[best].sum()), images, dropped, sum(votes.values()), new)
            )
            on_point(points[-1])

        follow(search, study, measure)
    pairs = sorted(whole, key=lambda pair: pair[::-1])
    answer = best_of_raced(
        Losses(pairs, [chosen], np.array([[whole[pair] for pair in pairs]]), 0),
        str(objective),
        raced=[(point.alpha, b) for b in able for point in sorted(points, key=lambda point: point.alpha)],
        level=LEVEL,
        free=beta is None,
        confidence=confidence,
        certificate_confidence=certificate_confidence,
    )
    return PairSearchResult(
        search=search,
        answer=answer,
        points=tuple(points),
        cannot=cannot,
        certificate_confidence=certificate_confidence,
        seed=chosen,
        unit=data.unit,
    )
