"""The best pair of noises at each radius: races a study, prints the table in Markdown, draws the picture.

python benchmarks/radius_table.py mnist --data-dir DIR --radii 0 0.25 0.5 0.75 1 1.25 1.5 2 --picture a.png

What the study's folder has raced before is not voted on again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sfumato.answers.race_study import RaceResult, race_study
from sfumato.reporting.pair_figures import best_by_radius
from sfumato.reporting.static import save_picture
from sfumato.studies.design import read_design
from sfumato.studies.run import STUDY_FILE


def main() -> None:
    """Print the table and draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--radii", type=float, nargs="+", required=True)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    design = read_design(options.study / STUDY_FILE)
    if options.data_dir:
        data = design.data.model_copy(update={"data_dir": str(options.data_dir)})
        design = design.model_copy(update={"data": data})
    print("| R | alpha*, beta* | certified | set | best alpha = beta | gain | p | dropped | votes |")
    print("|---|---|---|---|---|---|---|---|---|")
    answers = {}
    for radius in options.radii:
        result = race_study(design, options.study, radius, images=options.images)
        answers[radius] = result.answer
        print(row(result), flush=True)
    if options.picture:
        save_picture(best_by_radius(answers, result.unit), options.picture, width=5.5)


def row(result: RaceResult) -> str:
    """Return one line of the table."""
    found, gain = result.answer, result.answer.gain
    betas = sorted({beta for _, beta in found.members})
    members = "; ".join(
        f"beta {beta:g}: alpha {', '.join(f'{a:g}' for a, b in sorted(found.members) if b == beta)}"
        for beta in betas
    )
    return (
        f"| {result.radius:g} | {found.alpha:g}, {found.beta:g} | {found.accuracy:.3f} "
        f"[{found.low:.3f}, {found.high:.3f}] | {members} | {1 - gain.risk:.3f} at {gain.beta:g} | "
        f"{gain.gain:.3f} [{gain.low:.3f}, {gain.high:.3f}] | {gain.p_value:.2g} | "
        f"{len(result.dropped)} of {len(found.among)} | {result.votes:,} |"
    )


if __name__ == "__main__":
    main()
