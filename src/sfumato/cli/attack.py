"""``sfumato attack``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sfumato.cli import options
from sfumato.cli.classifiers import load_one_classifier
from sfumato.cli.clean_accuracy import warn_if_it_guesses
from sfumato.cli.load_data import load_data
from sfumato.cli.terminal import OUT, note, print_json, print_table, progress_bar
from sfumato.settings import CONFIDENCE


def command(
    model: options.ModelSource,
    beta: Annotated[float, typer.Option("--beta", help="Smoothing noise (standard deviation, input units).")],
    radius: Annotated[
        str, typer.Option("--radius", help="L2 distances to attack within, increasing: 0.25,0.5,1.")
    ],
    data: options.Data = "digits",
    data_dir: options.DataDir = None,
    size: options.Size = None,
    out: Annotated[Path, typer.Option("--out", help="The JSON file to write.")] = Path("attack.json"),
    first: Annotated[int, typer.Option("--first", help="Number of test images, from the first on.")] = 100,
    draws: Annotated[int, typer.Option("--draws", help="Noisy copies per gradient.")] = 32,
    steps: Annotated[int, typer.Option("--steps", help="Gradient steps per attack.")] = 20,
    restarts: Annotated[
        int, typer.Option("--restarts", help="Attacks per radius; all but the first start at random points.")
    ] = 2,
    surrogate: Annotated[
        str,
        typer.Option("--surrogate", help="How to make votes differentiable: softmax or straight-through."),
    ] = "softmax",
    n_max: Annotated[
        int, typer.Option("--n-max", help="Most votes spent to confirm a wrong answer.")
    ] = 10_000,
    confidence: Annotated[
        float,
        typer.Option("--confidence", help="Probability that an image called broken is truly broken."),
    ] = CONFIDENCE,
    noise: options.Noise = "gaussian",
    denoiser: options.Denoiser = None,
    model_factory: options.ModelFactory = None,
    mean: options.Mean = None,
    std: options.Std = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    as_json: options.Json = False,
) -> None:
    """Look for wrong answers near test images: an upper bound on robust accuracy.

    Projected gradient ascent with expectation over the noise finds points close to an image. An image is
    called broken only if votes confirm that the smoothed classifier answers wrongly there. So robust
    accuracy lies between certified and attacked accuracy. Distances are in L2 whatever the noise, so only
    certificates in L2 can be compared with them. Give the same command again to go on after an interruption.

    Example: sfumato attack --model mnist-0.4.safetensors --data mnist --beta 0.5 --radius 0.25,0.5,1
    """
    from sfumato.attacks.file import attack_to_file
    from sfumato.attacks.smoothed_attack import Attack, attacked_accuracy
    from sfumato.datasets.class_order import warn_of_class_order
    from sfumato.errors import require_count, require_positive
    from sfumato.noise import make_noise
    from sfumato.statistics.binomial import two_sided_interval

    radii = tuple(options.parse_numbers("radius", radius) or ())
    attack = Attack(radii, draws, steps, restarts, surrogate, n_max, confidence)
    smoothing_noise = make_noise(noise, require_positive("beta", beta))
    require_count("first", first)
    dataset = load_data(data, data_dir, size, labelled_for="attack")
    if smoothing_noise.norm != "L2":
        note(
            f"distances are in L2; certificates under {noise} noise are in {smoothing_noise.norm}, to be "
            "compared with no L2 distance"
        )
    classifier = load_one_classifier(model, dataset, mean, std, model_factory, denoiser=denoiser)
    examples = range(min(first, len(dataset.test)))
    warn_of_class_order(dataset, examples)
    warn_if_it_guesses(classifier, dataset, examples, device)
    with progress_bar("attacking", len(examples)) as bar:
        found = attack_to_file(
            attack,
            classifier,
            dataset,
            examples,
            smoothing_noise,
            out,
            seed=seed,
            device=device,
            on_images=bar.advance,
        )
    rows = []
    for r in (0.0, *radii):
        share = attacked_accuracy(found, r)
        low, high = two_sided_interval(round(share * len(found)), len(found), 0.95)
        rows.append({"radius": r, "accuracy": share, "low": low, "high": high})
    if as_json:
        print_json({"attack": str(out), "images": len(found), "accuracy": rows})
        return
    print_table(
        f"Accuracy of {len(found)} test images of {dataset.name} under attack, beta = {beta:g} "
        f"({dataset.unit})",
        ["radius (L2)", "not broken", "95 % bounds"],
        [[f"{r['radius']:g}", f"{r['accuracy']:.4f}", f"{r['low']:.4f} to {r['high']:.4f}"] for r in rows],
    )
    OUT.print(f"robust accuracy is at most this: another attack may find more\n{out}", markup=False)
