"""Forests, boosting and linear models on three tables of scikit-learn, certified in the user's units.

Each table is split in halves, stratified. The estimators are fitted under noise alpha = beta and smoothed.
For linear models the distance to the nearest other class is computed, and no radius may exceed it.

    python benchmarks/tabular.py --output benchmarks/results/tabular.md
"""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter
from pathlib import Path

import numpy as np
import sklearn
from sklearn.datasets import load_breast_cancer, load_iris, load_wine
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import sfumato as sf

TABLES = {"breast cancer": load_breast_cancer, "wine": load_wine, "iris": load_iris}
ESTIMATORS = {
    "random forest": lambda: RandomForestClassifier(100, random_state=0),
    "boosting": lambda: HistGradientBoostingClassifier(max_iter=50, random_state=0),
}
RADII = (0.1, 0.25, 0.5)
PLAN = "fixed(100,2000)"
MOST_ROWS = 100
SHOWN = {"breast cancer": (0, 3, 4), "wine": (0, 6, 12), "iris": (0, 2, 3)}


def linear():
    """Return an untrained linear classifier of standardised features."""
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))


def distances(smoothed: sf.SmoothedEstimator, rows: np.ndarray) -> np.ndarray:
    """Return how far each row is from another class of the linear estimator, in the unit of its scale."""
    scaler, model = smoothed.estimator_[0], smoothed.estimator_[1]
    coefficients, intercepts = model.coef_, model.intercept_
    if len(smoothed.classes_) == 2:  # one row for two classes
        coefficients, intercepts = np.vstack([-coefficients, coefficients]), np.r_[-intercepts, intercepts]
        coefficients, intercepts = coefficients / 2, intercepts / 2
    logits = scaler.transform(rows) @ coefficients.T + intercepts
    best = logits.argmax(1)
    per_unit = coefficients / scaler.scale_ * smoothed.scale_
    lengths = np.linalg.norm(per_unit[best][:, None] - per_unit[None], axis=2)
    gaps = logits[np.arange(len(rows)), best][:, None] - logits
    return np.where(lengths > 0, gaps / np.where(lengths > 0, lengths, 1), np.inf).min(1)


def halves(load):
    """Return train and test rows and classes, at most 100 test rows."""
    x, y = load(return_X_y=True)
    train_x, test_x, train_y, test_y = train_test_split(x, y, test_size=0.5, random_state=0, stratify=y)
    return train_x, test_x[:MOST_ROWS], train_y, test_y[:MOST_ROWS]


def certified_row(name: str, kind: str, beta: float, scale, unit: str) -> list[str]:
    """Return one row of the table of certified accuracy."""
    train_x, test_x, train_y, test_y = halves(TABLES[name])
    plain = ESTIMATORS[kind]().fit(train_x, train_y).score(test_x, test_y)
    smoothed = sf.SmoothedEstimator(ESTIMATORS[kind](), beta=beta, scale=scale).fit(train_x, train_y)
    started = time.perf_counter()
    found = smoothed.certify(test_x, test_y, plan=PLAN)
    seconds = time.perf_counter() - started
    shares = found.accuracy((0.0, *RADII)).shares
    numbers = [f"{share:.2f}" for share in (plain, *shares)]
    median = float(np.median([one.radius for one in found]))
    return [name, kind, unit, f"{beta:g}", str(len(test_x)), *numbers, f"{median:.3f}", f"{seconds:.0f}"]


def linear_row(name: str, scale, unit: str, factor: float) -> list[str]:
    """Return how the radii of a linear model compare with the true distances."""
    train_x, test_x, train_y, test_y = halves(TABLES[name])
    beta = 0.5 * factor * (1.0 if scale else float(np.median(train_x.std(0))))
    smoothed = sf.SmoothedEstimator(linear(), beta=beta, scale=scale).fit(train_x, train_y)
    found = smoothed.certify(test_x, test_y, plan=PLAN)
    radii, true = np.array([one.radius for one in found]), distances(smoothed, test_x)
    certified = radii > 0
    ratio = radii[certified] / true[certified]
    beyond, near = int((radii > true).sum()), (true < 2.5 * beta)[certified]
    median = f"{np.median(ratio[near]):.3f}" if near.any() else "none so near"
    return [name, unit, f"{beta:.3g}", str(len(radii)), str(beyond), f"{ratio.max():.3f}", median]


def units(name: str) -> list[str]:
    """Return what a radius of 0.25 standard deviations is for three features alone, in their own units."""
    train_x, *_ = halves(TABLES[name])
    names = TABLES[name]().feature_names
    deviations = train_x.std(0)
    parts = [f"{names[i]}: {0.25 * deviations[i]:.3g}" for i in SHOWN[name]]
    return [name, *parts]


def table(columns: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def checks() -> str:
    """Return what scikit-learn's own checks of an estimator say."""
    results = check_estimator(
        sf.SmoothedEstimator(LogisticRegression(), copies=3, votes=100), on_fail=None, on_skip=None
    )
    counts = Counter(one["status"] for one in results)
    lines = [f"{len(results)} checks: " + ", ".join(f"{n} {status}" for status, n in counts.items()) + "."]
    for one in results:
        if one["status"] != "passed":
            lines.append(f"- {one['status']}: `{one['check_name']}` ({one['exception']})")
    return "\n".join(lines)


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True)
    output = parser.parse_args().output
    forests = [
        certified_row(name, kind, beta, "std", "std")
        for name in TABLES
        for kind in ESTIMATORS
        for beta in (0.25, 0.5)
    ]
    forests += [certified_row("iris", kind, 0.25, None, "cm") for kind in ESTIMATORS]
    lines = [
        linear_row(name, scale, unit, factor)
        for name in TABLES
        for scale, unit in (("std", "std"), (None, "own"))
        for factor in (1.0, 2.0)
    ]
    accuracies = [f"R = {radius:g}" for radius in RADII]
    page = f"""# Tables: forests, boosting and linear models

Made by `python benchmarks/tabular.py --output benchmarks/results/tabular.md` with scikit-learn
{sklearn.__version__} on {os.cpu_count()} cores shared with other work; plan `{
        PLAN
    }`, confidence 0.999, alpha = beta,
10 noisy copies. `SmoothedEstimator` does all of it.

## Certified accuracy

*plain*: the same estimator without noise in training or prediction. *smoothed*: right and not abstained on.
The unit of beta and R is a standard deviation of each feature (std), or a centimetre for all of iris.

{
        table(
            [
                *("table", "estimator", "unit", "beta", "rows", "plain", "smoothed"),
                *accuracies,
                "median radius",
                "s",
            ],
            forests,
        )
    }

In the user's own units a radius of 0.25 standard deviations allows a change of one feature alone by at most

{table(["table", "", "", ""], [units(name) for name in TABLES])}

and of several features together if their squared changes in standard deviations add up to at most 0.25^2.

## Linear models: radii against the true distance

The distance to the nearest other class is computed from the weights. Each radius holds with probability at
least 0.999, so about 1 of 1,000 may be beyond the distance. The last column is over certified rows nearer
than 2.5 beta. With two classes, infinitely many votes would find all of their distance.

{table(["table", "unit", "beta", "rows", "beyond", "largest radius / distance", "median, near rows"], lines)}

## `check_estimator`

{checks()}
"""
    output.write_text(page)


if __name__ == "__main__":
    main()
