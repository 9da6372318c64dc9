"""``sfumato card``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sfumato.cli.terminal import OUT, note


def command(
    model: Annotated[Path, typer.Argument(help="A checkpoint written by train.")],
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            help="Certification tables of this checkpoint (.tsv), or folders of studies that trained it."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The .md to write, and a .json beside it (default: beside the model)."),
    ] = None,
) -> None:
    """Write the model card of a checkpoint anew, with the certified accuracy in these tables.

    The card is a Markdown file for readers and a JSON file for programs. Training writes it without certified
    accuracy. A table that belongs to another network is refused. An earlier card is replaced: do not edit it
    by hand.

    Example: sfumato card mnist-0.4.safetensors mnist-0.25.tsv mnist-0.5.tsv
    """
    from sfumato.errors import DataError, SettingError
    from sfumato.files import require_writable
    from sfumato.reporting.model_card import card_paths, write_card
    from sfumato.reporting.sources import read_sources

    if out is not None and out.suffix != ".md":
        raise SettingError(f"out must end in .md, got {str(out)!r}")
    paths = card_paths(model) if out is None else (out.with_suffix(".json"), out)
    for path in paths:
        require_writable(path)
    found = read_sources(sources or [], on_note=note)
    sets = found.certified_sets()
    held = {one.origin for one in sets}
    empty = [study.name for study in found.studies if study.folder not in held]
    for name in (*empty, *(one.name for one in found.published)):
        raise DataError(f"{name}: holds no certificates; give tables of sfumato certify")
    write_card(model, sets, to=paths)
    for path in paths:
        OUT.print(str(path), markup=False)
