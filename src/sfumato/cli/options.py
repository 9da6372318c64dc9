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
Normalization = Annotated[
    str,
    typer.Option(
        "--normalization",
        help="Statistics of batch norms: trained, as the model has them, or at-beta: re-estimated under the "
        "smoothing noise.",
    ),
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
StudyOut = Annotated[
    Path | None, typer.Option("--out", help="The study's folder (default: FILE's, if it is a folder).")
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

    None gives none. With ``kind`` int every number must be whole.

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
