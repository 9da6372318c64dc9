"""Risk over alpha side by side, from tables of risks such as those of benchmarks/results/risks.

    python benchmarks/risk_panels.py "trained statistics=a.csv" "statistics at beta=b.csv" --picture risks.png

The columns are alpha, beta, errors and risk. Stars: lowest points; rings: alpha = beta.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sfumato.answers.published import load_published
from sfumato.reporting.picture import Picture
from sfumato.reporting.static import save_picture
from sfumato.reporting.study_figures import published_lines, risk_panel

WIDTH = 3.6  # inches a panel


def main() -> None:
    """Draw the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tables", nargs="+", metavar="TITLE=CSV")
    parser.add_argument("--picture", type=Path, required=True)
    options = parser.parse_args()
    lines = {
        title: [line for line in published_lines(load_published(Path(path))) if line.beta > 0]
        for title, path in (table.split("=", 1) for table in options.tables)
    }
    betas = {line.beta for found in lines.values() for line in found}
    panels = tuple(risk_panel(found, "input units", title, betas) for title, found in lines.items())
    width = WIDTH * len(panels)
    save_picture(Picture((panels,), width=width, share_y="all"), options.picture, width=width)


if __name__ == "__main__":
    main()
