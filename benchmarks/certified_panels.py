"""Certified accuracy over alpha, a panel for each radius and a line for each beta, from certification tables.

    python benchmarks/certified_panels.py at-beta/noise_*.tsv --radii 0.25,0.5,0.75 --picture certified.png

Alpha and beta are read from names like noise_0.4_test_sigma_0.2.tsv. Stars: the best alpha of each beta;
rings: alpha = beta. A table is left out where its plan was not asked about the radius.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from sfumato import Certificates, read_certificates
from sfumato.certification.accuracy import is_asked

HEIGHT, WIDTH = 3.2, 2.9  # inches a panel


def main() -> None:
    """Draw the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tables", type=Path, nargs="+")
    parser.add_argument("--radii", required=True)
    parser.add_argument("--picture", type=Path, required=True)
    options = parser.parse_args()
    cells = {noises(path): read_certificates(path) for path in options.tables}
    radii = [float(radius) for radius in options.radii.split(",")]
    figure, panels = plt.subplots(
        1, len(radii), figsize=(WIDTH * len(radii), HEIGHT), sharey=True, squeeze=False
    )
    for axes, radius in zip(panels[0], radii, strict=True):
        draw(axes, cells, radius)
    panels[0][0].set_ylabel("certified accuracy")
    panels[0][0].legend(frameon=False)
    figure.tight_layout()
    figure.savefig(options.picture, dpi=110)


def noises(path: Path) -> tuple[float, float]:
    """Return alpha and beta by the name of a table."""
    found = re.fullmatch(r"noise_([\d.]+)_test_sigma_([\d.]+)\.tsv", path.name)
    if found is None:
        raise SystemExit(f"{path}: its name must be like noise_0.4_test_sigma_0.2.tsv")
    return float(found[1]), float(found[2])


def draw(axes: Axes, cells: dict[tuple[float, float], Certificates], radius: float) -> None:
    """Draw the lines of one radius."""
    betas = sorted({beta for _, beta in cells})
    for number, beta in enumerate(betas):
        line = {
            alpha: sum(row.correct and row.radius >= radius for row in rows) / len(rows)
            for (alpha, of), rows in sorted(cells.items())
            if of == beta and is_asked(radius, rows)
        }
        if not line:
            continue
        color, best = f"C{number}", max(line, key=lambda alpha: line[alpha])
        axes.plot(list(line), list(line.values()), "o-", color=color, ms=3, label=f"beta {beta:g}")
        axes.plot(best, line[best], "*", color=color, ms=11)
        if beta in line:
            axes.plot(beta, line[beta], "o", color=color, ms=11, fillstyle="none")
    axes.set(title=f"radius {radius:g}", xlabel="alpha")
    axes.grid(alpha=0.3)


if __name__ == "__main__":
    main()
