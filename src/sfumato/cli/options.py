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
        help=f"{DATA_SETS}, a .npz with x and y, or a folder of images by class.",
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir", help="Where to look for the data first (then SFUMATO_DATA, then the user cache)."
    ),
]
Noise = Annotated[str, typer.Option("--noise", help=f"{NOISES}.")]
Seed = Annotated[int, typer.Option("--seed", help="Determines all randomness.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")]
BatchSize = Annotated[
    int | None,
    typer.Option(
        "--batch-size", help="Noisy copies per forward pass, measured if not given; no influence on results."
    ),
]
ModelSource = Annotated[
    str,
    typer.Option("--model", help="A .safetensors written by train, or package.module:factory of your own."),
]
ModelFactory = Annotated[
    str | None,
    typer.Option(
        "--model-factory",
        help="package.module:factory that makes the network of a checkpoint trained with a factory of your "
        "own: a file does not choose what code runs.",
    ),
]
Mean = Annotated[
    str | None,
    typer.Option(
        "--mean", help="Per channel, e.g. 0.5,0.5,0.5: what your own model expects to be subtracted."
    ),
]
Std = Annotated[
    str | None, typer.Option("--std", help="Per channel: what your own model expects to divide by.")
]
Executor = Annotated[
    str,
    typer.Option("--executor", help="local: this machine; ray: a Ray cluster, or one started here."),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        help="Tasks at a time, each in a process of its own (default: local, all in this process; ray, as "
        "many as the cluster has room for). No influence on results.",
    ),
]
GpusPerWorker = Annotated[
    float | None,
    typer.Option(
        "--gpus-per-worker",
        help="GPUs per task, e.g. 0.5 to let two share one (default: 1 if there are any).",
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


Json = Annotated[bool, typer.Option("--json", help="The numbers as JSON, for other programs.")]
Precision = Annotated[
    str,
    typer.Option("--precision", help="float32, or bf16: then the bfloat16 network is what is smoothed."),
]


def parse_numbers(name: str, text: str | None) -> tuple[float, ...] | None:
    """Return the numbers of a comma-separated list, None for None.

    >>> parse_numbers("mean", "0.5, 0.25")
    (0.5, 0.25)

    Raises:
        SettingError: anything that is not a number.
    """
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise SettingError(f"{name} must be numbers separated by commas, got {text!r}") from None
