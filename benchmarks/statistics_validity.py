"""How often each plan certifies falsely, when the class probability lies just below the threshold.

For thresholds p0 and 2, 3 (ties) and 10 classes: the exact crossing probability of the boundaries by
dynamic programming, and the rate among simulated images run through the plan as users run it. Also
what the same number of looks costs when the fixed-n bound is looked at repeatedly.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from scipy import special

from sfumato.noise import Gaussian
from sfumato.plans import Curve, Decide, Fixed, FixedTwoClass, Precision, Predict
from sfumato.statistics.sequential import look_schedule
from sfumato.statistics.walk import crossing_probability

THRESHOLDS = (0.5, 0.52, 0.6, 0.69, 0.84, 0.977, 0.9987)
# Just below: this far under the threshold in z = Phi^-1(p).
BELOW = 1e-4
AT_A_TIME = 100_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000_000, help="simulated images per cell")
    parser.add_argument("--confidence", type=float, default=0.999)
    parser.add_argument("--n-max", type=int, default=10_000, help="cap of the simulated plans")
    parser.add_argument("--chunk", type=int, default=500)
    parser.add_argument("--plans", nargs="+", help="simulate only these, as the columns are called")
    parser.add_argument("--output", type=Path, help="also write the report here")
    settings = parser.parse_args()
    began = time.perf_counter()
    level = 1.0 - settings.confidence
    report = [
        "# False certificates, class probability just below the threshold",
        "",
        f"Made by `python benchmarks/statistics_validity.py {' '.join(sys.argv[1:])}` on 2 CPU cores; level "
        f"{level:.3g}, {settings.runs} simulated images per cell, standard error at the level "
        f"{np.sqrt(level / settings.runs):.1e}.",
        *exact_report(settings, level),
        *simulated_report(settings, level),
        *peeking_report(level),
    ]
    report += ["", f"Whole run: {time.perf_counter() - began:.0f} s."]
    text = "\n".join(report) + "\n"
    print(text)
    if settings.output:
        settings.output.write_text(text)


def exact_report(settings, level: float) -> list[str]:
    lines = [
        "",
        "## Exact, cap 100,000: crossing probability over 1 - confidence, giving up ignored",
        "",
        "| p0 | label known, chunk 32 | 128 | all classes, chunk 32 | 128 | two classes, 32 | 128 |",
        "|---|---|---|---|---|---|---|",
    ]
    for p0 in THRESHOLDS:
        known = [_crossing(p0, 100_000, chunk, True, settings.confidence, p0) for chunk in (32, 128)]
        voted = [_crossing(p0, 100_000, chunk, False, settings.confidence, p0) for chunk in (32, 128)]
        pairs = [
            max(
                _crossing(p0, 100_000, chunk, False, settings.confidence, p)
                + _crossing(p0, 100_000, chunk, False, settings.confidence, 1.0 - p)
                for p in np.linspace(0.5, p0, 9)
            )
            for chunk in (32, 128)
        ]
        cells = [*known, *voted, *pairs]
        assert max(cells) <= level, "the level is exceeded"
        lines.append(f"| {p0} | {' | '.join(f'{cell / level:.4f}' for cell in cells)} |")
    return [
        *lines,
        "",
        "At p0; and that either of two classes crosses, of probabilities p and 1 - p, at the worst of 9 "
        "values of p up to p0. The level of each radius is `1 - confidence` with the label known, else "
        "`(1 - confidence) max(p0, 0.999)` where the smallest radius is at least about 0.05 of the noise, "
        "and `(1 - confidence) p0` where it is less.",
    ]


def _crossing(p0: float, n_max: int, chunk: int, known: bool, confidence: float, p: float) -> float:
    test = _tests(p0, n_max, chunk, known, confidence)
    return crossing_probability(test.looks, test.certify[:, 0], p, 1.0 - p)


def _tests(p0: float, n_max: int, chunk: int, known: bool, confidence: float):
    z0 = float(special.ndtri(p0))
    return Curve((z0,), n_max, chunk).tests(Gaussian(1.0), confidence, label_known=known)


def _cells(p0: float) -> dict[str, np.ndarray]:
    """Return class probabilities with the first class just below ``p0``."""
    p = float(special.ndtr(special.ndtri(p0) - BELOW))
    ten = np.full(10, (1.0 - p) / 9.0)
    ten[0] = p
    cells = {"K = 2": np.array([p, 1.0 - p])}
    if p0 == 0.5:
        cells["K = 3, two tied"] = np.array([p, p, 1.0 - 2.0 * p])
        cells["K = 3, three tied"] = np.full(3, 1.0 / 3.0)
    else:
        cells["K = 3, rest tied"] = np.array([p, (1.0 - p) / 2.0, (1.0 - p) / 2.0])
    return {**cells, "K = 10": ten}


def simulated_report(settings, level: float) -> list[str]:
    lines = [
        "",
        f"## Simulated, cap {settings.n_max}, chunk {settings.chunk}: false rate over 1 - confidence",
        "",
        "| p0 | classes | decide | label known | curve | precision(.2) | fixed | two_class | predict |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    generator = np.random.default_rng(2024)
    ratios, worst = [], -np.inf
    for p0 in THRESHOLDS:
        z0 = float(special.ndtri(p0))
        common = {"n_max": settings.n_max, "chunk": settings.chunk}
        grid = sorted({max(0.0, z0 - 0.5), max(0.0, z0 - 0.25), z0, z0 + 0.25})
        plans = {
            "decide": (Decide(z0, **common), False),
            "label": (Decide(z0, **common), True),
            "curve": (Curve(tuple(grid), **common), False),
            "precision": (Precision(0.2, n_max=settings.n_max), False),
            "fixed": (Fixed(100, settings.n_max), False),
            "two_class": (FixedTwoClass(100, settings.n_max), False),
            "predict": (Predict(n_max=settings.n_max, chunk=settings.chunk), False),
        }
        for name, probabilities in _cells(p0).items():
            shown = []
            for method, (plan, known) in plans.items():
                skipped = settings.plans is not None and method not in settings.plans
                if skipped or (method == "predict" and p0 != 0.5):
                    shown.append("")
                    continue
                rate = _false_rate(plan, probabilities, known, settings, generator)
                ratios.append(rate / level)
                runs = settings.runs // (10 if method in ("precision", "fixed", "two_class") else 1)
                worst = max(worst, (rate - level) / np.sqrt(level / runs))
                shown.append(f"{rate / level:.3f}")
            lines.append(f"| {p0} | {name} | {' | '.join(shown)} |")
            print(lines[-1], file=sys.stderr, flush=True)
    error = np.sqrt(1.0 / (level * settings.runs))
    return [
        *lines,
        "",
        f"At a true rate equal to the level these ratios have standard error {error:.3f}, and"
        f" {np.sqrt(10.0) * error:.3f} for `precision`, `fixed` and `two_class`, run a tenth as often."
        " Largest of"
        f" {len(ratios)}: {max(ratios):.3f}. The largest excess over 1 in standard errors: {worst:.1f}.",
        "",
        "A radius is false where it exceeds that of the class returned; for `predict` an answer is false"
        " that is not a most probable class (at p0 = 0.5 only).",
    ]


def _false_rate(plan, probabilities, known, settings, generator) -> float:
    runs = settings.runs
    if isinstance(plan, (Precision, Fixed, FixedTwoClass)):
        runs //= 10
    false = 0
    for begin in range(0, runs, AT_A_TIME):
        images = min(AT_A_TIME, runs - begin)
        labels = np.zeros(images, dtype=np.int64) if known else None
        run = plan.start(
            images, probabilities.size, noise=Gaussian(1.0), confidence=settings.confidence, labels=labels
        )
        while (wanted := run.demand()).any():
            counts = np.zeros((images, probabilities.size), dtype=np.int64)
            rows = np.flatnonzero(wanted)
            counts[rows] = generator.multinomial(wanted[rows], probabilities)
            run.update(counts)
        false += _count_false(plan, run.decisions(), probabilities)
    return false / runs


def _count_false(plan, decisions, probabilities: np.ndarray) -> int:
    predictions = np.array([d.prediction for d in decisions])
    radii = np.array([d.radius for d in decisions])
    if isinstance(plan, Predict):
        return int(np.sum((predictions >= 0) & (probabilities[predictions] < probabilities.max())))
    if isinstance(plan, FixedTwoClass):
        z = special.ndtri(np.clip(probabilities, 1e-300, None))
        entitled = np.array([(z[c] - np.delete(z, c).max()) / 2.0 for c in range(z.size)])
    else:
        entitled = special.ndtri(np.clip(probabilities, 1e-300, None))
    return int(np.sum((predictions >= 0) & (radii > entitled[predictions])))


def peeking_report(level: float) -> list[str]:
    lines = [
        "",
        "## What the interface does not allow: the fixed-n bound looked at repeatedly (exact)",
        "",
        "| p0 | false rate over the level, looks of decide (chunk 32, cap 100,000) |",
        "|---|---|",
    ]
    looks = look_schedule(100_000, 32)
    for p0 in THRESHOLDS:
        boundary = []
        for n in looks:
            bounds = special.betainccinv(n - np.arange(n), np.arange(1, n + 1), level)
            below = np.flatnonzero(bounds <= 1.0 - p0)
            boundary.append(int(below[0]) + 1 if below.size else n + 1)
        lines.append(f"| {p0} | {crossing_probability(looks, boundary, p0, 1.0 - p0) / level:.1f} |")
    return lines


if __name__ == "__main__":
    main()
