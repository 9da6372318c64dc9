"""Options that several commands share, each written once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sfumato.cli.registered_names import DATA_SETS, NOISES
from sfumato.errors import SettingError

Data = Annotated[
    str,
    typer.Option(
        "--data",
        help=f"{DATA_SETS}, a .npz with x and y, a folder of images by class, or package.module:factory.",
    ),
]
Size = Annotated[
    int | None,
    typer.Option(
        "--size",
        help="For a folder of images: resize the shorter side to SIZE pixels and crop the middle to SIZE x "
        "SIZE, as torchvision's Resize and CenterCrop do. This is in front of the noise: beta, alpha and "
        "radii are in the pixels of the resized images.",
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir", help="Where to look for the data first (then SFUMATO_DATA, then the user cache)."
    ),
]
Attacks = Annotated[
    list[Path] | None,
    typer.Option(
        "--attack",
        help="A file of sfumato attack: robust accuracy lies in the band between attack and certificates. "
        "Can be given several times.",
    ),
]
Noise = Annotated[str, typer.Option("--noise", help=f"{NOISES}.")]
Scales = Annotated[
    str | None,
    typer.Option(
        "--scales",
        help="With --noise anisotropic: a scale for each feature or channel, in its own unit, e.g. 10,0.1. "
        "Radii are then in units of the scales.",
    ),
]
Sound = Annotated[
    bool,
    typer.Option(
        "--sound",
        help="Certificates that no rounding makes false: Gaussian noise in whole steps of the pixel grid, "
        "drawn exactly (--noise discretised). The images must lie on the grid.",
    ),
]
Steps = Annotated[
    int | None,
    typer.Option(
        "--steps",
        help="With --sound: steps of the pixel grid per unit, 255 (the default) for images of 8 bits.",
    ),
]
ModelTimeout = Annotated[
    float | None,
    typer.Option(
        "--model-timeout",
        help="End the command with exit code 1 if one call of the model takes longer than so many seconds; "
        "finished rows are kept. For a model that may hang, e.g. a service.",
    ),
]
Seed = Annotated[int, typer.Option("--seed", help="Determines all randomness.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")]
BatchSize = Annotated[
    int | None,
    typer.Option(
        "--batch-size", help="Noisy copies per forward pass (default: measured). No influence on results."
    ),
]
ModelSource = Annotated[
    list[str],
    typer.Option(
        "--model",
        help="A .safetensors written by train; a .pt or .safetensors of ordinary weights, with --network; an "
        ".onnx; the http address of a service; or package.module:name, a module or a factory of your own. "
        "Given several times, the models are one classifier, the mean of their logits; a pattern such as "
        "'study/models/alpha-0.4-*.safetensors' takes all seeds of a study's alpha.",
    ),
]
Denoiser = Annotated[
    Path | None,
    typer.Option("--denoiser", help="A .safetensors written by train-denoiser, to stand before the model."),
]
ModelFactory = Annotated[
    str | None,
    typer.Option(
        "--network",
        "--model-factory",
        help="package.module:name of the factory or module whose weights the file holds; a factory is called "
        "with (input_shape, num_classes), a class without arguments without any. Needed for ordinary PyTorch "
        "weights, and for a checkpoint of a network of your own: its name in the file is never "
        "imported.",
    ),
]
Mean = Annotated[
    str | None,
    typer.Option(
        "--mean", help="Mean of each channel, e.g. 0.5,0.5,0.5, subtracted from the input of your own model."
    ),
]
Std = Annotated[
    str | None,
    typer.Option("--std", help="Standard deviation of each channel; it divides the input of your own model."),
]
Normalization = Annotated[
    str,
    typer.Option(
        "--normalization",
        help="Statistics of batch norms. trained: as the model has them; at-beta: re-estimated under the "
        "smoothing noise.",
    ),
]
Executor = Annotated[
    str,
    typer.Option(
        "--executor", help="local: this machine; ray: a Ray cluster, started here if there is none."
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        help="Number of tasks that run at the same time, each in its own process. Default: local runs all "
        "in this process, but the trainings of a long study side by side; ray runs as many as fit into the "
        "cluster. No influence on results.",
    ),
]
GpusPerWorker = Annotated[
    float | None,
    typer.Option(
        "--gpus-per-worker", help="GPUs per task; with 0.5 two tasks share one (default: 1 if there are any)."
    ),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        "--ray-address", help="host:port of a running cluster, or auto (default: RAY_ADDRESS, else none)."
    ),
]
Confidence = Annotated[
    float,
    typer.Option(
        "--confidence", help="Probability with which each certificate holds, strictly between 0 and 1."
    ),
]


Json = Annotated[bool, typer.Option("--json", help="Print the numbers as JSON, for other programs.")]
Precision = Annotated[
    str,
    typer.Option(
        "--precision",
        help="float32; bf16 to smooth the network rounded to bfloat16, another classifier; auto: bf16 where "
        "it is clearly faster on this machine. The output says which.",
    ),
]
StudyOut = Annotated[
    Path | None, typer.Option("--out", help="Folder of the study (default: FILE, if it is a folder).")
]


def study_folder(file: Path | None, out: Path | None) -> Path:
    """Return the folder that a study is kept in: ``--out``, or the file if that is a folder.

    Raises:
        SettingError: neither.
    """
    if out is not None:
        return out
    if file is None or not file.is_dir():
        raise SettingError("--out is missing; give the folder that the study is kept in")
    return file


# More values than anybody needs: a slip of the keyboard must not fill the memory.
_MOST_VALUES = 10_000


def parse_numbers(name: str, text: str | None, kind: type[float] = float) -> tuple[float, ...]:
    """Return the numbers of a comma-separated list whose parts are numbers or first:last:count.

    No text gives no numbers. With ``kind`` int every number must be whole.

    >>> parse_numbers("alpha", "0, 0.1, 1:2:3")
    (0.0, 0.1, 1.0, 1.5, 2.0)

    Raises:
        SettingError: anything else, more than 10,000 numbers.
    """
    values: list[float] = []
    for part in [] if text is None else text.split(","):
        try:
            values += _spread(part, kind)
        except ValueError:
            raise SettingError(
                f"{name} must be {'whole ' if kind is int else ''}numbers separated by commas, or "
                f"first:last:count with a count of 2 to {_MOST_VALUES}, got {part.strip()!r}"
            ) from None
    if len(values) > _MOST_VALUES:
        raise SettingError(f"{name} must hold at most {_MOST_VALUES} numbers, got {len(values)}")
    return tuple(values)


def _spread(text: str, kind: type[float]) -> list[float]:
    """Return the numbers of one part of a list; ``ValueError`` if it has none."""
    begin, *rest = text.split(":")
    first = kind(begin)
    if not rest:
        return [first]
    end, many = rest
    last, steps = kind(end), int(many) - 1
    if not 1 <= steps < _MOST_VALUES or (kind is int and (last - first) % steps):
        raise ValueError
    step = (last - first) // steps if kind is int else (last - first) / steps
    return [*(first + step * index for index in range(steps)), last]
