"""``sfumato data``."""

from __future__ import annotations

from typing import Annotated

import typer

from sfumato.cli import options
from sfumato.cli.load_data import load_data
from sfumato.cli.registered_names import DATA_SETS
from sfumato.cli.terminal import OUT, print_json


def command(
    name: Annotated[str, typer.Argument(help=f"{DATA_SETS}, a .npz, a folder, or package.module:factory.")],
    data_dir: options.DataDir = None,
    size: options.Size = None,
    as_json: options.Json = False,
) -> None:
    """Load, verify and describe a data set; a built-in one is downloaded if it is missing.

    Example: sfumato data mnist --data-dir /data
    """
    dataset = load_data(name, data_dir, size)
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
    OUT.print(f"classes: {', '.join(dataset.class_names) or 'not known'}", markup=False)
    OUT.print(f"source: {dataset.source}\nsha256: {checksum}", markup=False)
