"""What the advice commands share: an option, their points, and a line about them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sfumato.cli.load_data import load_data
from sfumato.cli.terminal import note

if TYPE_CHECKING:
    from sfumato.advice.points import LabelledPoints
    from sfumato.datasets import Dataset

Points = Annotated[
    int | None,
    typer.Option("--points", help="Largest number of training points, a fixed random choice (default: all)."),
]


def load_points(
    data: str, data_dir: Path | None, size: int | None, most: int | None, seed: int = 0, *, quiet: bool
) -> tuple[Dataset, LabelledPoints]:
    """Return the data set and its training points; what is unusual about them is said, once."""
    from sfumato.advice.points import labelled_points

    dataset = load_data(data, data_dir, size, training_for="advice")
    points = labelled_points(dataset.train.x, dataset.train.y, dataset.class_names, most=most, seed=seed)
    if not quiet:
        for remark in points.remarks:
            note(remark)
    return dataset, points


def describe_points(dataset: Dataset, points: LabelledPoints) -> str:
    """Return one line on what was looked at."""
    whole = len(dataset.train)
    which = f"all {whole:,}" if len(points) == whole else f"{len(points):,} of {whole:,}"
    return f"{which} training examples of {dataset.name}; distances and noise in: {dataset.unit}"
