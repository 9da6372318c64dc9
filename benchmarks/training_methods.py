"""The field's training methods side by side: certified accuracy beside the published tables, and per second.

    python benchmarks/training_methods.py published FOLDER --reference DIR --methods gaussian consistency
    python benchmarks/training_methods.py ratios FOLDER --beta 0.5 --methods gaussian consistency
    python benchmarks/training_methods.py seconds FOLDER --data mnist --data-dir DIR --seconds 300

Networks and tables are kept in FOLDER, and what is there is not made again: a run that was ended goes on. A
second process may work on other methods meanwhile. ``--report`` trains nothing, and prints what is there; the
tables of benchmarks/results/training_methods are those of the record, without their votes.
Settings that depend on the noise are those published for CIFAR-10 (reference/README.md), with ``ratios``
those of beta for every alpha; all else is default. ``--with macer:draws=4`` changes them, to train faster.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sfumato import read_certificates
from sfumato.certification.certificate import Certificate
from sfumato.statistics.binomial import two_sided_interval
from sfumato.statistics.compare import Difference, paired_difference
from sfumato.training.methods.registry import method_class

METHODS = ("gaussian", "stability", "consistency", "macer", "smoothmix", "smoothadv", "cat-rs")
PUBLISHED_NAMES = {"gaussian": "cohen", "stability": "stab", "smoothadv": "salman"}
BY_NOISE: dict[tuple[str, float], dict[str, Any]] = {
    ("stability", 1.0): {"lbd": 1},
    ("smoothadv", 0.25): {"draws": 4},
    ("smoothadv", 1.0): {"draws": 2, "epsilon": 2},
    ("macer", 0.25): {"lbd": 12},
    ("macer", 1.0): {"lbd": 12},
    ("consistency", 0.25): {"lbd": 20},
    ("smoothmix", 0.25): {"step_size": 0.5, "one_step_adversary": False},
    ("smoothmix", 0.5): {"one_step_adversary": True},
    ("smoothmix", 1.0): {"step_size": 2, "one_step_adversary": True},
    ("cat-rs", 0.25): {"lbd": 0.5},
    ("cat-rs", 1.0): {"lbd": 2},
}
SIGMAS = (0.25, 0.5, 1.0)
RATIOS = (0.5, 0.7, 0.85, 1.0, 1.25, 1.5, 2.0)
RADII = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
COST = 1e5  # of the plan: 1.4 times fewer votes than by default, and up to 0.4 points of certified accuracy
FARTHEST = 3.6  # deviations: of RADII none beyond it is certified by 100,000 votes, which reach 3.8


def main() -> None:
    """Make what is missing, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("question", choices=("published", "ratios", "seconds"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--reference", type=Path, help="the folder that holds catrs/*.tsv")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--sigmas", type=float, nargs="+", default=SIGMAS)
    parser.add_argument("--beta", type=float, default=0.5, help="with ratios and seconds")
    parser.add_argument("--ratios", type=float, nargs="+", default=RATIOS)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=300.0, help="of training, with seconds")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--with", nargs="+", dest="changes", default=(), metavar="METHOD:NAME=VALUE")
    parser.add_argument("--report", action="store_true", help="train nothing")
    settings = parser.parse_args()
    settings.folder.mkdir(parents=True, exist_ok=True)
    {"published": published, "ratios": ratios, "seconds": equal_seconds}[settings.question](settings)


def published(settings: argparse.Namespace) -> None:
    """Print certified accuracy at alpha = beta beside that of Jeong, Kim & Shin (2023)."""
    for sigma in settings.sigmas:
        for method in settings.methods:
            certified(settings, method, sigma, sigma, settings.epochs)
    if settings.reference is None:
        return
    print("| method | sigma | R | ours (95 %) | published, same images | difference (95 %) | p |")
    print("|---|---|---|---|---|---|---|")
    for method in settings.methods:
        for sigma in settings.sigmas:
            table = table_path(settings, method, sigma, sigma)
            name = PUBLISHED_NAMES.get(method, method)
            theirs = settings.reference / "catrs" / f"fashion_mnist_lenet_{name}_noise_{sigma}.tsv"
            if table.exists() and theirs.exists():
                for line in beside(table, theirs, method, sigma):
                    print(line)


def beside(ours: Path, theirs: Path, method: str, sigma: float) -> Iterable[str]:
    """Yield a row for each radius."""
    mine = {row.idx: row for row in read_certificates(ours)}
    others = {row.idx: row for row in read_certificates(theirs) if row.idx in mine}
    if mine.keys() != others.keys():
        raise SystemExit(f"{theirs} lacks images of {ours}")
    for radius in asked_radii(sigma):
        first, second = (lost([rows[i] for i in sorted(mine)], radius) for rows in (mine, others))
        found = paired_difference(second, first, confidence=0.95)
        yield (
            f"| {method} | {sigma:g} | {radius:g} | {share(first)} | {1 - second.mean():.3f} | "
            f"{signed(found)} | {found.p_value:.2g} |"
        )


def ratios(settings: argparse.Namespace) -> None:
    """Print certified accuracy over alpha / beta for each method."""
    for ratio in settings.ratios:
        for method in settings.methods:
            alpha = round(ratio * settings.beta, 6)
            certified(settings, method, alpha, settings.beta, settings.epochs, settings.beta)
    radii = asked_radii(settings.beta)
    print(f"| method | alpha / beta | {' | '.join(f'R = {radius:g}' for radius in radii)} |")
    print("|---|---|" + "---|" * len(radii))
    for method in settings.methods:
        for ratio in settings.ratios:
            alpha = round(ratio * settings.beta, 6)
            table = table_path(settings, method, alpha, settings.beta, settings.beta)
            if table.exists():
                print(f"| {method} | {ratio:g} | {' | '.join(shares(table, radii, settings.images))} |")


def equal_seconds(settings: argparse.Namespace) -> None:
    """Print certified accuracy of networks that were trained for the same time."""
    radii = (0.0, 0.5, 1.0, 1.5)
    print(f"| method | epochs | seconds | {' | '.join(f'R = {radius:g}' for radius in radii)} |")
    print("|---|---|---|" + "---|" * len(radii))
    one_epoch = train(settings, "gaussian", settings.beta, 1, "-one-epoch")
    if one_epoch is None:
        raise SystemExit("nothing is there yet")
    tables = {}
    for method in settings.methods:
        pace = seconds_of(one_epoch) * passes(settings, method, settings.beta)
        epochs = max(1, round(settings.seconds / pace))
        table = certified(settings, method, settings.beta, settings.beta, epochs)
        if table.exists():
            spent = seconds_of(model_path(settings, method, settings.beta))
            found = " | ".join(shares(table, radii, settings.images))
            print(f"| {method} | {epochs} | {spent:.0f} | {found} |", flush=True)
            tables[method] = table
    if "gaussian" not in tables:
        return
    print(f"\n| more than `gaussian` | {' | '.join(f'R = {radius:g}' for radius in radii)} |")
    print("|---|" + "---|" * len(radii))
    for method, table in tables.items():
        if method != "gaussian":
            print(
                f"| {method} | {' | '.join(more_than(tables['gaussian'], table, radii, settings.images))} |"
            )


def more_than(reference: Path, table: Path, radii: Iterable[float], images: int) -> list[str]:
    """Return how much more a table certifies than the reference at each radius, image by image."""
    first, second = (images_of(path, images) for path in (reference, table))
    gains = [
        paired_difference(lost(first, radius), lost(second, radius), confidence=0.95) for radius in radii
    ]
    return [f"{signed(gain)}, p = {gain.p_value:.2g}" for gain in gains]


def passes(settings: argparse.Namespace, method: str, noise: float) -> float:
    """Return the mean of the forward and the backward passes for each image."""
    values = by_noise(settings, method, noise, 1)
    return sum(method_class(method).model_validate(values).passes) / 2.0


def by_noise(settings: argparse.Namespace, method: str, noise: float, epochs: int) -> dict[str, Any]:
    """Return the settings of a method that are not its defaults: those published for the nearest noise."""
    deferred = {"deferred": epochs // 3} if (method, nearest(noise)) == ("macer", 1.0) else {}
    changes = [change.partition(":")[2] for change in settings.changes if change.startswith(f"{method}:")]
    changed = {
        name.replace("-", "_"): json.loads(value) if value[0].isdigit() else value
        for name, value in (change.split("=") for change in changes)
    }
    return {**BY_NOISE.get((method, nearest(noise)), {}), **deferred, **changed}


def as_options(values: dict[str, Any]) -> Iterable[str]:
    """Yield the settings as options of ``sfumato train``."""
    for name, value in values.items():
        option = name.replace("_", "-")
        if isinstance(value, bool):
            yield f"--{option}" if value else f"--no-{option}"
        else:
            yield from (f"--{option}", str(value))


def nearest(noise: float) -> float:
    """Return the noise with published settings that is nearest by ratio."""
    return min(SIGMAS, key=lambda known: abs(math.log(known / noise)))


def certified(
    settings: argparse.Namespace,
    method: str,
    alpha: float,
    beta: float,
    epochs: int,
    settings_of: float | None = None,
) -> Path:
    """Return the table of a network, which is trained and certified first if it is not there.

    The settings of the method are those for the noise ``settings_of``; if not given, for alpha.
    """
    table = table_path(settings, method, alpha, beta, settings_of)
    if table.exists() and len(read_certificates(table)) >= settings.images:
        return table
    model = train(settings, method, alpha, epochs, settings_of=settings_of)
    if model is None or settings.report:
        return table
    plan = f"curve({','.join(f'{radius:g}' for radius in asked_radii(beta))},cost={COST:g})"
    sfumato(
        *("certify", "--model", str(model), *data_options(settings), "--beta", f"{beta:g}", "--plan", plan),
        *("--label-known", "--first", str(settings.images), "--precision", settings.precision),
        *("--out", str(table)),
    )
    return table


def train(
    settings: argparse.Namespace,
    method: str,
    alpha: float,
    epochs: int,
    suffix: str = "",
    settings_of: float | None = None,
) -> Path | None:
    """Return the checkpoint of a method at this noise; None where it is not there and shall not be made."""
    model = model_path(settings, method, alpha, suffix or suffix_for(method, alpha, settings_of))
    if model.exists() or settings.report:
        return model if model.exists() else None
    extra = by_noise(settings, method, settings_of or alpha, epochs)
    if method == "cat-rs":
        targets = train(settings, "gaussian", 0.25, settings.epochs, "-targets")
        extra["targets"] = targets
    sfumato(
        *("train", *data_options(settings), "--model", "lenet", "--alpha", f"{alpha:g}", "--method", method),
        *("--epochs", str(epochs), "--precision", settings.precision, *as_options(extra)),
        *("--out", str(model)),
    )
    return model


def suffix_for(method: str, alpha: float, settings_of: float | None) -> str:
    """Return what tells a network with the settings of another noise from the one with those of its alpha."""
    if settings_of is None or nearest(alpha) == nearest(settings_of):
        return ""
    same = BY_NOISE.get((method, nearest(alpha))) == BY_NOISE.get((method, nearest(settings_of)))
    return "" if same and method != "macer" else f"-as-at-{settings_of:g}"


def data_options(settings: argparse.Namespace) -> tuple[str, ...]:
    where = () if settings.data_dir is None else ("--data-dir", str(settings.data_dir))
    return ("--data", settings.data, *where)


def model_path(settings: argparse.Namespace, method: str, alpha: float, suffix: str = "") -> Path:
    return settings.folder / f"{method}-{alpha:g}{suffix}.safetensors"


def table_path(
    settings: argparse.Namespace, method: str, alpha: float, beta: float, settings_of: float | None = None
) -> Path:
    folder = settings.folder / f"{method}{suffix_for(method, alpha, settings_of)}"
    folder.mkdir(exist_ok=True)
    return folder / f"noise_{alpha:g}_test_sigma_{beta:g}.tsv"


def asked_radii(sigma: float) -> tuple[float, ...]:
    """Return the radii of the tables that votes can certify at this noise."""
    return tuple(radius for radius in RADII if radius <= FARTHEST * sigma)


def shares(table: Path, radii: Iterable[float], images: int) -> list[str]:
    """Return certified accuracy of the first images with its interval at each radius."""
    rows = images_of(table, images)
    return [share(lost(rows, radius)) for radius in radii]


def images_of(table: Path, images: int) -> list[Certificate]:
    """Return the certificates of the first images."""
    return [row for row in read_certificates(table) if row.idx < images]


def lost(rows: Sequence[Certificate], radius: float) -> np.ndarray:
    """Return for each image, in one row, whether it is not certified at the radius."""
    return np.array([[not (row.correct and row.radius >= radius) for row in rows]])


def signed(difference: Difference) -> str:
    return f"{difference.value:+.3f} ({difference.low:+.3f} to {difference.high:+.3f})"


def share(wrong: np.ndarray) -> str:
    right = int((~wrong).sum())
    low, high = two_sided_interval(right, wrong.size, confidence=0.95)
    return f"{right / wrong.size:.3f} ({low:.3f} to {high:.3f})"


def seconds_of(model: Path) -> float:
    card = json.loads(model.with_suffix(".card.json").read_text())
    return float(card["record"]["train_seconds"])


def sfumato(*arguments: str) -> None:
    """Run a command of Sfumato; its output goes to the error stream."""
    source = Path(__file__).resolve().parent.parent / "src"
    environment = {**os.environ, "PYTHONPATH": str(source)}
    subprocess.run(
        [sys.executable, "-m", "sfumato", *arguments], check=True, stdout=sys.stderr, env=environment
    )


if __name__ == "__main__":
    main()
