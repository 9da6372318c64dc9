"""One answer from all estimators: which alpha to train with for a beta, and how reliable it is.

Nothing here is certain. A rule of thumb (the share of beta at which the optima of measured image sets lie),
the kappa rule of the classifiers given, and the Parzen rule's upper limit each name an alpha; the advice is
their geometric mean, not above the limit. If a classifier is tuned to its own noise, only this estimate is
used. The interval spans the intervals of the estimators. Every number names its estimator. If no estimator
applies, the advice says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sfumato.advice.rules import SHARE, USUAL_RANGE, share_rule
from sfumato.advice.surrogate import Surrogate
from sfumato.advice.sweep import Sweep
from sfumato.errors import SettingError, require_positive
from sfumato.frames import columns_of, data_frame
from sfumato.notebooks import html_table

_TRUSTED_RISK = 0.15  # a surrogate that errs more often than this is no picture of a network
_AGREEMENT = 1.25  # estimates within this factor of each other agree


@dataclass(frozen=True)
class Estimate:
    """One estimator's alpha for the beta asked for.

    Attributes:
        estimator: its name.
        alpha: the training noise that it advises.
        low, high: its own interval, or the range that is usual.
        basis: the evidence, in words.
    """

    estimator: str
    alpha: float
    low: float
    high: float
    basis: str


@dataclass(frozen=True)
class Amount:
    """A share of test images, as an estimator predicts it.

    Attributes:
        value: the share.
        error: standard error of it; nan if the estimator has none.
        estimator: its name.
        basis: the evidence, in words.
    """

    value: float
    error: float
    estimator: str
    basis: str


@dataclass(frozen=True)
class Advice:
    """What to train with for one beta.

    Attributes:
        beta: smoothing noise asked for.
        alpha: training noise advised.
        alpha_low, alpha_high: what the estimators' intervals span.
        estimates: what each estimator named; the upper limit, if there is one, is not among them.
        limit: the largest harmless alpha of the surrogate; None where it does not reach.
        same_cost: by how much the risk at alpha = beta exceeds that at ``alpha``; None if unknown.
        risk: expected risk at ``alpha``; None if unknown.
        plain_risk: measured risk at ``beta`` of a classifier trained without noise, where one was given.
        confidence: ``fair`` or ``weak``, with the reason.
        cannot_say: what the evidence does not show, one sentence each.
    """

    beta: float
    alpha: float
    alpha_low: float
    alpha_high: float
    estimates: tuple[Estimate, ...]
    limit: float | None
    same_cost: Amount | None
    risk: Amount | None
    plain_risk: Amount | None
    confidence: str
    cannot_say: tuple[str, ...]

    def _repr_html_(self) -> str:
        rows = [
            [one.estimator, f"{one.alpha:.3g}", f"{one.low:.3g} to {one.high:.3g}", one.basis]
            for one in self.estimates
        ]
        caption = (
            f"For beta {self.beta:g} train with alpha {self.alpha:.3g} ({self.alpha_low:.3g} to "
            f"{self.alpha_high:.3g}); {self.confidence}"
        )
        return html_table(caption, ["estimator", "alpha", "interval", "evidence"], rows)

    def to_frame(self) -> Any:
        """Return a pandas data frame with one row per estimator: its alpha, interval and evidence.

        Raises:
            MissingPackageError: pandas is not installed.
        """
        names = ("estimator", "alpha", "low", "high", "basis")
        return data_frame(columns_of(self.estimates, names), index="estimator")


def advise(
    beta: float,
    *,
    sweeps: Sequence[Sweep] = (),
    surrogate: Surrogate | None = None,
) -> Advice:
    """Return the advice for the risk of the smoothed prediction at ``beta``.

    All evidence is optional; without any the advice is the rule of thumb and says so. It is not about
    certified accuracy at a radius: ``advise_radius`` is.

    >>> found = advise(0.5)
    >>> found.alpha, found.confidence
    (0.375, 'weak: a rule of thumb alone')

    Raises:
        SettingError: a beta that is not positive.
    """
    require_positive("beta", beta)
    doubts: list[str] = []
    estimates = _matched_estimates(beta, sweeps)
    if not estimates:
        estimates = [_usual_estimate(beta), *_kappa_estimates(beta, sweeps, doubts)]
    alpha = math.exp(np.mean([math.log(estimate.alpha) for estimate in estimates]))
    low, high = min(e.low for e in estimates), max(e.high for e in estimates)
    limit = _harmless_limit(beta, surrogate, doubts)
    if limit is not None:
        alpha, low, high = (min(value, limit) for value in (alpha, low, high))
    return Advice(
        beta=beta,
        alpha=alpha,
        alpha_low=low,
        alpha_high=high,
        estimates=tuple(estimates),
        limit=limit,
        same_cost=_same_cost(beta, alpha, sweeps, surrogate, doubts),
        risk=_expected_risk(beta, alpha, sweeps, doubts),
        plain_risk=_plain_risk(beta, sweeps),
        confidence=_confidence(estimates),
        cannot_say=tuple(dict.fromkeys(doubts)),
    )


def _usual_estimate(beta: float) -> Estimate:
    low, high = USUAL_RANGE
    basis = (
        f"{SHARE:g} beta, if the network's normalisation fits the noise; "
        f"the best measured is mostly {low:g} to {high:g} beta"
    )
    return Estimate("rule of thumb", share_rule(beta), round(low * beta, 12), round(high * beta, 12), basis)


def _matched_estimates(beta: float, sweeps: Sequence[Sweep]) -> list[Estimate]:
    """Return what networks say that are tuned to their noise; the other rules do not hold for these.

    They err less at beta = matched than without noise, so too much noise in training does hurt at a smaller
    beta, against the premise of the kappa rule, and only the scaling by beta / alpha remains.
    """
    found = []
    for sweep in sweeps:
        if sweep.alpha0 == 0 or (matched := sweep.matched_beta()) is None:
            continue
        at = sweep.betas.index(matched)
        above = sweep.betas[min(at + 1, len(sweep.betas) - 1)]
        below = sweep.betas[at - 1] or matched
        basis = (
            f"{sweep.name}, trained with alpha {sweep.alpha0:g}, errs least at beta {matched:g}, "
            f"more without noise ({sweep.images} images)"
        )
        alpha, low, high = (round(sweep.alpha0 * beta / level, 12) for level in (matched, above, below))
        found.append(Estimate("matched noise", alpha, low, high, basis))
    return found


def _kappa_estimates(beta: float, sweeps: Sequence[Sweep], doubts: list[str]) -> list[Estimate]:
    found = []
    for sweep in sweeps:
        if sweep.alpha0 == 0:
            continue
        try:
            rule = sweep.kappa()
        except SettingError as error:
            doubts.append(f"{sweep.name}: {error}")
            continue
        if rule.open_ended:
            doubts.append(
                f"{sweep.name} tolerates every measured beta (up to {rule.swept:g}): the kappa rule gives "
                f"only an upper limit, {rule(beta):.3g}"
            )
            continue
        low, high = rule.interval(beta)
        basis = (
            f"{sweep.name}, trained with alpha {sweep.alpha0:g}, tolerates beta {rule.tolerated:g} "
            f"({sweep.images} images)"
        )
        found.append(Estimate("kappa rule", rule(beta), low, high if math.isfinite(high) else beta, basis))
    return found


def _harmless_limit(beta: float, surrogate: Surrogate | None, doubts: list[str]) -> float | None:
    if surrogate is None:
        return None
    limit = surrogate.harmless_alpha()
    if surrogate.risk.min() > _TRUSTED_RISK:
        doubt = f"errs on {surrogate.risk.min():.0%} of the points and says nothing about a good network"
    elif limit >= surrogate.alphas[-1]:
        doubt = f"sees no harm up to alpha {limit:g}, but networks may suffer earlier"
    else:
        return limit
    doubts.append(f"too much noise: the Parzen rule {doubt}")
    return None


def _same_cost(
    beta: float, alpha: float, sweeps: Sequence[Sweep], surrogate: Surrogate | None, doubts: list[str]
) -> Amount | None:
    """Return by how much alpha = beta is worse: by the clean risks of two networks, or by the surrogate."""
    noisy = sorted((sweep for sweep in sweeps if sweep.alpha0 > 0), key=lambda sweep: sweep.alpha0)
    if noisy and noisy[0].alpha0 < noisy[-1].alpha0 and noisy[0].images == noisy[-1].images:
        low, high = noisy[0], noisy[-1]
        difference = high.wrong[:, 0].astype(np.float64) - low.wrong[:, 0]
        scale = (beta - alpha) / (high.alpha0 - low.alpha0)
        return Amount(
            scale * float(difference.mean()),
            abs(scale) * float(difference.std()) / math.sqrt(low.images),
            "right branch",
            f"clean risk of {low.name} (alpha {low.alpha0:g}) and {high.name} (alpha {high.alpha0:g}), "
            "in proportion",
        )
    if surrogate is not None and surrogate.risk.min() <= _TRUSTED_RISK and beta <= surrogate.alphas[-1]:
        rise, error = surrogate.rise(alpha, beta)
        if rise > 2.0 * error > 0:
            return Amount(rise, error, "Parzen rule", "its risk at alpha = beta minus that at the advice")
    doubts.append(
        "what alpha = beta costs: this needs two classifiers trained with different noise (or, better, a "
        "study)"
    )
    return None


def _expected_risk(beta: float, alpha: float, sweeps: Sequence[Sweep], doubts: list[str]) -> Amount | None:
    """Return the risk at the advice, by the scaling that the kappa rule rests on."""
    noisy = [sweep for sweep in sweeps if sweep.alpha0 > 0]
    for sweep in sorted(noisy, key=lambda sweep: abs(math.log(sweep.alpha0 / alpha))):
        scaled = sweep.alpha0 * beta / alpha
        if scaled <= sweep.betas[-1]:
            basis = f"{sweep.name} at beta {scaled:.3g}, the same beta / alpha"
            if alpha > sweep.alpha0:
                basis += "; it leaves out the harm of the additional noise"
            return _measured(sweep, scaled, "scaling", basis)
    doubts.append("the risk at the advised alpha: this needs a classifier trained with noise (--model)")
    return None


def _plain_risk(beta: float, sweeps: Sequence[Sweep]) -> Amount | None:
    for sweep in sweeps:
        if sweep.alpha0 == 0:
            at = min(beta, sweep.betas[-1])  # the sweep stops where all is lost, at no less risk
            basis = f"{sweep.name} at beta {at:g}; its risk without smoothing is {sweep.clean_risk:.2%}"
            return _measured(sweep, at, "measured", basis)
    return None


def _measured(sweep: Sweep, beta: float, estimator: str, basis: str) -> Amount:
    risk = sweep.risk(beta)
    return Amount(risk, math.sqrt(risk * (1.0 - risk) / sweep.images), estimator, basis)


def _confidence(estimates: Sequence[Estimate]) -> str:
    if len(estimates) == 1:
        only = estimates[0].estimator
        return "weak: a rule of thumb alone" if only == "rule of thumb" else f"fair: {only}, measured"
    alphas = [estimate.alpha for estimate in estimates]
    apart = max(alphas) / min(alphas)
    names = " and ".join(dict.fromkeys(estimate.estimator for estimate in estimates))
    if apart <= _AGREEMENT:
        return f"fair: {names} agree within a factor of {apart:.2f}"
    return f"weak: {names} differ by a factor of {apart:.2f}"
