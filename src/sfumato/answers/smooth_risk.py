"""The smoothed curve of Delta over alpha at one beta, and where its minimum lies.

Neighbouring alphas are measured on the same images with the same noise, so most of their sampling error
is common to them: it moves the curve smoothly and as a whole, and no smoothing can remove it. What makes
a measured curve jagged is the error by which neighbours differ, and the luck of each training. So on the
logit scale

    measured(alpha) = f(alpha) + e(alpha),   f a cubic smoothing spline,   Var e = v(alpha) + tau^2 d(alpha),

with v half the variance of the difference between neighbours, which the images themselves show, and
tau^2 d what training adds, errors independent. (Weighting by the whole covariance instead would put the
curve beside its points where risks differ: Peelle's puzzle.) Roughness of f and tau are estimated
together by restricted maximum likelihood (Wahba 1990, chapter 1 and 4.8; Speed 1991), so no bandwidth is
chosen by hand. Given them the curve is linear in the measured values, whose covariance the images show;
from it, from training luck and from the error of smoothing the bands are drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import linalg, optimize, special

from sfumato.errors import SettingError, require_open_unit

DEFAULT_DRAWS = 2000
LEAST_ALPHAS = 5  # a straight line takes two, roughness and training luck one each
_STEPS = 200
_BOUNDS = ((-12.0, 12.0), (-8.0, 6.0))  # of the logarithms of the curve's and the training's variance


@dataclass(frozen=True)
class SmoothRisk:
    """Delta over alpha at one beta, smoothed.

    Attributes:
        alphas: a fine grid over the measured range, the measured alphas among it.
        risk: the curve there.
        low, high: pointwise band at ``confidence``.
        alpha: where the curve is lowest.
        alpha_low, alpha_high: interval of ``alpha`` at ``confidence``, by the same draws.
        lowest: the curve's value there.
        training_spread: tau, the estimated standard deviation of logit Delta by training alone; of
            published counts, without images, that of all error, relative to the binomial one.
        confidence: of the bands and the interval.
    """

    alphas: Float[np.ndarray, " grid"]
    risk: Float[np.ndarray, " grid"]
    low: Float[np.ndarray, " grid"]
    high: Float[np.ndarray, " grid"]
    alpha: float
    alpha_low: float
    alpha_high: float
    lowest: float
    training_spread: float
    confidence: float


def smooth_errors(
    alphas: Sequence[float],
    wrong: Bool[np.ndarray, "runs alphas images"],
    *,
    confidence: float = 0.95,
    draws: int = DEFAULT_DRAWS,
    seed: int = 0,
) -> SmoothRisk:
    """Return the smoothed curve of per-image errors, with bands over images and training.

    The bands are of normal draws: the images', the same for all alphas, for each alpha an independent one of
    the estimated training error, and one for the bias of smoothing (Nychka 1988). Approximate.

    Raises:
        SettingError: fewer than 5 alphas, not increasing; a confidence outside (0, 1).
    """
    missed = np.asarray(wrong, dtype=np.float64).mean(axis=0)
    _check(alphas, len(missed), confidence)
    images = missed.shape[1]
    slope = _logit_slope(missed.mean(axis=1), images)
    covariance = np.cov(missed, bias=True) / images * np.outer(slope, slope)
    # not keyed noise: the bands of a curve
    rng = np.random.default_rng(seed)
    measured = _logit(missed.mean(axis=1), images)
    return _smoothed(
        np.asarray(alphas, dtype=np.float64),
        measured,
        rng.multivariate_normal(measured, covariance, draws, method="eigh", check_valid="ignore"),
        sampling=_neighbour_variance(covariance),
        training=np.ones(len(alphas)),
        confidence=confidence,
        rng=rng,
    )


def smooth_counts(
    alphas: Sequence[float],
    errors: Int[np.ndarray, " alphas"],
    images: int,
    *,
    confidence: float = 0.95,
    draws: int = DEFAULT_DRAWS,
    seed: int = 0,
) -> SmoothRisk:
    """Return the smoothed curve of error counts alone, as others publish them.

    Without the images the part of the error that all alphas share is unknown; it moves the curve as a
    whole and its minimum not at all. The rest is taken as proportional to the binomial variance, by a
    factor that is estimated; the bands are of that part only.

    Raises:
        SettingError: as ``smooth_errors``.
    """
    _check(alphas, len(errors), confidence)
    risk = np.asarray(errors, dtype=np.float64) / images
    measured = _logit(risk, images)
    variance = _logit_slope(risk, images) / images
    return _smoothed(
        np.asarray(alphas, dtype=np.float64),
        measured,
        np.tile(measured, (draws, 1)),
        sampling=np.zeros(len(risk)),
        training=variance,
        confidence=confidence,
        # not keyed noise: the bands of a curve
        rng=np.random.default_rng(seed),
    )


def _check(alphas: Sequence[float], rows: int, confidence: float) -> None:
    require_open_unit("confidence", confidence)
    if len(alphas) < LEAST_ALPHAS or rows != len(alphas) or not np.all(np.diff(alphas) > 0):
        raise SettingError(
            f"a smoothed curve needs at least {LEAST_ALPHAS} increasing alphas and the results of each, got "
            f"{', '.join(f'{alpha:g}' for alpha in alphas)} and {rows} results"
        )


def _shrunk(risk: Float[np.ndarray, "*shape"], images: int) -> Float[np.ndarray, "*shape"]:
    """Return the risk with half an error added on either side, so that its logit is finite."""
    return (risk * images + 0.5) / (images + 1.0)


def _logit(risk: Float[np.ndarray, "*shape"], images: int) -> Float[np.ndarray, "*shape"]:
    return np.asarray(special.logit(_shrunk(risk, images)), dtype=np.float64)


def _logit_slope(risk: Float[np.ndarray, "*shape"], images: int) -> Float[np.ndarray, "*shape"]:
    near = _shrunk(risk, images)
    return 1.0 / (near * (1.0 - near))


def _neighbour_variance(covariance: Float[np.ndarray, "alphas alphas"]) -> Float[np.ndarray, " alphas"]:
    """Return for each alpha half the variance of the difference to its neighbours, their mean."""
    variance = np.diag(covariance)
    half = (variance[1:] + variance[:-1]) / 2.0 - np.diag(covariance, 1)
    return (np.append(half, half[-1]) + np.insert(half, 0, half[0])) / 2.0


def _smoothed(
    alphas: Float[np.ndarray, " alphas"],
    measured: Float[np.ndarray, " alphas"],
    resampled: Float[np.ndarray, "draws alphas"],
    *,
    sampling: Float[np.ndarray, " alphas"],
    training: Float[np.ndarray, " alphas"],
    confidence: float,
    rng: np.random.Generator,
) -> SmoothRisk:
    """Fit on the logit scale; ``sampling`` and ``training`` are the module's v and d."""
    place = (alphas - alphas[0]) / (alphas[-1] - alphas[0])
    roughness, luck = _restricted_likelihood_fit(place, measured, sampling, training)
    fine = np.union1d(alphas, np.linspace(alphas[0], alphas[-1], _STEPS + 1).round(6))
    where = (fine - alphas[0]) / (alphas[-1] - alphas[0])
    smoother = smoothing_matrix(where, place, roughness, sampling + luck * training)
    curve = special.expit(smoother @ measured)
    lucky = rng.standard_normal(resampled.shape) * np.sqrt(luck * training)
    curves = (resampled + lucky) @ smoother.T + _smoothing_error(
        where, place, roughness, smoother, len(resampled), rng
    )
    tails = [(1.0 - confidence) / 2.0, (1.0 + confidence) / 2.0]
    low, high = special.expit(np.quantile(curves, tails, axis=0))
    alpha_low, alpha_high = np.quantile(fine[curves.argmin(axis=1)], tails)
    best = int(curve.argmin())
    return SmoothRisk(
        fine,
        curve,
        low,
        high,
        float(fine[best]),
        float(alpha_low),
        float(alpha_high),
        float(curve[best]),
        float(np.sqrt(luck)),
        confidence,
    )


def _smoothing_error(
    where: Float[np.ndarray, " grid"],
    place: Float[np.ndarray, " alphas"],
    bend: float,
    smoother: Float[np.ndarray, "grid alphas"],
    draws: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, "draws grid"]:
    """Return draws of what smoothing itself does to a curve as rough as this one."""
    jitter = 1e-10 * np.eye(len(where))  # the process starts at 0 without variance
    factor = np.sqrt(bend) * np.linalg.cholesky(_kernel(where, where) + jitter)
    kept = np.searchsorted(where, place)
    return np.asarray(rng.standard_normal((draws, len(where))) @ (factor - smoother @ factor[kept]).T)


def _kernel(first: Float[np.ndarray, " m"], second: Float[np.ndarray, " k"]) -> Float[np.ndarray, "m k"]:
    """Return the covariance of the integrated Wiener process, whose posterior mean is the cubic spline."""
    less = np.minimum(first[:, np.newaxis], second)
    more = np.maximum(first[:, np.newaxis], second)
    return np.asarray(less**2 * (3.0 * more - less) / 6.0, dtype=np.float64)


def _line(place: Float[np.ndarray, " k"]) -> Float[np.ndarray, "k 2"]:
    return np.column_stack([np.ones_like(place), place])


def _restricted_likelihood_fit(
    place: Float[np.ndarray, " alphas"],
    measured: Float[np.ndarray, " alphas"],
    sampling: Float[np.ndarray, " alphas"],
    training: Float[np.ndarray, " alphas"],
) -> tuple[float, float]:
    """Return the variances of the curve's bending and of the training, by restricted likelihood."""
    kernel, line = _kernel(place, place), _line(place)

    def deviance(logs: Float[np.ndarray, "2"]) -> float:
        bend, luck = np.exp(np.clip(logs, *np.transpose(_BOUNDS)))
        factor = linalg.cho_factor(bend * kernel + np.diag(sampling + luck * training), lower=True)
        white_line = linalg.solve_triangular(factor[0], line, lower=True)
        white = linalg.solve_triangular(factor[0], measured, lower=True)
        orthogonal, upper = np.linalg.qr(white_line)
        rest = white - orthogonal @ (orthogonal.T @ white)
        determinant = 2.0 * np.log(np.diag(factor[0])).sum() + 2.0 * np.log(np.abs(np.diag(upper))).sum()
        outside = logs - np.clip(logs, *np.transpose(_BOUNDS))
        return float(determinant + rest @ rest + 100.0 * (outside @ outside))

    starts = [(bend, luck) for bend in (0.0, 5.0) for luck in (-5.0, -1.0)]
    fits = [
        optimize.minimize(deviance, start, method="Nelder-Mead", options={"xatol": 0.02, "fatol": 1e-3})
        for start in starts
    ]
    best = min(fits, key=lambda fit: float(fit.fun))
    bend, luck = np.exp(np.clip(best.x, *np.transpose(_BOUNDS)))
    return float(bend), float(luck)


def smoothing_matrix(
    where: Float[np.ndarray, " grid"],
    place: Float[np.ndarray, " alphas"],
    bend: float,
    noise: Float[np.ndarray, " alphas"],
) -> Float[np.ndarray, "grid alphas"]:
    """Return the matrix that takes the measured values to the curve (best linear unbiased prediction)."""
    inverse = np.linalg.inv(bend * _kernel(place, place) + np.diag(noise))
    line = _line(place)
    fixed = np.linalg.solve(line.T @ inverse @ line, line.T @ inverse)
    rest = inverse @ (np.eye(len(place)) - line @ fixed)
    return np.asarray(_line(where) @ fixed + bend * _kernel(where, place) @ rest, dtype=np.float64)
