"""Clopper-Pearson bounds against 50-digit arithmetic, for n from 10 to 10^8.

The reference solves the binomial tail equation with mpmath: a sum of positive terms, independent of the
incomplete beta functions the library uses. Target: outward, and within 1e-9 relative; an inward bound
stops the script.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import mpmath
from scipy import special

from sfumato.noise import Gaussian
from sfumato.statistics.binomial import lower_bound, upper_failure_probability

TRIALS = (10, 100, 1000, 10_000, 100_000, 10**6, 10**7, 10**8)
SHARES = (0.5, 0.1, 0.01, 1e-4, 1e-6)
CONFIDENCES = (0.9, 0.99, 0.999, 1.0 - 1e-6, 1.0 - 1e-9)
# Sums of more terms take minutes each.
MOST_FAILURES = 100_000
# Terms below this share of the sum are left out.
TINY = mpmath.mpf(10) ** -45


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, help="also write the report here")
    settings = parser.parse_args()
    mpmath.mp.dps = 50
    began = time.perf_counter()
    lines = [
        "# Binomial bounds against 50-digit arithmetic",
        "",
        f"Made by `python benchmarks/statistics_numerics.py {' '.join(sys.argv[1:])}` on 2 CPU cores.",
        "",
        "q_upper is the upper bound of 1 - p; excess is (q_upper - exact) / exact, whose"
        " target is [0, 1e-9]. The radius error is that of Phi^-1 at beta = 1 from rounding outward.",
        "",
        "| n | bounds checked | smallest excess | largest excess | 1 - q outward | largest loss of radius |",
        "|---|---|---|---|---|---|",
    ]
    for trials in TRIALS:
        failures = sorted({0, 1, 2, 10} | {round(share * trials) for share in SHARES})
        cells = [(k, c) for k in failures if k <= min(trials / 2, MOST_FAILURES) for c in CONFIDENCES]
        excess, outward, lost = [], True, 0.0
        for k, confidence in cells:
            exact = exact_upper(k, trials, confidence)
            found = upper_failure_probability(trials - k, trials, confidence)
            excess.append(float((mpmath.mpf(found) - exact) / exact))
            outward &= mpmath.mpf(lower_bound(trials - k, trials, confidence)) <= 1 - exact
            lost = max(
                lost, -special.ndtri(float(exact)) - Gaussian(1.0).radius(found) if exact < 0.5 else 0.0
            )
        assert min(excess) >= 0.0, "a bound is rounded inward"
        lines.append(
            f"| {trials} | {len(cells)} | {min(excess):.2e} | {max(excess):.2e} |"
            f" {'yes' if outward else 'NO'} | {lost:.1e} |"
        )
    lines += ["", "The excess is the widening itself, to the digits shown."]
    lines += ["", f"Whole run: {time.perf_counter() - began:.0f} s."]
    text = "\n".join(lines) + "\n"
    print(text)
    if settings.output:
        settings.output.write_text(text)


def exact_upper(failures: int, trials: int, confidence: float) -> mpmath.mpf:
    """Solve P(at most ``failures`` failures) = 1 - confidence for the failure probability."""
    level = 1 - mpmath.mpf(confidence)
    if failures == 0:
        return -mpmath.expm1(mpmath.log(level) / trials)

    def log_tail(log_q: mpmath.mpf) -> mpmath.mpf:
        q = mpmath.exp(log_q)
        log_last = (
            mpmath.loggamma(trials + 1)
            - mpmath.loggamma(failures + 1)
            - mpmath.loggamma(trials - failures + 1)
            + failures * log_q
            + (trials - failures) * mpmath.log1p(-q)
        )
        # The terms fall from k = failures downwards, since q lies above failures / trials.
        odds = (1 - q) / q
        term = total = mpmath.mpf(1)
        for k in range(failures, 0, -1):
            term *= odds * k / (trials - k + 1)
            total += term
            if term < TINY * total:
                break
        return log_last + mpmath.log(total) - mpmath.log(level)

    guess = mpmath.log(upper_failure_probability(trials - failures, trials, confidence))
    # The secant needs only a start: the library's answer, disturbed far beyond its claimed accuracy.
    return mpmath.exp(mpmath.findroot(log_tail, (guess - 1e-4, guess - 2e-4), tol=1e-60, maxsteps=60))


if __name__ == "__main__":
    main()
