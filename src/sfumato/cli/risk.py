"""``sfumato risk``."""

from __future__ import annotations

import itertools
from typing import Annotated, Any

import typer

from sfumato.cli import options
from sfumato.cli.classifiers import behind, load_classifiers, together
from sfumato.cli.clean_accuracy import warn_if_it_guesses
from sfumato.cli.load_data import Given, load_data
from sfumato.cli.model_timeout import model_timeout as ended_if_it_hangs
from sfumato.cli.normalize import as_smoothed
from sfumato.cli.terminal import OUT, note_measuring, print_json, print_table, progress_bar
from sfumato.cli.vote_precision import chosen_precision, require_asked


def command(
    models: Annotated[
        list[str], typer.Argument(help="Checkpoints written by train, or package.module:factory of your own.")
    ],
    beta: Annotated[
        str, typer.Option("--beta", help="Smoothing noise, or several: 0.2,0.4 (unit of the input).")
    ],
    data: options.Data = "digits",
    data_dir: options.DataDir = None,
    size: options.Size = None,
    votes: Annotated[
        int, typer.Option("--n", help="Votes per image; their majority is the prediction.")
    ] = 100,
    first: Annotated[int | None, typer.Option("--first", help="Number of images (default: all).")] = None,
    ensemble: Annotated[
        bool, typer.Option("--ensemble", help="Measure all models as one, the mean of their logits.")
    ] = False,
    denoiser: options.Denoiser = None,
    model_factory: options.ModelFactory = None,
    mean: options.Mean = None,
    std: options.Std = None,
    seed: options.Seed = 0,
    batch_size: options.BatchSize = None,
    device: options.Device = "auto",
    precision: options.Precision = "float32",
    normalization: options.Normalization = "trained",
    model_timeout: options.ModelTimeout = None,
    as_json: options.Json = False,
) -> None:
    """Measure Delta(alpha, beta): the share of test images whose smoothed prediction is not the label.

    Each share has its exact 95 % interval. beta = 0 is the base classifier without noise.

    Example: sfumato risk a.safetensors b.safetensors --data mnist --beta 0.3,0.5
    """
    from sfumato.datasets.class_order import warn_of_class_order
    from sfumato.devices import choose_device
    from sfumato.errors import require_count, require_nonnegative
    from sfumato.noise import Gaussian
    from sfumato.smoothing.risk import measure_risk
    from sfumato.smoothing.tuning import tuned_configuration

    betas = [require_nonnegative("beta", value) for value in options.parse_numbers("beta", beta) or ()]
    require_count("n", votes)
    require_asked(precision)
    dataset = load_data(data, data_dir, size, labelled_for="risk")
    count = len(dataset.test) if first is None else min(require_count("first", first), len(dataset.test))
    split = dataset.test.part(slice(count))
    warn_of_class_order(dataset, range(count))
    classifiers = load_classifiers(models, dataset, mean, std, model_factory)
    if ensemble:
        classifiers = [together(classifiers)]
    classifiers = [behind(denoiser, classifier, dataset) for classifier in classifiers]
    given = Given(data, data_dir, size, model_factory)
    precision = chosen_precision(precision, device, classifiers)
    found: list[dict[str, Any]] = []
    with (
        ended_if_it_hangs(model_timeout, lambda: "a risk keeps nothing"),
        progress_bar("risk", len(classifiers) * len(betas) * count) as bar,
    ):
        for classifier in classifiers:
            noises = [Gaussian(level) for level in betas]
            fitted = as_smoothed(classifier, noises, normalization, dataset, seed, device, given)
            # before anything is measured: what cannot be re-estimated is refused here
            networks = itertools.chain([fitted(noises[0])], map(fitted, noises[1:]))
            if normalization == "trained":  # statistics of noisy inputs do not fit clean ones
                warn_if_it_guesses(classifier, dataset, range(count), device)
            configuration = (
                None
                if batch_size is not None
                else tuned_configuration(
                    classifier.model,
                    dataset.input_shape,
                    choose_device(device),
                    votes=count * votes * len(betas) * len(classifiers),
                    precision=precision,
                    on_measuring=note_measuring,
                )
            )
            for level, network in zip(betas, networks, strict=True):
                risk = measure_risk(
                    network.model,
                    split,
                    level,
                    n=votes,
                    seed=seed,
                    batch_size=batch_size,
                    device=device,
                    precision=precision,
                    configuration=configuration,
                    classes=dataset.num_classes,
                    on_progress=bar.advance,
                )
                low, high = risk.interval()
                found.append(
                    {
                        "model": classifier.name,
                        "alpha": classifier.record.alpha if classifier.record else None,
                        "beta": level,
                        "risk": risk.value,
                        "low": low,
                        "high": high,
                        "errors": risk.errors,
                    }
                )
    if as_json:
        about = {"data": dataset.name, "unit": dataset.unit, "images": count, "votes": votes, "seed": seed}
        about["normalization"] = normalization
        print_json({**about, "precision": precision, "confidence": 0.95, "risks": found})
        return
    print_table(
        "",
        ["model", "alpha", "beta", "risk", "95 % interval", "errors"],
        [
            [
                one["model"],
                "?" if one["alpha"] is None else f"{one['alpha']:g}",
                f"{one['beta']:g}",
                f"{one['risk']:.4f}",
                f"{one['low']:.4f} to {one['high']:.4f}",
                str(one["errors"]),
            ]
            for one in found
        ],
    )
    about_precision = "" if precision == "float32" else f"; of the {precision} networks, not the float32 ones"
    if normalization != "trained":
        about_precision += f"; batch norms {normalization}"
    OUT.print(
        f"{count} test images of {dataset.name}, majority of {votes} votes, seed {seed}; alpha "
        f"and beta in: {dataset.unit}{about_precision}",
        markup=False,
    )
