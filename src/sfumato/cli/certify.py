"""``sfumato certify``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sfumato.cli import options
from sfumato.cli.terminal import OUT, print_table, progress_bar, warn


def command(
    model: options.Classifier,
    beta: Annotated[float, typer.Option("--beta", help="Smoothing noise (standard deviation, input units).")],
    data: options.Data = "digits",
    data_dir: options.DataDir = None,
    out: Annotated[
        Path, typer.Option("--out", help="The table to write; its settings go to OUT.json.")
    ] = Path("certificates.tsv"),
    n0: Annotated[int, typer.Option("--n0", help="Votes that select the class.")] = 100,
    n: Annotated[int, typer.Option("--n", help="Further votes that bound its probability.")] = 100_000,
    confidence: options.Confidence = 0.999,
    first: Annotated[int | None, typer.Option("--first", help="At most so many test images.")] = None,
    skip: Annotated[int, typer.Option("--skip", help="Take every so-manieth test image.")] = 1,
    mean: options.Mean = None,
    std: options.Std = None,
    seed: options.Seed = 0,
    batch_size: options.BatchSize = 256,
    device: options.Device = "auto",
) -> None:
    """Certify test images: class and L2 radius within which the smoothed classifier cannot change it.

    Writes one row per image as it goes, in the field's table (idx label predict radius correct time);
    the same command goes on where a killed one stopped.

    Example: sfumato certify --model mnist-0.4.safetensors --data mnist --beta 0.5 --skip 20
    """
    from sfumato.datasets import load_dataset
    from sfumato.errors import require_count, require_open_unit, require_positive
    from sfumato.models.classifier import load_classifier
    from sfumato.smoothing.certification_run import certify_to_file
    from sfumato.smoothing.smoothed import SmoothedClassifier
    from sfumato.smoothing.summary import lack_of_noise_training, summarise
    from sfumato.statistics.plans import Fixed

    require_positive("beta", beta)
    require_open_unit("confidence", confidence)
    plan = Fixed(n0, n)
    dataset = load_dataset(data, data_dir)
    limit = len(dataset.test) if first is None else require_count("first", first)
    examples = range(0, len(dataset.test), require_count("skip", skip))[:limit]
    classifier = load_classifier(
        model,
        dataset.input_shape,
        dataset.num_classes,
        options.parse_numbers("mean", mean),
        options.parse_numbers("std", std),
    )
    smoothed = SmoothedClassifier(classifier.model, beta, seed=seed, batch_size=batch_size, device=device)
    with progress_bar("certifying", len(examples)) as bar:
        rows = certify_to_file(
            classifier,
            dataset,
            examples,
            out,
            smoothed,
            plan,
            confidence=confidence,
            on_certificate=lambda row: bar.advance(note=f"image {row.idx}: radius {row.radius:.3f}"),
        )
    summary = summarise(rows, beta=beta, votes=n, confidence=confidence)
    print_table(
        f"Certified accuracy of {len(rows)} test images of {dataset.name}, beta = {beta:g} ({dataset.unit})",
        ["radius (L2)", "certified", "95 % interval"],
        [[f"{p.radius:g}", f"{p.share:.4f}", f"{p.low:.4f} to {p.high:.4f}"] for p in summary.curve],
    )
    OUT.print(
        f"average certified radius {summary.average_radius:.4f}, abstained on "
        f"{summary.abstained} of {len(rows)}; "
        f"each certificate holds with probability at least {confidence:g}; {plan.name}, "
        f"{summary.seconds:.1f} s\n{out}",
        markup=False,
    )
    if message := lack_of_noise_training(rows, classifier.record, beta):
        warn(message)
