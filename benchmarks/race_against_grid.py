"""A race against the certification of the whole grid: best pair, set and votes, as a row in Markdown.

    sfumato study run benchmarks/studies/digits-radius.toml --out digits
    python benchmarks/race_against_grid.py digits --radius 0.25

Every pair of the study whose beta can certify the radius is certified with ``curve(radius)``, on the same
test images as the race, and compared as ``sfumato study best --radius`` does. With ``--label-known`` only the
true label is tested, as in the race: then both test the same, with the same noise. What is there already is
not computed again.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

from sfumato import best_pair, race_study, read_design, run_study
from sfumato.answers.best_pair import Pair, PairAnswer
from sfumato.answers.objective import CertifiedAccuracy
from sfumato.answers.race_study import able_betas
from sfumato.plans import Decide
from sfumato.settings import CONFIDENCE
from sfumato.studies.design import CertificationTable


def main() -> None:
    """Print the row, and a line for each pair that is in one of the sets only."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("--radius", type=float, required=True)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--label-known", action="store_true")
    settings = parser.parse_args()
    design = read_design(settings.study / "study.toml")
    betas, _ = able_betas(design.grid.beta, Decide(settings.radius), CONFIDENCE)
    table = CertificationTable(
        beta=betas,
        radii=(settings.radius,),
        confidence=CONFIDENCE,
        images=settings.images,
        label_known=settings.label_known,
    )
    results = run_study(design.model_copy(update={"certification": table}), settings.study)
    grid = best_pair(results, CertifiedAccuracy(settings.radius))
    race = race_study(design, settings.study, settings.radius, images=settings.images)
    votes = sum(row.votes or 0 for rows in results.certificates.values() for row in rows)
    print(
        "| study | R | images | pairs | best: grid | race | set: grid | race | votes: grid | race | ratio |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    print(
        f"| {design.data.name} | {settings.radius:g} | {settings.images:,} | {len(grid.pairs)} "
        f"| {_shown([(grid.alpha, grid.beta)])} | {_shown([(race.answer.alpha, race.answer.beta)])} "
        f"| {_shown(grid.members)} | {_shown(race.answer.members)} "
        f"| {votes:,} | {race.votes:,} | {votes / race.votes:.1f} |"
    )
    for pair in sorted(set(grid.members) ^ set(race.answer.members)):
        where = "grid" if pair in grid.members else "race"
        raced = "dropped" if pair in race.dropped else f"{_accuracy(race.answer, pair):.4f}"
        print(
            f"\n({_shown([pair])}) is in the set of the {where} only: {_accuracy(grid, pair):.4f} certified "
            f"by the grid, in the race {raced} after {race.dropped.get(pair, settings.images):,} images"
        )


def _accuracy(answer: PairAnswer, pair: Pair) -> float:
    return answer.accuracies[answer.pairs.index(pair)]


def _shown(pairs: Iterable[Pair]) -> str:
    return "; ".join(f"{alpha:g}, {beta:g}" for alpha, beta in pairs)


if __name__ == "__main__":
    main()
