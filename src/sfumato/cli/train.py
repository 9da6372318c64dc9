"""``sfumato train``: its options are the settings of a training, and those of the training methods."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sfumato.cli import options
from sfumato.cli.from_settings import takes_fields
from sfumato.cli.slow_precision import warn_if_slow
from sfumato.cli.terminal import OUT, note, progress_bar, warn

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo


def with_methods(shared: Mapping[str, FieldInfo]) -> dict[str, FieldInfo]:
    """Return the fields with those of all methods, which are None unless given: other methods lack them."""
    from pydantic.fields import FieldInfo

    from sfumato.training.methods.registry import method_class, method_names

    fields = dict(shared)
    fields["method"] = FieldInfo(
        annotation=str, default="gaussian", description=f"training method: {', '.join(method_names())}"
    )
    told: dict[str, dict[str, list[str]]] = {}
    for name in method_names():
        for own, field in method_class(name).model_fields.items():
            words = told.setdefault(own, {}).setdefault(str(field.description), [])
            words.append(f"{field.default} for {name}")
            described = "; ".join(f"{text} (default: {', '.join(said)})" for text, said in told[own].items())
            fields[own] = FieldInfo(annotation=field.annotation, default=None, description=described)
    return fields


def _fields() -> Mapping[str, FieldInfo]:
    from sfumato.training.settings import TrainingSettings

    return with_methods(TrainingSettings.model_fields)


@takes_fields(_fields)
def command(
    data: options.Data = "digits",
    data_dir: options.DataDir = None,
    out: Annotated[Path, typer.Option("--out", help="The .safetensors file to write.")] = Path(
        "model.safetensors"
    ),
    device: options.Device = "auto",
    **settings: Any,
) -> None:
    """Train a base classifier on noisy copies of the data, with fresh noise at every step.

    The state is saved after every epoch: if the command is killed, give it again to continue. A model that is
    finished with the same settings is not trained again.

    Example: sfumato train --data mnist --model cnn --alpha 0.4 --out mnist-0.4.safetensors
    """
    from sfumato.datasets import load_dataset
    from sfumato.training.loop import EpochReport, train
    from sfumato.training.settings import TrainingSettings

    chosen = TrainingSettings.flat(settings)
    dataset = load_dataset(data, data_dir)
    warn_if_slow(device, chosen.precision)
    if out.exists():
        note(f"{out} exists already; if it is of the same settings it is not trained again")
    with progress_bar("training", chosen.epochs_for(len(dataset.train))) as bar:

        def show(report: EpochReport) -> None:
            bar.advance(
                report.epoch - bar.done,
                f"loss {report.loss:.4f}  accuracy clean {report.clean_accuracy:.3f}, "
                f"at alpha {report.noisy_accuracy:.3f}",
            )

        record = train(dataset, chosen, out, device=device, on_epoch=show, on_warning=warn)
    OUT.print(
        f"{out}: {record.architecture} trained on {record.data} with alpha = {record.alpha:g} "
        f"({record.unit}){'' if record.noise == 'gaussian' else f', {chosen.distribution()},'} in "
        f"{record.train_seconds:.0f} s, {record.training['precision']}; test accuracy "
        f"{record.clean_accuracy:.4f} without noise, {record.noisy_accuracy:.4f} with one draw of alpha",
        markup=False,
    )
