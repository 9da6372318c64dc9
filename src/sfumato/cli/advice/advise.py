"""``sfumato advise``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from sfumato.cli import options
from sfumato.cli.advice import output
from sfumato.cli.classifiers import load_classifiers
from sfumato.cli.normalize import as_smoothed
from sfumato.cli.terminal import OUT, print_json, print_table, progress_bar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sfumato.advice.advise import Advice, Amount
    from sfumato.advice.sweep import Sweep
    from sfumato.datasets import Dataset
    from sfumato.models.classifier import Classifier


def command(
    beta: Annotated[
        str, typer.Option("--beta", help="Smoothing noise you will use, one or several (input units).")
    ],
    data: options.Data = "digits",
    data_dir: options.DataDir = None,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            help="A classifier trained on these data: a checkpoint, or package.module:factory of your own, "
            "also of a black box. May be given several times.",
        ),
    ] = None,
    alpha0: Annotated[
        str | None,
        typer.Option(
            "--alpha0", help="Noise that each --model was trained with, where it does not say so itself."
        ),
    ] = None,
    points: Annotated[
        int, typer.Option("--points", help="How many training points at most the upper limit is taken from.")
    ] = 5000,
    images: Annotated[
        int, typer.Option("--images", help="Test images on which a classifier is tried under noise.")
    ] = 1000,
    model_factory: options.ModelFactory = None,
    mean: options.Mean = None,
    std: options.Std = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    normalization: options.Normalization = "trained",
    as_json: options.Json = False,
) -> None:
    """Say with how much noise to train for the fewest errors of the vote at your beta.

    From the data alone it is a rule of thumb with an upper limit. A classifier that you have, trained with
    any noise, says more (the kappa rule). Two with different noise say what alpha = beta would cost.
    For the measured answer, and for certified radii: sfumato study.

    Example: sfumato advise --beta 0.5 --data mnist --model mnist-0.4.safetensors
    """
    from sfumato.advice.advise import advise
    from sfumato.advice.surrogate import parzen_surrogate
    from sfumato.errors import require_count, require_positive

    betas = [require_positive("beta", value) for value in options.parse_numbers("beta", beta) or ()]
    require_count("images", images)
    dataset, sample = output.load_points(data, data_dir, points, seed, quiet=as_json)
    classifiers = _classifiers(load_classifiers(models or [], dataset, mean, std, model_factory), alpha0)
    with progress_bar("Parzen rule", len(sample)) as bar:
        grid = [2.0 * max(betas) * step / 40 for step in range(41)]
        surrogate = parzen_surrogate(sample, grid, on_progress=bar.advance)
    sweeps = _sweeps(dataset, classifiers, betas, images, seed, device, normalization)
    pages = [advise(level, sweeps=sweeps, surrogate=surrogate) for level in betas]
    if as_json:
        print_json({"data": dataset.name, "unit": dataset.unit, "remarks": sample.remarks, "advice": pages})
        return
    for page in pages:
        _print_page(page)
    OUT.print(output.describe_points(dataset, sample), markup=False)
    OUT.print(
        "for the risk of the smoothed prediction; certified accuracy at large radii asks for more noise"
    )


def _classifiers(loaded: Sequence[Classifier], alpha0: str | None) -> list[tuple[Any, float]]:
    """Return each classifier with the noise that it was trained with."""
    from sfumato.errors import SettingError, require_nonnegative

    given = options.parse_numbers("alpha0", alpha0)
    if not given:
        unknown = [classifier.name for classifier in loaded if classifier.record is None]
        if unknown:
            raise SettingError(
                f"{unknown[0]} does not say with which noise it was trained; give --alpha0, 0 for none"
            )
        return [(classifier, classifier.record.alpha) for classifier in loaded if classifier.record]
    if len(given) != len(loaded):
        raise SettingError(f"alpha0 has {len(given)} values for {len(loaded)} models; give one for each")
    levels = [require_nonnegative("alpha0", value) for value in given]
    return list(zip(loaded, levels, strict=True))


def _sweeps(
    dataset: Dataset,
    classifiers: Sequence[tuple[Any, float]],
    asked: Sequence[float],
    images: int,
    seed: int,
    device: str,
    normalization: str,
) -> list[Sweep]:
    from sfumato.advice.sweep import sweep, sweep_betas
    from sfumato.datasets import Split
    from sfumato.devices import choose_device
    from sfumato.noise import Gaussian
    from sfumato.smoothing.batch_norms import normalize_at, require_how, some_images
    from sfumato.smoothing.tuning import tuned_configuration

    split = Split(dataset.test.x[:images], dataset.test.y[:images])
    plans = [(classifier, level, sweep_betas(level, max(asked))) for classifier, level in classifiers]
    train, found = some_images(dataset.train.x, seed=seed), []
    with progress_bar("sweep of beta", sum(len(split) * len(betas) for _, _, betas in plans)) as bar:
        for classifier, level, betas in plans:
            model_at = None
            if require_how(normalization) == "at-beta":

                def model_at(beta: float, trained: Any = classifier) -> Any:
                    return normalize_at(trained, train, beta, seed=seed, device=device).model
            else:
                noises = [Gaussian(beta) for beta in asked]
                as_smoothed(classifier, noises, normalization, dataset, seed, device)
            votes = 16 * len(split) * len(betas)
            configuration = tuned_configuration(
                classifier.model, dataset.input_shape, choose_device(device), votes=votes
            )
            found.append(
                sweep(
                    *(classifier.model, split, level, betas),
                    name=classifier.name,
                    seed=seed,
                    device=device,
                    configuration=configuration,
                    classes=dataset.num_classes,
                    model_at=model_at,
                    on_progress=bar.advance,
                )
            )
    return found


def _print_page(page: Advice) -> None:
    OUT.print(
        f"beta = {page.beta:g}: train with alpha about {page.alpha:.2g} "
        f"({page.alpha_low:.2g} to {page.alpha_high:.2g})",
        markup=False,
        style="bold",
    )
    OUT.print(f"confidence: {page.confidence}", markup=False)
    rows = [
        [found.estimator, f"{found.alpha:.3g}", f"{found.low:.3g} to {found.high:.3g}", found.basis]
        for found in page.estimates
    ]
    if page.limit is not None:
        rows.append(["Parzen rule", f"{page.limit:.3g}", "at most", "from there on its clean risk rises"])
    print_table("", ["estimator", "alpha", "range", "rests on"], rows, left=("rests on",))
    for title, amount in (
        ("alpha = beta would cost", page.same_cost),
        ("risk to expect", page.risk),
        ("risk without noise in training", page.plain_risk),
    ):
        if amount is not None:
            OUT.print(f"{title}: {_told(amount)}", markup=False)
    for sentence in page.cannot_say:
        OUT.print(f"cannot say: {sentence}", markup=False)
    OUT.print("")


def _told(amount: Amount) -> str:
    points = f"{100 * amount.value:.2g} +- {100 * amount.error:.1g} points"
    return f"about {points} ({amount.estimator}: {amount.basis})"
