"""What alpha free of beta gains each training method, from the tables of ``training_methods.py ratios``.

    python benchmarks/training_ratios.py FOLDER --beta 0.5 --reference DIR --picture ratios.png

For each method and radius: the best alpha, the set that holds the truly best one with 95 % confidence, and
the gain over alpha = beta, selected on one half of the images and measured on the other. Then the same
selection of each cheap method against the published networks of dear ones at alpha = beta, image by image.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from sfumato import read_certificates
from sfumato.statistics.compare import Difference, best_set, selected_gain

RADII = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0)
DEAR = {"smoothadv": "salman", "cat-rs": "cat-rs"}
WIDTH, HEIGHT = 2.6, 3.2  # inches a panel
CONFIDENCE = 0.95

Radii = dict[float, np.ndarray]  # by ratio: the certified radius of each image, -1 where the class is wrong


def main() -> None:
    """Print the tables and draw the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--beta", type=float, required=True)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--reference", type=Path, required=True, help="the folder that holds catrs/*.tsv")
    parser.add_argument("--picture", type=Path)
    settings = parser.parse_args()
    found = measured(settings.folder, settings.beta, settings.images)
    dear = {
        name: radii_of(
            settings.reference / "catrs" / f"fashion_mnist_lenet_{of}_noise_{settings.beta}.tsv",
            settings.images,
        )
        for name, of in DEAR.items()
    }
    radii = [radius for radius in RADII if radius <= 3.6 * settings.beta]
    print("| method | R | alpha = beta | best alpha / beta | its set (95 %) | there | gain (95 %) | p |")
    print("|---|---|---|---|---|---|---|---|")
    for method, by_ratio in found.items():
        for radius in radii:
            print(answer(method, by_ratio, radius))
    print("\n| cheap method at its best alpha | R | certified | against | published | more (95 %) | p |")
    print("|---|---|---|---|---|---|---|")
    for method, by_ratio in found.items():
        for radius in radii:
            for name, theirs in dear.items():
                print(against(method, by_ratio, radius, name, theirs))
    if settings.picture is not None:
        draw(found, dear, radii, settings.picture)


def measured(folder: Path, beta: float, images: int) -> dict[str, Radii]:
    """Return the certified radii of each method; a folder METHOD-as-at-BETA goes with METHOD."""
    found: dict[str, Radii] = {}
    for table in sorted(folder.glob(f"*/noise_*_test_sigma_{beta:g}.tsv")):
        method, _, settings_of = table.parent.name.partition("-as-at-")
        alpha = float(table.name.split("_")[1])
        if settings_of in ("", f"{beta:g}") and not (settings_of == "" and replaced(table, beta)):
            radii = radii_of(table, images)
            if radii.size == images:
                found.setdefault(method, {})[round(alpha / beta, 3)] = radii
    return {method: dict(sorted(by_ratio.items())) for method, by_ratio in found.items()}


def replaced(table: Path, beta: float) -> bool:
    """Return whether a network with the settings of beta stands in the place of this one."""
    return (table.parent.parent / f"{table.parent.name}-as-at-{beta:g}" / table.name).exists()


def radii_of(table: Path, images: int) -> np.ndarray:
    """Return the radius of each of the first images, -1 where the class is wrong."""
    rows = [row for row in read_certificates(table) if row.idx < images]
    return np.array([row.radius if row.correct else -1.0 for row in rows])


def answer(method: str, by_ratio: Radii, radius: float) -> str:
    """Return a row of the first table."""
    ratios = list(by_ratio)
    lost = np.array([[by_ratio[ratio] < radius for ratio in ratios]])
    certified = 1 - lost[0].mean(axis=1)
    usual = ratios.index(1.0)
    kept = best_set(lost, confidence=CONFIDENCE).kept
    inside = ", ".join(f"{ratio:g}" for ratio, is_kept in zip(ratios, kept, strict=True) if is_kept)
    gain = selected_gain(lost, [usual], confidence=CONFIDENCE).gain
    best = int(certified.argmax())
    return (
        f"| {method} | {radius:g} | {certified[usual]:.3f} | {ratios[best]:g} | {inside} | "
        f"{certified[best]:.3f} | {signed(gain)} |"
    )


def against(method: str, by_ratio: Radii, radius: float, name: str, theirs: np.ndarray) -> str:
    """Return a row of the second table; alpha is selected on one half of the images, measured elsewhere."""
    lost = np.array([[radii < radius for radii in by_ratio.values()] + [theirs < radius]])
    ratios = range(len(by_ratio))
    more = selected_gain(lost, [len(ratios)], confidence=CONFIDENCE, candidates=ratios).gain
    published = float((theirs >= radius).mean())
    return (
        f"| {method} | {radius:g} | {published + more.value:.3f} | {name} | {published:.3f} | "
        f"{signed(more)} |"
    )


def signed(difference: Difference) -> str:
    """Return a difference with its interval, and its p-value in the next column."""
    low, high = difference.low, difference.high
    return f"{difference.value:+.3f} ({low:+.3f} to {high:+.3f}) | {difference.p_value:.2g}"


def draw(found: dict[str, Radii], dear: dict[str, np.ndarray], radii: list[float], picture: Path) -> None:
    """Draw certified accuracy over alpha / beta, a panel for each radius and a line for each method."""
    figure, panels = plt.subplots(1, len(radii), figsize=(WIDTH * len(radii), HEIGHT), squeeze=False)
    for axes, radius in zip(panels[0], radii, strict=True):
        panel(axes, found, dear, radius)
    panels[0][0].set_ylabel("certified accuracy")
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=len(labels), frameon=False)
    figure.tight_layout(rect=(0, 0.09, 1, 1))
    figure.savefig(picture, dpi=110)


def panel(axes: Axes, found: dict[str, Radii], dear: dict[str, np.ndarray], radius: float) -> None:
    """Draw the lines of one radius; stars mark the best alpha, rings alpha = beta."""
    for number, (method, by_ratio) in enumerate(found.items()):
        line = {ratio: float((radii >= radius).mean()) for ratio, radii in by_ratio.items()}
        best, color = max(line, key=lambda ratio: line[ratio]), f"C{number}"
        axes.plot(list(line), list(line.values()), "o-", color=color, ms=3, label=method)
        axes.plot(best, line[best], "*", color=color, ms=11)
        axes.plot(1.0, line[1.0], "o", color=color, ms=11, fillstyle="none")
    for style, (name, theirs) in zip(("--", ":"), dear.items(), strict=True):
        axes.axhline(
            float((theirs >= radius).mean()),
            ls=style,
            color="0.35",
            lw=1,
            label=f"{name}, alpha = beta (published)",
        )
    axes.set(title=f"radius {radius:g}", xlabel="alpha / beta", xscale="log")
    axes.set_xticks([0.5, 0.7, 1, 1.5, 2], ["0.5", "0.7", "1", "1.5", "2"])
    axes.minorticks_off()
    axes.grid(alpha=0.3)


if __name__ == "__main__":
    main()
