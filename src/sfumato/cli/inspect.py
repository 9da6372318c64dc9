"""``sfumato inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sfumato.cli import options
from sfumato.cli.terminal import note, print_json


def command(
    model: Annotated[Path, typer.Argument(help="A .safetensors written by train or train-denoiser.")],
    model_factory: options.ModelFactory = None,
) -> None:
    """Verify a checkpoint and print its record as JSON.

    The weights are compared with their checksum and with the network of the record. If a factory of
    somebody's own built the network, it is built again only if --model-factory names that factory.

    Example: sfumato inspect mnist-0.4.safetensors
    """
    from sfumato.models import load_model
    from sfumato.models.checkpoint import read_record, verify_checkpoint
    from sfumato.models.denoiser import is_denoiser, load_denoiser
    from sfumato.models.registry import is_built_in

    if is_denoiser(model):
        print_json(load_denoiser(model)[1].model_dump(mode="json"))
        return
    record = read_record(model)
    if is_built_in(record.architecture) or model_factory is not None:
        load_model(model, factory=model_factory)
    else:
        verify_checkpoint(model)
        note(
            f"built by {record.architecture!r}, which was not run: the weights match their checksum; to "
            f"check that they fit the network, give --model-factory package.module:name"
        )
    print_json(record.model_dump(mode="json"))
