"""``sfumato train-denoiser``: its options are the settings of a denoiser."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sfumato.cli import options
from sfumato.cli.classifiers import load_classifiers
from sfumato.cli.from_settings import takes_fields
from sfumato.cli.load_data import load_data
from sfumato.cli.terminal import OUT, progress_bar, warn

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo


def _fields() -> Mapping[str, FieldInfo]:
    from sfumato.training.denoising import DenoiserSettings

    return DenoiserSettings.model_fields


@takes_fields(_fields)
def command(
    data: options.Data = "digits",
    data_dir: options.DataDir = None,
    out: Annotated[Path, typer.Option("--out", help="The .safetensors file to write.")] = Path(
        "denoiser.safetensors"
    ),
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            help="Loss stability: the classifier that the denoiser is for, a .safetensors written by train "
            "or package.module:factory of a network.",
        ),
    ] = None,
    model_factory: options.ModelFactory = None,
    mean: options.Mean = None,
    std: options.Std = None,
    device: options.Device = "auto",
    **settings: Any,
) -> None:
    """Train a denoiser to stand before a classifier that was never trained for noise.

    The loss mse needs no classifier, so that its denoiser can also serve a black box. The loss stability
    trains for one classifier, through its gradients. Certify with --denoiser. The state is saved after
    every epoch: if the command is killed, give it again to continue.

    Example: sfumato train-denoiser --data mnist --alpha 0.5 --out denoiser-0.5.safetensors
    """
    from sfumato.training.denoising import DenoiserReport, DenoiserSettings, train_denoiser

    chosen = DenoiserSettings.read(settings)
    dataset = load_data(data, data_dir, training_for="train-denoiser")
    given = [] if model is None else load_classifiers([model], dataset, mean, std, model_factory)
    epochs = chosen.training(None).epochs_for(len(dataset.train))
    with progress_bar("training", epochs) as bar:

        def show(report: DenoiserReport) -> None:
            bar.advance(
                report.epoch - bar.done, f"loss {report.loss:.4g}  mean squared error {report.mse:.4g}"
            )

        record = train_denoiser(
            dataset,
            chosen,
            out,
            classifier=given[0] if given else None,
            device=device,
            on_epoch=show,
            on_warning=warn,
        )
    OUT.print(
        f"{out}: denoiser trained on {record.data} with alpha = {chosen.alpha:g} ({record.unit}) and loss "
        f"{chosen.loss} in {record.train_seconds:.0f} s; mean squared error {record.mse:.4g} on test images "
        f"with that noise, {chosen.alpha**2:.4g} without the denoiser",
        markup=False,
    )
