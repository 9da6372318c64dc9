"""``sfumato normalize``, and what ``--normalization`` means to the other commands."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sfumato.cli import options
from sfumato.cli.classifiers import load_classifiers
from sfumato.cli.load_data import Given, load_data
from sfumato.cli.terminal import OUT, note, warn

if TYPE_CHECKING:
    from sfumato.datasets import Dataset
    from sfumato.models.classifier import Classifier
    from sfumato.noise import Noise


def command(
    model: Annotated[Path, typer.Argument(help="A checkpoint written by train.")],
    beta: Annotated[
        float,
        typer.Option("--beta", help="Smoothing noise that the network will see (input units); 0: none."),
    ],
    noise: options.Noise = "gaussian",
    data: options.Data = "digits",
    data_dir: options.DataDir = None,
    size: options.Size = None,
    images: Annotated[
        int, typer.Option("--images", help="Number of training images to use; the seed chooses them.")
    ] = 2000,
    out: Annotated[
        Path | None, typer.Option("--out", help="The .safetensors to write (default: MODEL-at-BETA).")
    ] = None,
    model_factory: options.ModelFactory = None,
    seed: options.Seed = 0,
    batch_size: Annotated[
        int | None,
        typer.Option("--batch-size", help="Images per forward pass; changes rounding only."),
    ] = None,
    device: options.Device = "auto",
) -> None:
    """Re-estimate the statistics of all batch norms under the noise of the smoothing; write a new checkpoint.

    No labels are used, and weights are left as they are. A network without batch norms is written as it was.

    Example: sfumato normalize cifar10-0.1.safetensors --beta 0.5 --data cifar10
    """
    from sfumato.errors import OutputError, SettingError, require_count, require_nonnegative
    from sfumato.files import require_writable
    from sfumato.models import save_model
    from sfumato.noise import make_noise
    from sfumato.reporting.model_card import write_card
    from sfumato.smoothing.batch_norms import batch_norms, normalize_at, some_images

    smoothing = make_noise(noise, require_nonnegative("beta", beta))
    require_count("images", images, minimum=2)
    output = out or model.with_name(f"{model.stem}-at-{beta:g}.safetensors")
    require_writable(output)
    if output.exists():
        raise OutputError(f"{output}: exists already; choose another output or remove it")
    dataset = load_data(data, data_dir, size, training_for="normalize")
    (classifier,) = load_classifiers([str(model)], dataset, None, None, model_factory)
    if classifier.record is None:
        raise SettingError(
            f"{model}: is no checkpoint, so that none can be written of it; use --normalization at-beta, or "
            "normalize_at from Python"
        )
    chosen = some_images(dataset.train.x, images, seed)
    found = normalize_at(classifier, chosen, noise=smoothing, seed=seed, batch_size=batch_size, device=device)
    assert found.record is not None
    save_model(found.model, found.record, output)  # type: ignore[arg-type]  # a record is of a module
    write_card(output)
    if found is classifier:
        OUT.print(f"{output}: {model} has no batch norms; it is written as it was", markup=False)
        return
    layers = len(batch_norms(found.model))  # type: ignore[arg-type]
    OUT.print(
        f"{output}: {layers} batch norms with the statistics of {len(chosen)} training images of "
        f"{dataset.name} under {smoothing}",
        markup=False,
    )


def as_smoothed(
    classifier: Classifier,
    asked: Sequence[Noise],
    how: str,
    dataset: Dataset,
    seed: int,
    device: str,
    given: Given,
) -> Callable[[Noise], Classifier]:
    """Return what gives the classifier that is smoothed with a noise, as ``--normalization`` says.

    With ``at-beta`` its batch norms are re-estimated under it. With ``trained`` it is the classifier itself,
    and one warning names the batch norms whose statistics do not fit the noises ``asked`` for, and the
    command that repairs them; ``given`` is what it needs of this one.

    Raises:
        SettingError: another word.
        ModelError, DataError: as ``normalize_at``.
    """
    from sfumato.smoothing.batch_norms import (
        CHECKED_IMAGES,
        can_be_normalized,
        misfits,
        normalize_at,
        require_how,
        some_images,
        told_misfits,
    )

    if require_how(how) == "at-beta":
        dataset.require_training("--normalization at-beta")
        # read once for all noises, where they are on disk
        train = some_images(dataset.train.x, seed=seed)[:]
        if not can_be_normalized(classifier):
            note(f"{classifier.name}: has no batch norms, so that --normalization changes nothing")
        return lambda noise: normalize_at(classifier, train, noise=noise, seed=seed, device=device)
    seen = some_images((dataset.train if len(dataset.train) else dataset.test).x, CHECKED_IMAGES, seed)[:]
    found = {
        noise.standard_deviation: misfits(classifier, seen, noise, seed=seed, device=device)
        for noise in (asked if len(seen) > 1 else ())
    }
    repair = "re-estimate them with --normalization at-beta"
    worst = max((noise for noise in asked if found.get(noise.standard_deviation)), key=_level, default=None)
    if not len(dataset.train):
        repair = f"re-estimating them takes training images, which {dataset.name} does not have"
    elif classifier.record is not None and worst is not None and _is_plain(worst):
        words = ["sfumato", "normalize", classifier.name, *given.words(), "--beta", _text(_level(worst))]
        of_noise = [] if worst.name == "gaussian" else ["--noise", worst.name]
        repair += f", or in a new file: {shlex.join([*words, *of_noise])}"
    if line := told_misfits(classifier.name, found, repair):
        warn(line)
    return lambda noise: classifier


def _level(noise: Noise) -> float:
    return noise.standard_deviation


def _is_plain(noise: Noise) -> bool:
    """Return whether a name and a level are all that there is to the noise: ``normalize`` takes no more."""
    from sfumato.errors import SfumatoError
    from sfumato.noise import make_noise

    try:
        return make_noise(noise.name, noise.standard_deviation) == noise
    except (SfumatoError, TypeError):  # it needs more
        return False


def _text(level: float) -> str:
    """Return the shortest text of exactly this number."""
    return f"{level:g}" if float(f"{level:g}") == level else repr(level)
