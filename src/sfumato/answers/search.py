"""The best training noise from few trainings: which alpha to train next, and what is known so far.

What is believed of one beta's curve is in ``risk_shape``. The next alpha is the one whose result is
expected to reduce the variance of log alpha* most (MacKay 1992's information criterion in its Gaussian
approximation); the last of the budget goes to the best alpha itself. ``AlphaSearch`` knows nothing of
training; ``search_study`` feeds it from a study.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float

from sfumato.answers.proposals import Proposals
from sfumato.answers.risk_shape import ShapePosterior
from sfumato.datasets import Dataset
from sfumato.devices import choose_device
from sfumato.errors import (
    SettingError,
    require_count,
    require_nonnegative,
    require_open_unit,
    require_positive,
)
from sfumato.files import locked
from sfumato.frames import columns_of, data_frame
from sfumato.studies.design import CertificationTable, Design, GridTable
from sfumato.studies.keys import Keys, content_key
from sfumato.studies.results import StudyResults
from sfumato.studies.run import LOCK_FILE, Watch, checked_data, current_record, mend_results, run_part
from sfumato.studies.store import FILE, Store, load_results
from sfumato.studies.todo import plan_study

START = (0.7, 0.5, 1.0)  # of beta: the first proposals, where nothing is known
_RANGE = (0.2, 3.0)  # of beta: proposals stay within
_STEP = 0.05  # of beta
_USED = (0.1, 4.0)  # of beta: alphas outside say nothing about the minimum and are left out of the fit


@dataclass(frozen=True)
class BestAlpha:
    """What a search says about one beta.

    Attributes:
        alpha: training noise of lowest expected risk, a multiple of the search's step.
        low, high: alpha* lies within with posterior probability ``confidence``, under the curve model.
        risk: expected Delta(alpha, beta).
        risk_low, risk_high: likewise for the risk at ``alpha``.
        confidence: of both intervals.
    """

    alpha: float
    low: float
    high: float
    risk: float
    risk_low: float
    risk_high: float
    confidence: float


class AlphaSearch(Proposals):
    """Proposes training noises for one smoothing noise, and learns from what they gave.

    Deterministic: the same points told give the same proposals, in whatever order they were told.

    Args:
        beta: smoothing noise.
        budget: how many proposals may be trained; points told that were not proposed are free.
        step: proposals are multiples of it; 0.05 ``beta`` if not given.

    >>> search = AlphaSearch(beta=0.5, budget=3)
    >>> while not search.finished:
    ...     alpha = search.propose()
    ...     search.tell(alpha, errors={0.35: 74, 0.25: 184, 0.5: 84}[alpha], examples=10_000)
    >>> search.best().alpha
    0.425

    Raises:
        SettingError: a beta or step that is not positive, a budget below 1.
    """

    when_finished: ClassVar[str] = "; ask for the best"

    def __init__(self, beta: float, budget: int, *, step: float | None = None) -> None:
        self.beta = require_positive("beta", beta)
        budget = require_count("budget", budget)
        step = require_positive("step", _STEP * beta if step is None else step)
        first, last = (round(share * beta / step) for share in _RANGE)
        multiples = np.arange(max(first, 1), last + 1)
        if len(multiples) < len(START):
            raise SettingError(
                f"step must leave at least {len(START)} alphas up to {_RANGE[1]:g} beta, got {step:g} "
                f"for beta {beta:g}"
            )
        super().__init__(np.array([round(float(k * step), 10) for k in multiples]), budget, step)

    def __repr__(self) -> str:
        return (
            f"AlphaSearch(beta={self.beta:g}, budget={self.budget}, step={self.step:g}, "
            f"points={len(self._points)}, spent={self._spent})"
        )

    def tell(self, alpha: float, errors: int, examples: int) -> None:
        """Add a measurement: ``errors`` wrong predictions of ``examples`` at (``alpha``, beta).

        A second one at the same alpha (another training seed) is added to the first.

        Raises:
            SettingError: a negative alpha, or counts that do not fit.
        """
        alpha = require_nonnegative("alpha", alpha)
        require_count("examples", examples)
        require_count("errors", errors, minimum=0)
        if errors > examples:
            raise SettingError(f"errors must be at most the {examples} examples, got {errors}")
        before = self._points.get(alpha, (0, 0))
        self._keep(alpha, before[0] + errors, before[1] + examples)

    def resume(self, alpha: float) -> None:
        """Make ``alpha`` the current proposal, as it was in an interrupted search.

        Raises:
            SettingError: an alpha that is not positive.
        """
        super().resume(require_positive("alpha", alpha))

    def best(self, confidence: float = 0.95) -> BestAlpha:
        """Return the alpha of lowest expected risk with its intervals.

        Under the curve model and its prior, given the points told, alpha* lies in [low, high] with
        probability ``confidence``, and so does the risk at ``alpha`` in [risk_low, risk_high]. This is a
        belief, not a guarantee. If beta is so small that the network hardly notices it, the risks are nearly
        flat and the best alpha may be several times beta. Then a few points say little: the interval is wide,
        and ``alpha`` is only near the best. No alpha outside the range of proposals is returned.

        Raises:
            SettingError: nothing told yet at a positive alpha near beta; a confidence outside (0, 1).
        """
        require_open_unit("confidence", confidence)
        posterior = self._posterior()
        risk = posterior.expected_risk(self._u(self._candidates))
        chosen = int(risk.argmin())
        alpha = float(self._candidates[chosen])
        tail = (1.0 - confidence) / 2.0
        low, high = (self.beta * math.exp(posterior.centre_quantile(t)) for t in (tail, 1.0 - tail))
        risks = [posterior.risk_quantile(math.log(alpha / self.beta), t) for t in (tail, 1.0 - tail)]
        return BestAlpha(alpha, low, high, float(risk[chosen]), risks[0], risks[1], confidence)

    def predict(self, alpha: float) -> float:
        """Return the expected risk at ``alpha``, measured or not.

        Raises:
            SettingError: an alpha that is not positive; nothing told yet at a positive alpha near beta.
        """
        require_positive("alpha", alpha)
        return float(self._posterior().expected_risk(self._u(np.array([alpha])))[0])

    def informs(self, alpha: float) -> bool:
        """Return whether a risk at ``alpha`` would say something about the best one."""
        return _USED[0] * self.beta <= alpha <= _USED[1] * self.beta

    def _u(self, alphas: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        return np.asarray(np.log(alphas / self.beta))

    def _next(self) -> float:
        open_ = self._open
        near = sorted(filter(self.informs, self._points))
        if len(near) < len(START):
            for share in START:
                # a start is done if something is known nearer to it than to any other start
                if not any(abs(math.log(a / (share * self.beta))) < 0.18 for a in near):
                    return float(open_[np.abs(open_ - share * self.beta).argmin()])
        posterior = self._posterior()
        if self._spent == self.budget - 1:
            return float(open_[posterior.expected_risk(self._u(open_)).argmin()])
        return float(open_[posterior.information(self._u(open_)).argmax()])

    def _posterior(self) -> ShapePosterior:
        near = sorted(filter(self.informs, self._points))
        if not near:
            raise SettingError(
                f"there is no result yet at an alpha between {_USED[0]:g} and {_USED[1]:g} of beta "
                f"{self.beta:g}; call tell first"
            )
        counts = np.array([self._points[a] for a in near], dtype=np.float64)
        return ShapePosterior(self._u(np.array(near)), counts[:, 0], counts[:, 1])


@dataclass(frozen=True)
class SearchPoint:
    """One alpha of a search: the risk measured, and whether its model was trained just now."""

    alpha: float
    errors: int
    examples: int
    new: bool


@dataclass(frozen=True)
class SearchResult:
    """What a search in a study found.

    Attributes:
        search: with all points told.
        points: in the order in which they were measured.
        seed: of all trainings.
        unit: what a noise level of 1 means.
    """

    search: AlphaSearch
    points: tuple[SearchPoint, ...]
    seed: int
    unit: str

    def to_frame(self) -> Any:
        """Return a pandas data frame with one row per alpha, in the order in which they were measured.

        Raises:
            MissingPackageError: pandas is not installed.
        """
        return data_frame(columns_of(self.points, ("alpha", "errors", "examples", "new")), index="alpha")


def search_study(
    design: Design,
    folder: Path | str,
    search: AlphaSearch,
    *,
    seed: int | None = None,
    device: str = "auto",
    watch: Watch | None = None,
    on_point: Callable[[SearchPoint], None] = lambda point: None,
) -> SearchResult:
    """Train what the search proposes in the study's folder, until it is finished, and return the result.

    Models that the study has trained already (with ``seed``, by default the study's first) are only measured
    at the search's beta and cost nothing. The budget is for the models that searches at this beta propose.
    Proposals are stored before they are trained. So a search that is started again, after a kill or with a
    larger budget, continues, and all trainings together stay within the budget. Everything is kept in the
    study, and no finished model is trained again. The study file and the certificates of the study are not
    changed. With warm starts, the model that another one starts from is trained too.

    Raises:
        OutputError, SettingError, DataError, ModelError, SfumatoError: as ``run_study``.
    """
    folder = Path(folder)
    chosen = design.grid.seeds[0] if seed is None else require_count("seed", seed, minimum=0)
    data = checked_data(design, folder)
    with locked(folder, folder / LOCK_FILE):
        study = SearchedStudy(
            design, data, folder, {"beta": search.beta}, search.beta, chosen, device, watch or Watch()
        )
        mend_results(folder, study.watch)
        points: list[SearchPoint] = []

        def measure(alpha: float, new: bool) -> None:
            cell = study.part(alpha).cells[alpha, search.beta, chosen]
            search.tell(alpha, cell.errors, len(cell.examples))
            points.append(SearchPoint(alpha, cell.errors, len(cell.examples), new))
            on_point(points[-1])

        follow(search, study, measure)
        return SearchResult(search, tuple(points), chosen, data.unit)


def follow(search: Proposals, study: SearchedStudy, measure: Callable[[float, bool], None]) -> None:
    """Measure what the study has trained, then what the search proposes, until it is finished.

    ``measure`` is given an alpha and whether it has to be trained; it tells the search.
    """
    proposed = study.proposals()
    trained = study.trained(proposed)
    for alpha in filter(search.informs, sorted(trained - set(proposed))):
        measure(alpha, False)
    for alpha in proposed:
        # one that was not trained yet waits for a budget that allows it
        if alpha in trained or not search.finished:
            search.resume(alpha)
            measure(alpha, alpha not in trained)
    while not search.finished:
        alpha = search.propose()
        study.propose(alpha)
        measure(alpha, True)


@dataclass(frozen=True)
class SearchedStudy:
    """The study that a search trains in, whose folder this process holds.

    Attributes:
        asked: what is searched for; searches for the same share their proposals.
        beta: at which the votes of every network are counted.
    """

    design: Design
    data: Dataset
    folder: Path
    asked: Mapping[str, Any]
    beta: float
    seed: int
    device: str
    watch: Watch

    def part(self, alpha: float, certification: CertificationTable | None = None) -> StudyResults:
        """Return the results at ``alpha``, computed where they are not there; the study's record stays."""
        part = self._narrowed([alpha], certification)
        return run_part(part, self.design, self.data, self.folder, device=self.device, watch=self.watch)

    def _narrowed(self, alphas: Iterable[float], certification: CertificationTable | None = None) -> Design:
        grid = GridTable(alpha=tuple(sorted(alphas)), beta=(self.beta,), seeds=(self.seed,))
        return self.design.model_copy(update={"grid": grid, "certification": certification})

    def trained(self, proposed: Iterable[float]) -> set[float]:
        """Return the alphas of which the study has a model of this seed."""
        measured = load_results(self.folder).alphas if current_record(self.folder) else []
        alphas = {*self.design.grid.alpha, *measured, *proposed}
        todo = plan_study(self._narrowed(alphas), self.folder, device=self.device)
        return alphas - {model.alpha for model in todo.models}

    @cached_property
    def _key(self) -> str:
        keys = Keys.of(self.design, self.data, choose_device(self.device))
        return content_key({"chain": keys.chain, "seed": self.seed, **self.asked})

    def proposals(self) -> list[float]:
        """Return what searches for the same have proposed, in order."""
        if not (self.folder / FILE).is_file():
            return []
        with Store(self.folder / FILE, read_only=True) as store:
            return store.proposals(self._key)

    def propose(self, alpha: float) -> None:
        """Write down what is proposed, before it is trained."""
        with Store(self.folder / FILE) as store:
            store.keep_proposal(self._key, alpha)
