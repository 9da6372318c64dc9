r"""What the advice is worth: known interference, real data, regret against measured studies, and time.

    python benchmarks/advice.py balls --repetitions 20
    python benchmarks/advice.py table --data digits mnist fashion-mnist cifar10 --data-dir NAME=DIR...
    python benchmarks/advice.py regret --study NAME=DATA=FOLDER... --published NAME=DATA=CSV=LARGEST_BETA... \
        --data-dir NAME=DIR...
    python benchmarks/advice.py time --data mnist --data-dir mnist=DIR

``regret`` judges the rules on results that exist: the vote risk at the alpha that a rule names (the
nearest one measured) minus the lowest of the table, both on the same test images. ``advise`` and ``kappa``
get one network of the table, that nearest to the rule of thumb at the middle beta, and its row over beta;
``parzen`` and the upper limit of ``advise`` get the training points only. None sees the other networks.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import numpy as np

from rule_regrets import Regret, rule_regrets
from sfumato.advice.advise import advise
from sfumato.advice.estimated_interference import estimate_interference
from sfumato.advice.neighbours import nearest_by_class, squared_distances
from sfumato.advice.points import LabelledPoints, labelled_points
from sfumato.advice.rules import Rule, same_rule, share_rule
from sfumato.advice.surrogate import Surrogate, parzen_surrogate
from sfumato.advice.sweep import Sweep
from sfumato.answers.published import PublishedResults, load_published, published_best
from sfumato.datasets import load_dataset
from sfumato.errors import SettingError
from sfumato.studies.store import load_results

GAPS = (0.1, 0.3, 0.6, 1.0, 2.0)
ALPHAS = tuple(round(0.05 * step, 2) for step in range(1, 25))


def _head(*columns: str) -> None:
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")


def balls(dim: int, gap: float, count: int, shell: bool, seed: int) -> LabelledPoints:
    """Return four balls of radius 1 in a square, ``gap`` apart, and as many points around them.

    The others fill the box around the balls, or shells of thickness ``gap`` around each ball.
    """
    generator = np.random.default_rng(seed)
    step = 2.0 + gap
    centres = np.zeros((4, dim))
    centres[:, :2] = [[0, 0], [step, 0], [0, step], [step, step]]

    def directions(number: int) -> np.ndarray:
        normal = generator.normal(size=(number, dim))
        return normal / np.linalg.norm(normal, axis=1, keepdims=True)

    half = count // 2
    inside = centres[generator.integers(4, size=half)]
    inside = inside + directions(half) * generator.random((half, 1)) ** (1.0 / dim)
    outside: list[np.ndarray] = []
    while sum(map(len, outside)) < half:
        if shell:
            about = centres[generator.integers(4, size=count)]
            drawn = about + directions(count) * (1.0 + gap * generator.random((count, 1)))
        else:
            low, high = centres.min(axis=0) - 1.0 - gap, centres.max(axis=0) + 1.0 + gap
            drawn = generator.uniform(low, high, (4 * count, dim))
        nearest = np.min([((drawn - centre) ** 2).sum(axis=1) for centre in centres], axis=0)
        outside.append(drawn[nearest > 1.0])
    x = np.concatenate([inside, np.concatenate(outside)[:half]])
    return labelled_points(x, np.repeat([1, 0], half))


def run_balls(settings: argparse.Namespace) -> None:
    """Print how well known gaps are estimated."""
    _head(
        "d",
        "points",
        "others",
        "zeta",
        "one part",
        "estimate (sd)",
        "bias",
        "lower bound",
        "coverage",
        "open",
    )
    for dim in (2, 3, 10):
        for shell in (False, True):
            for gap in GAPS:
                found = [
                    next(
                        c
                        for c in estimate_interference(
                            balls(dim, gap, settings.points, shell, seed), subsamples=20, seed=seed
                        )
                        if c.name == "1"
                    )
                    for seed in range(settings.repetitions)
                ]
                told = [c for c in found if c.components > 1]
                where = "shells" if shell else "box"
                row = f"| {dim} | {settings.points} | {where} | {gap:g} | {1 - len(told) / len(found):.2f} |"
                if not told:
                    print(f"{row} none | - | - | - | - |", flush=True)
                    continue
                zeta = np.array([c.zeta for c in told])
                held = np.mean([c.zeta_low <= gap <= c.zeta_high for c in told])
                open_ = np.mean([c.regime == "not resolved" for c in told])
                print(
                    f"{row} {zeta.mean():.3f} ({zeta.std():.3f}) | {zeta.mean() - gap:+.3f} | "
                    f"{np.mean([c.zeta_low for c in told]):.3f} | {held:.2f} | {open_:.2f} |",
                    flush=True,
                )


def folder_of(name: str, folders: list[str]) -> Path | None:
    """Return the folder given for a data set as NAME=FOLDER, None without one."""
    return next((Path(f.partition("=")[2]) for f in folders if f.partition("=")[0] == name), None)


def run_table(settings: argparse.Namespace) -> None:
    """Print the interference of each class of real data."""
    _head(
        "data", "points", "one part", "parts of others", "zeta/2r", "1-NN accuracy", "d_other", "beta of 1 %"
    )
    from sfumato.advice.geometry import geometry

    for name in settings.data:
        data = load_dataset(name, folder_of(name, settings.data_dir))
        points = labelled_points(data.train.x, data.train.y, data.class_names, most=settings.points)
        near = nearest_by_class(points)
        classes = estimate_interference(points, subsamples=settings.subsamples)
        shape = geometry(near)
        several = [c for c in classes if c.components > 1]
        parts = "; ".join(
            f"{c.name}: {c.components} parts, largest {c.largest_share:.1%}, zeta {c.zeta:.3g} "
            f"({c.zeta_low:.3g} to {c.zeta_high:.3g})"
            for c in several
        )
        ratios = "; ".join(f"{c.ratio:.3g} ({c.regime})" for c in several)
        whole = f"{len(classes) - len(several)} of {len(classes)}"
        print(
            f"| {name} | {len(points):,} | {whole} | {parts or 'none'} | {ratios or '-'} | "
            f"{shape.nearest_is_same:.3f} | {np.median(shape.to_other):.3f} | "
            f"{shape.beta_of_soft_risk(0.01):.3f} |",
            flush=True,
        )


class Table:
    """Measured risks by (alpha, beta), and the rows over beta of single networks."""

    def __init__(self, name: str, data: str, risks: dict[tuple[float, float], float], images: int) -> None:
        self.name, self.data, self.risks, self.images = name, data, risks, images
        self.published: PublishedResults | None = None
        self.rows: dict[float, tuple[tuple[float, ...], np.ndarray]] = {}

    def network(self) -> Sweep:
        """Return the row of the network nearest to 0.7 of the middle beta."""
        betas = sorted({beta for _, beta in self.risks if beta > 0})
        target = share_rule(betas[len(betas) // 2])
        alpha = min((a for a in self.rows if a > 0), key=lambda a: abs(a - target))
        levels, wrong = self.rows[alpha]
        return Sweep(f"alpha {alpha:g}", alpha, levels, wrong)


def study_table(name: str, data: str, folder: Path) -> Table:
    """Return a study's risks, means over seeds, and the rows of its first seed."""
    results = load_results(folder)
    risks = {
        (alpha, beta): float(
            np.mean([c.risk for (a, b, _), c in results.cells.items() if (a, b) == (alpha, beta)])
        )
        for alpha, beta, _ in results.cells
    }
    first = results.seeds[0]
    any_cell = next(iter(results.cells.values()))
    table = Table(name, data, risks, len(any_cell.examples))
    for alpha in results.alphas:
        cells = [results.cells[alpha, b, first] for b in results.betas if (alpha, b, first) in results.cells]
        table.rows[alpha] = tuple(c.beta for c in cells), np.stack([c.wrong for c in cells], axis=1)
    return table


def published_table(name: str, data: str, path: Path, largest: float) -> Table:
    """Return published risks; which images erred is unknown, so a row nests them."""
    published = load_published(path)
    risks = {key: errors / published.images for key, errors in published.errors.items() if key[1] <= largest}
    table = Table(name, data, risks, published.images)
    table.published = published
    rank = (np.arange(published.images) + 0.5) / published.images
    for alpha in sorted({a for a, _ in risks}):
        betas = tuple(sorted(b for a, b in risks if a == alpha))
        if betas[0] == 0:
            table.rows[alpha] = betas, rank[:, None] < np.array([risks[alpha, b] for b in betas])
    return table


def parzen_vote_risk(points: LabelledPoints, beta: float, images: int = 200, votes: int = 16) -> np.ndarray:
    """Return the risk, at each of ALPHAS, of the majority of the Parzen rule on noisy copies of points."""
    generator = np.random.default_rng(0)
    order = np.argsort(points.y, kind="stable")
    x, y = points.x[order], points.y[order]
    _, firsts, position = np.unique(y, return_index=True, return_inverse=True)
    wrong = np.zeros(len(ALPHAS))
    for point in generator.permutation(len(x))[:images]:
        copies = x[point] + beta * generator.standard_normal((votes, x.shape[1]))
        distances = squared_distances(copies, x)
        distances[:, point] = np.inf
        distances -= distances.min(axis=1, keepdims=True)
        for k, alpha in enumerate(ALPHAS):
            weights = np.exp(-0.5 * distances / alpha**2)
            classes = np.add.reduceat(weights, firsts, axis=1).argmax(axis=1)
            wrong[k] += np.bincount(classes).argmax() != position[point]
    return wrong / images


def rules_of(table: Table, points: LabelledPoints, surrogate: Surrogate) -> dict[str, Rule]:
    """Return every rule that is judged."""
    network = table.network()

    def advised(with_network: bool) -> Rule:
        return lambda beta: advise(beta, sweeps=[network] if with_network else [], surrogate=surrogate).alpha

    def parzen(beta: float) -> float:
        risk = parzen_vote_risk(points.subset(np.arange(min(2000, len(points)))), beta)
        return float(ALPHAS[np.flatnonzero(risk <= risk.min() + 1e-12)[-1]])

    rules: dict[str, Rule] = {
        "alpha = beta": same_rule,
        "rule of thumb": share_rule,
        "Parzen": parzen,
    }
    try:
        rules["kappa"] = network.kappa()
    except SettingError as error:
        print(f"({table.name}: {error})")
    rules["advise, no network"] = advised(False)
    rules["advise"] = advised(True)
    return rules


def run_regret(settings: argparse.Namespace) -> None:
    """Print the mean and the worst regret of each rule on each table."""
    tables = [study_table(n, d, Path(f)) for n, d, f in (s.split("=") for s in settings.study)]
    for name, data, path, largest in (s.split("=") for s in settings.published):
        tables.append(published_table(name, data, Path(path), float(largest)))
    total: dict[str, list[float]] = {}
    above: dict[str, list[float]] = {}
    for table in tables:
        data = load_dataset(table.data, folder_of(table.data, settings.data_dir))
        points = labelled_points(data.train.x, data.train.y, data.class_names, most=5000)
        betas = [beta for _, beta in table.risks]
        grid = [2.0 * max(betas) * step / 40 for step in range(41)]
        surrogate = parzen_surrogate(points, grid)
        network = table.network()
        print(
            f"\n{table.name}: {table.images} images, network of alpha {network.alpha0:g}, Parzen limit "
            f"{surrogate.harmless_alpha():g} of {grid[-1]:g}, its lowest risk {surrogate.risk.min():.3f}\n"
        )
        _head("rule", "mean regret", "worst", "share of alpha = beta's mean", "alphas")
        found = {
            name: rule_regrets(table.risks, rule) for name, rule in rules_of(table, points, surrogate).items()
        }
        same = np.array([r.regret for r in found["alpha = beta"]])
        for name, regrets in found.items():
            values = np.array([r.regret for r in regrets])
            total.setdefault(name, []).extend(values)
            above.setdefault(name, []).extend(values - same)
            share = f"{values.mean() / same.mean():.2f}" if same.mean() > 0 else "-"
            named = " ".join(f"{r.beta:g}:{r.named:.2f}" for r in regrets)
            print(f"| {name} | {values.mean():.4f} | {values.max():.4f} | {share} | {named} |", flush=True)
        if table.published is not None:
            print_smoothed(table.published, found)
        best = " ".join(f"{r.beta:g}:{r.best_alpha:g}" for r in found["alpha = beta"])
        print(f"| lowest measured | 0 | 0 | 0 | {best} |")
    print("\nAll tables and betas together\n")
    _head("rule", "cells", "mean regret", "worst", "at most above alpha = beta")
    for name, values in total.items():
        more = max(above[name])
        print(f"| {name} | {len(values)} | {np.mean(values):.4f} | {max(values):.4f} | {more:+.4f} |")


def print_smoothed(published: PublishedResults, found: dict[str, tuple[Regret, ...]]) -> None:
    """Print the regrets along the smoothed curves, which leave out the luck of single trainings."""
    for name, regrets in found.items():
        values = []
        for regret in regrets:
            curve = published_best(published, regret.beta).curve
            assert curve is not None
            values.append(float(np.interp(regret.named, curve.alphas, curve.risk)) - curve.lowest)
        print(f"| {name}, smoothed | {np.mean(values):.4f} | {max(values):.4f} | | |")


def run_time(settings: argparse.Namespace) -> None:
    """Print time and memory of the exact neighbours and the interference of all training points."""
    data = load_dataset(settings.data[0], folder_of(settings.data[0], settings.data_dir))
    points = labelled_points(data.train.x, data.train.y, data.class_names, most=settings.points)
    began = time.perf_counter()
    nearest_by_class(points)
    spent = time.perf_counter() - began
    print(f"{settings.data[0]}, {len(points):,} x {points.x.shape[1]}: exact neighbours {spent:.1f} s")
    began = time.perf_counter()
    estimate_interference(points, subsamples=settings.subsamples)
    print(f"interference with {settings.subsamples} subsamples: {time.perf_counter() - began:.1f} s")
    print(f"memory at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["balls", "table", "regret", "time"])
    parser.add_argument("--repetitions", type=int, default=20)
    parser.add_argument("--points", type=int, default=None)
    parser.add_argument("--subsamples", type=int, default=20)
    parser.add_argument("--data", nargs="+", default=["digits"])
    parser.add_argument("--data-dir", nargs="*", default=[], help="NAME=FOLDER")
    parser.add_argument("--study", nargs="*", default=[])
    parser.add_argument("--published", nargs="*", default=[], help="NAME=DATA=CSV=LARGEST_BETA")
    settings = parser.parse_args()
    if settings.what == "balls" and settings.points is None:
        settings.points = 4000
    {"balls": run_balls, "table": run_table, "regret": run_regret, "time": run_time}[settings.what](settings)


if __name__ == "__main__":
    main()
