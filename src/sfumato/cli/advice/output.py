"""What the advice commands share: their options, their data, and how numbers leave them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sfumato.cli.terminal import note

if TYPE_CHECKING:
    from sfumato.advice.points import LabelledPoints
    from sfumato.datasets import Dataset

Points = Annotated[
    int | None,
    typer.Option("--points", help="At most so many training points, a fixed random choice; all if left out."),
]


def load_points(
    data: str, data_dir: Path | None, most: int | None, *, quiet: bool
) -> tuple[Dataset, LabelledPoints]:
    """Return the data set and its training points; what is unusual about them is said, once."""
    from sfumato.advice.points import labelled_points
    from sfumato.datasets import load_dataset

    dataset = load_dataset(data, data_dir)
    points = labelled_points(dataset.train.x, dataset.train.y, dataset.class_names, most=most)
    if not quiet:
        for remark in points.remarks:
            note(remark)
    return dataset, points


def describe_points(dataset: Dataset, points: LabelledPoints) -> str:
    """Return one line on what was looked at."""
    whole = len(dataset.train)
    which = f"all {whole:,}" if len(points) == whole else f"{len(points):,} of {whole:,}"
    return f"{which} training examples of {dataset.name}; distances and noise in: {dataset.unit}"


def record_of(found: Any, *more: str) -> dict[str, Any]:
    """Return a dataclass as a dictionary, with the properties named in ``more``."""
    return dataclasses.asdict(found) | {name: getattr(found, name) for name in more}
