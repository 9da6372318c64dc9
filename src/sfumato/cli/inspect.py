"""``sfumato inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    model: Annotated[Path, typer.Argument(help="A .safetensors written by train.")],
) -> None:
    """Verify a checkpoint and print its record as JSON.

    Example: sfumato inspect mnist-0.4.safetensors
    """
    from sfumato.models import load_model

    print(load_model(model)[1].model_dump_json(indent=2))
