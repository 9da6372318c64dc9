"""One trained classifier under more and more smoothing noise: the data of the kappa rule."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool

from sfumato.advice.kappa import KappaRule, kappa_rule, require_swept_betas
from sfumato.datasets import Split
from sfumato.errors import SettingError, require_nonnegative
from sfumato.frames import data_frame
from sfumato.smoothing.configuration import Configuration, Network
from sfumato.smoothing.risk import measure_risk
from sfumato.smoothing.smoothed import DEFAULT_VOTES

DEFAULT_IMAGES = 1000
_ERROR = 1e-3  # the most often that a prediction is not that of all votes
_FAR_ABOVE = 6.0  # standard errors above the clean risk: larger betas will not be tolerated either
_MOST_STEPS = 40
_CLEARLY = 3.0


@dataclass(frozen=True)
class Sweep:
    """A classifier's errors at increasing smoothing noise, on the same images.

    Attributes:
        name: of the classifier.
        alpha0: noise it was trained with.
        betas: 0 and larger ones, increasing.
        wrong: whether the majority of the votes is not the label.
    """

    name: str
    alpha0: float
    betas: tuple[float, ...]
    wrong: Bool[np.ndarray, "images betas"]

    @property
    def images(self) -> int:
        """How many images were classified."""
        return len(self.wrong)

    @property
    def clean_risk(self) -> float:
        """Share of wrong images without noise."""
        return float(self.wrong[:, 0].mean())

    def risk(self, beta: float) -> float:
        """Return the risk at ``beta``, linear between the betas measured.

        Raises:
            SettingError: a beta beyond the largest one measured.
        """
        if not 0.0 <= beta <= self.betas[-1]:
            raise SettingError(f"beta must be from 0 to {self.betas[-1]:g}, the measured range, got {beta:g}")
        return float(np.interp(beta, self.betas, self.wrong.mean(axis=0)))

    def matched_beta(self) -> float | None:
        """Return the beta of the lowest risk if that is clearly below the clean risk, else None.

        Clearly means by more than three paired standard errors. Such a network is tuned to its noise and errs
        more with less noise. The cause can be batch normalisation with the statistics of noisy inputs.
        """
        best = int(self.wrong.mean(axis=0).argmin())
        gain = self.wrong[:, 0].astype(np.float64) - self.wrong[:, best]
        if gain.mean() > _CLEARLY * gain.std() / math.sqrt(self.images):
            return self.betas[best]
        return None

    def to_frame(self) -> Any:
        """Return a pandas data frame with one row per beta: the risk, and how many images were wrong.

        Raises:
            MissingPackageError: pandas is not installed.
        """
        errors = self.wrong.sum(axis=0)
        columns = {"beta": self.betas, "risk": errors / self.images, "errors": errors, "images": self.images}
        return data_frame(columns, index="beta")

    def kappa(self) -> KappaRule:
        """Return the kappa rule of this classifier.

        Raises:
            SettingError: a classifier trained without noise, or one that tolerates no beta of those swept.
        """
        return kappa_rule(self.alpha0, self.betas, self.wrong)


def sweep_betas(alpha0: float, beta: float) -> tuple[float, ...]:
    """Return the betas to measure: 0, then from ``alpha0`` / 2 to above ``beta`` in steps of ``alpha0`` / 10.

    For a classifier trained without noise, the steps are tenths of ``beta``.

    >>> sweep_betas(0.25, 0.2)[:4]
    (0.0, 0.125, 0.15, 0.175)
    """
    unit = alpha0 if alpha0 > 0 else beta
    first = 5 if alpha0 > 0 else 1
    last = max(25, math.ceil(10.0 * beta / unit))
    steps = range(first, last + 1, 1 if last <= _MOST_STEPS else math.ceil(last / _MOST_STEPS))
    return (0.0, *(round(unit * step / 10.0, 12) for step in steps))


def sweep(
    model: Network,
    split: Split,
    alpha0: float,
    betas: Sequence[float],
    *,
    name: str = "the classifier",
    n: int = DEFAULT_VOTES,
    seed: int = 0,
    device: str = "auto",
    configuration: Configuration | None = None,
    classes: int | None = None,
    model_at: Callable[[float], Network] | None = None,
    on_progress: Callable[[int], None] = lambda images: None,
) -> Sweep:
    """Return the errors of ``model`` smoothed at each of ``betas`` on all of ``split``.

    ``betas`` begin with 0. The prediction of an image is that of ``n`` votes with probability at least 0.999
    (``measure_risk``); its noise is the same as in a study of the same seed. The sweep ends where the risk is
    six standard errors above the clean one, as larger betas are not tolerated either.
    ``classes`` is how many the data has, if more than the labels of ``split`` show. ``model_at`` gives the
    network for each beta, as one whose batch norms are re-estimated there. ``on_progress`` is called with
    the number of images just classified.

    Raises:
        SettingError: betas that do not begin with 0 and increase, or a number of votes out of range.
        ModelError: a model that does not fit the images, or has fewer outputs than the data has classes.
    """
    require_nonnegative("alpha0", alpha0)
    require_swept_betas(betas)
    columns: list[Bool[np.ndarray, " images"]] = []
    limit = math.inf
    for beta in betas:
        risk = measure_risk(
            model if model_at is None else model_at(beta),
            split,
            beta,
            n=n,
            error=_ERROR,
            seed=seed,
            device=device,
            configuration=configuration,
            classes=classes,
            on_progress=on_progress,
        )
        columns.append(risk.images.wrong)
        if beta == 0:
            spread = max(risk.value * (1.0 - risk.value), 1.0 / len(split))
            limit = risk.value + _FAR_ABOVE * math.sqrt(spread / len(split))
        elif risk.value > limit:
            break
    return Sweep(name, alpha0, tuple(betas[: len(columns)]), np.stack(columns, axis=1))
