"""What the advice commands share: their options, their data, and how numbers leave them."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sfumato.cli.terminal import ERR, OUT

if TYPE_CHECKING:
    from sfumato.advice.points import LabelledPoints
    from sfumato.datasets import Dataset

Points = Annotated[
    int | None,
    typer.Option("--points", help="At most so many training points, a fixed random choice; all if left out."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


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
            ERR.print(f"note: {remark}", markup=False)
    return dataset, points


def describe_points(dataset: Dataset, points: LabelledPoints) -> str:
    """Return one line on what was looked at."""
    whole = len(dataset.train)
    which = f"all {whole:,}" if len(points) == whole else f"{len(points):,} of {whole:,}"
    return f"{which} training examples of {dataset.name}; distances and noise in: {dataset.unit}"


def print_json(value: Any) -> None:
    """Print a record as JSON; numbers that JSON lacks (infinite, not a number) become null."""
    OUT.print(json.dumps(_plain(value), indent=2), markup=False)


def record_of(found: Any, *more: str) -> dict[str, Any]:
    """Return a dataclass as a dictionary, with the properties named in ``more``."""
    return dataclasses.asdict(found) | {name: getattr(found, name) for name in more}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain(dataclasses.asdict(value))
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value
