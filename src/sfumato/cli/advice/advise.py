"""``sfumato advise``."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sfumato.cli import options
from sfumato.cli.advice import output
from sfumato.cli.classifiers import load_classifiers
from sfumato.cli.load_data import Given
from sfumato.cli.normalize import as_smoothed
from sfumato.cli.terminal import OUT, note_measuring, print_json, print_table, progress_bar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sfumato.advice.advise import Advice, Amount
    from sfumato.advice.sweep import Sweep
    from sfumato.datasets import Dataset
    from sfumato.models.classifier import Classifier
    from sfumato.noise import Noise
    from sfumato.smoothing.configuration import Network


def command(
    beta: Annotated[
        str | None,
        typer.Option(
            "--beta",
            help="Smoothing noise that you will use, or several: 0.25,0.5. With --radius: try only these.",
        ),
    ] = None,
    radius: Annotated[
        str | None,
        typer.Option(
            "--radius", help="L2 radius, or several, at which to ask for the most certified accuracy."
        ),
    ] = None,
    data: options.Data = "digits",
    data_dir: options.DataDir = None,
    size: options.Size = None,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            help="A classifier trained on these data: a checkpoint, or package.module:factory of your own "
            "(a black box, too). Can be given several times.",
        ),
    ] = None,
    alpha0: Annotated[
        str | None,
        typer.Option("--alpha0", help="Training noise of each --model in order. Not needed for checkpoints."),
    ] = None,
    points: Annotated[
        int, typer.Option("--points", help="Largest number of training points for the upper limits.")
    ] = 5000,
    images: Annotated[
        int | None,
        typer.Option(
            "--images", help="Number of test images on which each --model is measured (default: 1,000)."
        ),
    ] = None,
    model_factory: options.ModelFactory = None,
    mean: options.Mean = None,
    std: options.Std = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    normalization: options.Normalization = "trained",
    as_json: options.Json = False,
) -> None:
    """Say with how much noise to train for your beta, or which beta to use at your radius.

    With --beta, the goal is the fewest errors of the vote. With the data alone, the advice is a rule of
    thumb with an upper limit. With a classifier that was trained with any noise, it says more (the kappa
    rule). With two classifiers trained with different noise, it also says what alpha = beta would cost.

    With --radius it names, for each classifier, the beta that certifies the most images at this radius, and
    says whether another alpha is likely to certify more. Without a classifier it shows recorded studies of
    other data. To measure the answer, use sfumato study.

    Example: sfumato advise --beta 0.5 --data mnist --model mnist-0.4.safetensors

    Example: sfumato advise --radius 0.5 --data mnist --model mnist-0.4.safetensors
    """
    from sfumato.advice.advise import advise
    from sfumato.advice.surrogate import parzen_surrogate
    from sfumato.advice.sweep import DEFAULT_IMAGES
    from sfumato.cli.advice.radius import advise_at_radii
    from sfumato.errors import SettingError, require_count, require_nonnegative, require_positive

    betas = [require_positive("beta", value) for value in options.parse_numbers("beta", beta)]
    radii = [require_nonnegative("radius", value) for value in options.parse_numbers("radius", radius)]
    if not (betas or radii):
        raise SettingError("--beta is missing; give the smoothing noise, or --radius for certified accuracy")
    count = DEFAULT_IMAGES if images is None else require_count("images", images)
    dataset, sample = output.load_points(data, data_dir, size, points, seed, quiet=as_json)
    classifiers = _classifiers(load_classifiers(models or [], dataset, mean, std, model_factory), alpha0)
    given = Given(data, data_dir, size, model_factory)
    if radii:
        advise_at_radii(
            *(radii, betas, dataset, sample, classifiers),
            images=images,
            seed=seed,
            device=device,
            normalization=normalization,
            given=given,
            as_json=as_json,
        )
        return
    with progress_bar("Parzen rule", len(sample)) as bar:
        grid = [2.0 * max(betas) * step / 40 for step in range(41)]
        surrogate = parzen_surrogate(sample, grid, on_progress=bar.advance)
    sweeps = _sweeps(dataset, classifiers, betas, count, seed, device, normalization, given)
    pages = [advise(level, sweeps=sweeps, surrogate=surrogate) for level in betas]
    if as_json:
        print_json({"data": dataset.name, "unit": dataset.unit, "remarks": sample.remarks, "advice": pages})
        return
    for page in pages:
        _print_page(page)
    OUT.print(output.describe_points(dataset, sample), markup=False)
    OUT.print("for the risk of the smoothed prediction; for certified accuracy: --radius", markup=False)


def _classifiers(loaded: Sequence[Classifier], alpha0: str | None) -> list[tuple[Any, float]]:
    """Return each classifier with the noise that it was trained with."""
    from sfumato.errors import SettingError, require_nonnegative

    given = options.parse_numbers("alpha0", alpha0)
    if not given:
        unknown = [classifier.name for classifier in loaded if classifier.record is None]
        if unknown:
            raise SettingError(
                f"{unknown[0]} does not state its training noise; give --alpha0, 0 for no noise"
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
    given: Given,
) -> list[Sweep]:
    from sfumato.advice.sweep import sweep, sweep_betas
    from sfumato.datasets.class_order import warn_of_class_order
    from sfumato.devices import choose_device
    from sfumato.noise import Gaussian
    from sfumato.smoothing.tuning import tuned_configuration

    split = dataset.test.part(slice(images))
    if classifiers:
        warn_of_class_order(dataset, range(len(split)))
    plans = [(classifier, level, sweep_betas(level, max(asked))) for classifier, level in classifiers]
    found = []
    with progress_bar("sweep of beta", sum(len(split) * len(betas) for _, _, betas in plans)) as bar:
        for classifier, level, betas in plans:
            noises = [Gaussian(beta) for beta in asked]
            smoothed = as_smoothed(classifier, noises, normalization, dataset, seed, device, given)
            votes = 16 * len(split) * len(betas)
            configuration = tuned_configuration(
                *(classifier.model, dataset.input_shape, choose_device(device)),
                votes=votes,
                on_measuring=note_measuring,
            )
            found.append(
                sweep(
                    *(classifier.model, split, level, betas),
                    name=classifier.name,
                    seed=seed,
                    device=device,
                    configuration=configuration,
                    classes=dataset.num_classes,
                    model_at=partial(_network_at, smoothed),
                    on_progress=bar.advance,
                )
            )
    return found


def _network_at(smoothed: Callable[[Noise], Classifier], beta: float) -> Network:
    from sfumato.noise import Gaussian

    return smoothed(Gaussian(beta)).model


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
