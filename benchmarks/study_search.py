r"""Which way of choosing the next training noise finds the best one with few trainings.

Searches for alpha* are simulated on results that exist: the published risk arrays of Pal & Sulam 2023
(smoothed, then redrawn: a fresh binomial draw per training, or one draw common to all trainings, as test
images are, with 0.35 standard errors of each training's own, which is what the arrays show), and digits
networks trained here on a grid of alphas, seeds and lengths, whose test images are resampled. A search is
charged the regret of the alpha it ends with: the true risk there above the lowest true risk on the grid,
in standard errors of that lowest risk. Optuna's samplers are compared where it is installed.

    pip install optuna==5.0.0
    python benchmarks/study_search.py published pal_sulam_mnist_risk.csv \
        --beta 0.1,0.2,0.3,0.5,0.7,0.9
    python benchmarks/study_search.py published pal_sulam_cifar10_risk.csv \
        --beta 0.1,0.2,0.3,0.4,0.5
    python benchmarks/study_search.py digits --cache digits-wrong.npz
    python benchmarks/study_search.py rules pal_sulam_mnist_risk.csv
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.interpolate import make_smoothing_spline
from scipy.special import expit, logit

from rule_regrets import rule_regrets
from sfumato.advice.kappa import KappaRule, tolerated_beta
from sfumato.advice.rules import same_rule, share_rule
from sfumato.answers.published import load_published
from sfumato.answers.search import AlphaSearch

LOWEST, HIGHEST = 0.25, 1.5  # of beta: where the rivals search
OWN_SHARE = 0.35
ALPHAS = tuple(round(0.05 * step, 2) for step in range(2, 21))
BETAS = (0.3, 0.4, 0.5, 0.6, 0.8)
SEEDS = (0, 1, 2)
EPOCHS = (8, 20, 60)


@dataclass
class World:
    """One beta of measured results, from which trainings are simulated.

    ``draw`` returns the errors of a training at an alpha, of a length given by its index in ``EPOCHS``.
    ``step`` is that of Sfumato's search, where only multiples of it were trained. ``spent`` counts
    trainings, short ones by their share of the epochs.
    """

    beta: float
    alphas: np.ndarray
    truth: np.ndarray
    examples: int
    draw: Callable[[float, int], int]
    step: float | None = None
    spent: float = 0.0

    def train(self, alpha: float, length: int = -1) -> int:
        """Return the errors of a training, and count its cost."""
        self.spent += EPOCHS[length] / EPOCHS[-1]
        return self.draw(min(max(alpha, self.alphas[0]), self.alphas[-1]), length)

    def regret(self, alpha: float) -> float:
        """Return the true risk above the lowest, in standard errors of the lowest."""
        lowest = self.truth.min()
        risk = np.interp(alpha, self.alphas, self.truth)
        return float((risk - lowest) / math.sqrt(lowest * (1 - lowest) / self.examples))

    @property
    def best_alpha(self) -> float:
        """The alpha of the lowest true risk."""
        return float(self.alphas[self.truth.argmin()])


Points = list[tuple[float, int]]


def sfumato_search(world: World, budget: int) -> tuple[float, tuple[float, float]]:
    search = AlphaSearch(world.beta, budget, step=world.step)
    while not search.finished:
        alpha = search.propose()
        search.tell(alpha, world.train(alpha), world.examples)
    best = search.best()
    return best.alpha, (best.low, best.high)


def curve_best(world: World, points: Points) -> float:
    """Return the best alpha of Sfumato's curve model, from points that another method chose."""
    search = AlphaSearch(world.beta, 1)
    for alpha, errors in points:
        search.tell(alpha, errors, world.examples)
    return search.best().alpha


def lowest_seen(world: World, points: Points) -> float:
    return min(points, key=lambda point: point[1])[0]


def log_odds(world: World, errors: int) -> float:
    return math.log((errors + 0.5) / (world.examples - errors + 0.5))


def even_points(world: World, budget: int) -> Points:
    spread = np.geomspace(LOWEST * world.beta, HIGHEST * world.beta, budget)
    return [(float(alpha), world.train(alpha)) for alpha in spread]


def golden_points(world: World, budget: int) -> Points:
    ratio = (math.sqrt(5) - 1) / 2
    low, high = math.log(LOWEST * world.beta), math.log(HIGHEST * world.beta)
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    points = [(math.exp(x), world.train(math.exp(x))) for x in (left, right)]
    below, above = points[0][1], points[1][1]
    while len(points) < budget:
        if below < above:
            high, right, above = right, left, below
            new = left = high - ratio * (high - low)
        else:
            low, left, below = left, right, above
            new = right = low + ratio * (high - low)
        points.append((math.exp(new), world.train(math.exp(new))))
        below, above = (points[-1][1], above) if new == left else (below, points[-1][1])
    return points


def quadratic_best(world: World, points: Points, beside: float = 0.0) -> float:
    """Return the minimum of a weighted quadratic in log alpha, at least ``beside`` from every point."""
    x = np.log([alpha / world.beta for alpha, _ in points])
    y = np.array([log_odds(world, errors) for _, errors in points])
    variance = np.array([1 / (errors + 0.5) for _, errors in points]) + 0.01 + (0.15 * (y - y.min())) ** 2
    curve = np.polyfit(x, y, 2, w=variance**-0.5)
    grid = np.log(np.arange(LOWEST, HIGHEST + 1e-9, 0.025))
    grid = grid[(grid > x.min() - 0.3) & (grid < x.max() + 0.3)]
    grid = grid[np.abs(grid[:, None] - x[None, :]).min(axis=1) >= beside]
    return float(world.beta * math.exp(grid[np.polyval(curve, grid).argmin()]))


def quadratic_search(world: World, budget: int) -> float:
    points = [(share * world.beta, world.train(share * world.beta)) for share in (0.4, 0.7, 1.0)]
    while len(points) < budget:
        alpha = quadratic_best(world, points, beside=0.05)
        points.append((alpha, world.train(alpha)))
    return quadratic_best(world, points)


def optuna_points(world: World, budget: int, kind: str, seed: int) -> Points:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = {
        "TPE": lambda: optuna.samplers.TPESampler(seed=seed, n_startup_trials=3),
        "GP": lambda: optuna.samplers.GPSampler(seed=seed, n_startup_trials=3),
    }[kind]()
    study = optuna.create_study(sampler=sampler)
    for share in (0.4, 0.7, 1.0):
        study.enqueue_trial({"alpha": share * world.beta})
    points: Points = []

    def objective(trial: optuna.Trial) -> float:
        alpha = trial.suggest_float("alpha", LOWEST * world.beta, HIGHEST * world.beta, log=True)
        points.append((alpha, world.train(alpha)))
        return log_odds(world, points[-1][1])

    study.optimize(objective, n_trials=budget)
    return points


def halving(world: World, budget: int) -> float:
    """Return the winner of successive halving over epochs, for at most ``budget`` full trainings."""
    alive = np.geomspace(LOWEST * world.beta, HIGHEST * world.beta, round(2.5 * budget))
    for length, keep in enumerate((round(0.83 * budget), round(0.33 * budget), 1)):
        errors = [world.train(alpha, length) for alpha in alive]
        alive = alive[np.argsort(errors, kind="stable")[: max(keep, 1)]]
    assert world.spent <= budget, world.spent
    return float(alive[0])


Method = Callable[[World, int, int], float]


def methods(*, halvings: bool) -> dict[str, tuple[Method, int]]:
    """Return each method and by how much fewer repetitions it is given (Optuna's GP is slow)."""
    found: dict[str, tuple[Method, int]] = {
        "Sfumato": (lambda w, k, s: sfumato_search(w, k)[0], 1),
        "quadratic in log alpha": (lambda w, k, s: quadratic_search(w, k), 1),
        "golden section, lowest seen": (lambda w, k, s: lowest_seen(w, golden_points(w, k)), 1),
        "golden section, curve": (lambda w, k, s: curve_best(w, golden_points(w, k)), 1),
        "even grid, lowest seen": (lambda w, k, s: lowest_seen(w, even_points(w, k)), 1),
        "even grid, curve": (lambda w, k, s: curve_best(w, even_points(w, k)), 1),
    }
    if halvings:
        found["successive halving over epochs"] = (lambda w, k, s: halving(w, k), 1)
    if importlib.util.find_spec("optuna"):
        for kind, fewer in (("TPE", 2), ("GP", 4)):
            found[f"Optuna {kind}, lowest seen"] = (
                lambda w, k, s, kind=kind: lowest_seen(w, optuna_points(w, k, kind, s)),
                fewer,
            )
            found[f"Optuna {kind}, curve"] = (
                lambda w, k, s, kind=kind: curve_best(w, optuna_points(w, k, kind, s)),
                fewer,
            )
    found["rule of thumb (no training)"] = (lambda w, k, s: share_rule(w.beta), 20)
    found["alpha = beta (no training)"] = (lambda w, k, s: same_rule(w.beta), 20)
    return found


def compare(
    make: Callable[[float, int], World], betas: list[float], budget: int, repetitions: int, *, halvings: bool
) -> None:
    """Print the table of one set of worlds.

    ``make`` gives beta's world of one repetition; ``halvings`` says whether it has shorter trainings.
    """
    print("| method | mean regret, SE | share within 1 SE | regret by beta | share within 1 SE by beta |")
    print("|---|---|---|---|---|")
    for name, (method, fewer) in methods(halvings=halvings).items():
        regrets = np.array(
            [
                [
                    (world := make(beta, r)).regret(method(world, budget, r))
                    for r in range(max(1, repetitions // fewer))
                ]
                for beta in betas
            ]
        )
        within = (regrets <= 1.0).mean(axis=1)
        each = [" ".join(f"{v:.2f}" for v in row) for row in (regrets.mean(axis=1), within)]
        cells = (name, f"{regrets.mean():.2f}", f"{within.mean():.2f}", *each)
        print(f"| {' | '.join(cells)} |", flush=True)
    held = [
        [
            low - 1e-9 <= world.best_alpha <= high + 1e-9
            for r in range(repetitions)
            for world in [make(beta, r)]
            for low, high in [sfumato_search(world, budget)[1]]
        ]
        for beta in betas
    ]
    shares = " ".join(f"{np.mean(row):.2f}" for row in held)
    print(f"\nSfumato's 95 % interval holds the true alpha* in, by beta: {shares}\n")


def published_worlds(path: Path, common: bool) -> Callable[[float, int], World]:
    published = load_published(path)
    images = published.images

    def make(beta: float, repetition: int) -> World:
        alphas = np.array(published.alphas(beta))
        risk = np.array([published.errors[alpha, beta] / images for alpha in published.alphas(beta)])
        truth = expit(make_smoothing_spline(alphas, logit(risk), w=images * risk * (1 - risk))(alphas))
        generator = np.random.default_rng([repetition, round(100 * beta)])
        shared = generator.standard_normal()

        def draw(alpha: float, length: int) -> int:
            p = float(np.interp(alpha, alphas, truth))
            if not common:
                return int(generator.binomial(images, p))
            own = OWN_SHARE * generator.standard_normal()
            luck = math.sqrt(images * p * (1 - p)) * (math.sqrt(1 - OWN_SHARE**2) * shared + own)
            return int(np.clip(round(images * p + luck), 0, images))

        return World(beta, alphas, truth, images, draw)

    return make


def trained_digits(cache: Path) -> np.ndarray:
    """Return which test images are wrong, (lengths, seeds, alphas, betas, images); trains if need be."""
    if cache.exists():
        return np.load(cache)["wrong"]
    from sfumato import SmoothedClassifier, TrainingSettings, load_dataset, load_model, train

    data = load_dataset("digits")
    wrong = np.zeros((len(EPOCHS), len(SEEDS), len(ALPHAS), len(BETAS), len(data.test)), bool)
    with tempfile.TemporaryDirectory() as folder:
        for place in np.ndindex(wrong.shape[:3]):
            epochs, seed, alpha = EPOCHS[place[0]], SEEDS[place[1]], ALPHAS[place[2]]
            path = Path(folder) / f"{epochs}-{seed}-{alpha}.safetensors"
            settings = TrainingSettings(alpha=alpha, seed=seed, epochs=epochs, batch_size=64)
            train(data, settings, path, device="cpu")
            model, _ = load_model(path)
            for b, beta in enumerate(BETAS):
                smoothed = SmoothedClassifier(model, beta, batch_size=1000, device="cpu")
                wrong[(*place, b)] = smoothed.predict(data.test.x) != data.test.y
    np.savez_compressed(cache, wrong=wrong)
    return wrong


def digits_worlds(wrong: np.ndarray) -> Callable[[float, int], World]:
    images = wrong.shape[-1]
    alphas = np.array(ALPHAS)

    def make(beta: float, repetition: int) -> World:
        mine = wrong[:, :, :, BETAS.index(beta)]
        risk = mine[-1].mean(axis=(0, 2))
        truth = expit(make_smoothing_spline(alphas, logit(risk), w=images * risk * (1 - risk))(alphas))
        generator = np.random.default_rng([repetition, round(100 * beta)])
        picked = generator.integers(0, images, images)

        def draw(alpha: float, length: int) -> int:
            nearest = int(np.abs(alphas - alpha).argmin())
            return int(mine[length, generator.integers(len(SEEDS)), nearest, picked].sum())

        return World(beta, alphas, truth, images, draw, step=0.05)

    return make


def print_rules(path: Path, alpha0: float) -> None:
    published = load_published(path)
    risks = {key: errors / published.images for key, errors in published.errors.items()}
    betas = published.betas
    counts = [published.errors[alpha0, beta] for beta in betas]
    kappa = KappaRule(alpha0, tolerated_beta(betas, counts, published.images), betas[-1])
    print("| rule | mean regret | largest regret |\n|---|---|---|")
    for name, rule in (
        (f"kappa rule, alpha0 = {alpha0:g}, tolerated {kappa.tolerated:g}", kappa),
        ("rule of thumb", share_rule),
        ("alpha = beta", same_rule),
    ):
        regrets = [found.regret for found in rule_regrets(risks, rule)]
        print(f"| {name} | {np.mean(regrets):.4f} | {max(regrets):.4f} |")


def main() -> None:
    """Print the tables of one source as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("source", choices=("published", "digits", "rules"))
    parser.add_argument("file", type=Path, nargs="?")
    parser.add_argument("--beta", default="0.3,0.5,0.7,0.9")
    parser.add_argument("--budget", type=int, default=6)
    parser.add_argument("--repetitions", type=int, default=100)
    parser.add_argument("--cache", type=Path, default=Path("digits-wrong.npz"))
    parser.add_argument("--alpha0", type=float, default=0.3)
    settings = parser.parse_args()
    if settings.source == "rules":
        print_rules(settings.file, settings.alpha0)
        return
    if settings.source == "digits":
        print(f"### Digits, {settings.budget} trainings\n")
        worlds = digits_worlds(trained_digits(settings.cache))
        compare(worlds, list(BETAS), settings.budget, settings.repetitions, halvings=True)
        return
    betas = [float(part) for part in settings.beta.split(",")]
    for common in (False, True):
        kind = "common test images" if common else "binomial redraw"
        print(f"### {settings.file.stem}, {kind}, {settings.budget} trainings; beta {settings.beta}\n")
        worlds = published_worlds(settings.file, common)
        compare(worlds, betas, settings.budget, settings.repetitions, halvings=False)


if __name__ == "__main__":
    main()
