"""``sfumato data``."""

from __future__ import annotations

from contextlib import nullcontext as _nothing
from typing import Annotated

import typer

from sfumato.cli import options
from sfumato.cli.registered_names import DATA_SETS
from sfumato.cli.terminal import OUT, print_json


def command(
    name: Annotated[str, typer.Argument(help=f"{DATA_SETS}, a .npz, or a folder.")],
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    """Load, verify and describe a data set; a built-in one is downloaded if it is missing.

    Example: sfumato data mnist --data-dir /data
    """
    from sfumato.datasets import load_dataset

    with OUT.status(f"reading {name}") if OUT.is_terminal else _nothing():
        dataset = load_dataset(name, data_dir)
        checksum = dataset.checksum()
    if as_json:
        print_json(
            {
                "name": dataset.name,
                "train": len(dataset.train),
                "test": len(dataset.test),
                "shape": dataset.input_shape,
                "classes": dataset.class_names,
                "unit": dataset.unit,
                "source": dataset.source,
                "sha256": checksum,
                "notes": dataset.notes,
            }
        )
        return
    OUT.print(repr(dataset), markup=False)
    OUT.print(f"classes: {', '.join(dataset.class_names)}", markup=False)
    OUT.print(f"source: {dataset.source}\nsha256: {checksum}", markup=False)
