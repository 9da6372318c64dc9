"""``sfumato train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sfumato.cli import options
from sfumato.cli.slow_precision import warn_if_slow
from sfumato.cli.terminal import OUT, progress_bar, warn


def command(
    alpha: Annotated[
        float, typer.Option("--alpha", help="Training noise (standard deviation, input units); 0 = none.")
    ],
    noise: options.Noise = "gaussian",
    data: options.Data = "digits",
    data_dir: options.DataDir = None,
    model: Annotated[
        str, typer.Option("--model", help="mlp, cnn, resnet20, resnet110, or package.module:factory.")
    ] = "mlp",
    out: Annotated[Path, typer.Option("--out", help="The .safetensors to write.")] = Path(
        "model.safetensors"
    ),
    epochs: Annotated[
        int | None, typer.Option("--epochs", help="Default: 10, or more where that is under 1,500 steps.")
    ] = None,
    draws: Annotated[int, typer.Option("--draws", help="Noisy copies of each image per step.")] = 1,
    batch_size: Annotated[int, typer.Option("--batch-size", help="Images per step.")] = 128,
    learning_rate: Annotated[float, typer.Option("--lr", help="Peak of the one-cycle schedule.")] = 2e-3,
    weight_decay: Annotated[float, typer.Option("--weight-decay", help="AdamW's.")] = 1e-2,
    warm_start: Annotated[
        Path | None, typer.Option("--warm-start", help="A checkpoint to start from.")
    ] = None,
    precision: Annotated[str, typer.Option("--precision", help="float32, or bf16 for autocast.")] = "float32",
    mean: options.Mean = None,
    std: options.Std = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
) -> None:
    """Train a base classifier on noisy copies of the data, the noise drawn afresh at every step.

    Saved after every epoch: the same command goes on where a killed one stopped.

    Example: sfumato train --data mnist --model cnn --alpha 0.4 --out mnist-0.4.safetensors
    """
    from sfumato.datasets import load_dataset
    from sfumato.training import EpochReport, TrainingSettings, train

    settings = TrainingSettings(
        alpha=alpha,
        noise=noise,
        architecture=model,
        epochs=epochs,
        batch_size=batch_size,
        draws=draws,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        seed=seed,
        precision=precision,
        mean=options.parse_numbers("mean", mean),
        std=options.parse_numbers("std", std),
        warm_start=warm_start,
    )
    dataset = load_dataset(data, data_dir)
    warn_if_slow(device, precision)
    with progress_bar("training", settings.epochs_for(len(dataset.train))) as bar:

        def show(report: EpochReport) -> None:
            bar.advance(
                report.epoch - bar.done,
                f"loss {report.loss:.4f}  accuracy clean {report.clean_accuracy:.3f}, "
                f"at alpha {report.noisy_accuracy:.3f}",
            )

        record = train(dataset, settings, out, device=device, on_epoch=show, on_warning=warn)
    OUT.print(
        f"{out}: {record.architecture} trained on {record.data} with alpha = {record.alpha:g} "
        f"({record.unit}){'' if record.noise == 'gaussian' else f', {settings.distribution()},'} in "
        f"{record.train_seconds:.0f} s; test accuracy {record.clean_accuracy:.4f} without noise, "
        f"{record.noisy_accuracy:.4f} with one draw of alpha",
        markup=False,
    )
