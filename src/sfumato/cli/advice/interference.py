"""``sfumato interference``."""

from __future__ import annotations

import math
from typing import Annotated

import typer

from sfumato.cli import options
from sfumato.cli.advice import output
from sfumato.cli.terminal import OUT, print_json, print_table, progress_bar


def command(
    data: options.Data = "digits",
    data_dir: options.DataDir = None,
    size: options.Size = None,
    points: output.Points = None,
    subsamples: Annotated[
        int, typer.Option("--subsamples", help="Random quarters of the points for the bounds; 0: no bounds.")
    ] = 20,
    confidence: Annotated[
        float, typer.Option("--confidence", help="Confidence level of the bounds, between 0 and 1.")
    ] = 0.95,
    seed: options.Seed = 0,
    as_json: options.Json = False,
) -> None:
    """Say whether your classes fall into parts so far apart that training with noise cannot help.

    Two points of a class belong to one part unless a point of another class lies in the ball that has the
    segment between the two as its diameter. zeta is the smallest distance between two parts. Isolated parts
    gain nothing from noise (theory: docs/advice.md). The answer does not change the alpha of sfumato advise.

    Example: sfumato interference --data mnist --points 10000
    """
    from dataclasses import asdict

    from sfumato.advice.estimated_interference import estimate_interference

    dataset, sample = output.load_points(data, data_dir, size, points, quiet=as_json)
    with progress_bar("interference", len(sample.classes) + subsamples) as bar:
        found = estimate_interference(
            sample, subsamples=subsamples, confidence=confidence, seed=seed, on_progress=bar.advance
        )
    if as_json:
        classes = [
            asdict(item) | {"ratio": item.ratio, "threshold": item.threshold, "regime": item.regime}
            for item in found
        ]
        print_json(
            {"data": dataset.name, "points": len(sample), "remarks": sample.remarks, "classes": classes}
        )
        return
    print_table(
        "Interference: parts of each class",
        ["class", "points", "parts", "largest", "zeta", f"{confidence:.0%} bounds", "zeta/2r", "regime"],
        [
            [
                item.name,
                f"{item.points:,}",
                f"{item.components:,}",
                f"{item.largest_share:.1%}",
                "none" if math.isinf(item.zeta) else f"{item.zeta:.4g}",
                "-" if math.isnan(item.zeta_low) else f"{item.zeta_low:.4g} to {item.zeta_high:.4g}",
                "-" if math.isinf(item.zeta) else f"{item.ratio:.3g}",
                item.regime,
            ]
            for item in found
        ],
    )
    OUT.print(
        f"low interference: zeta/2r of at least {found[0].threshold:.3g}, where no noise bridges two balls "
        f"in {found[0].features} dimensions"
    )
    OUT.print(
        "not resolved: gaps below the spacing of points, "
        f"{min(item.spacing for item in found):.3g} to {max(item.spacing for item in found):.3g} (median "
        "distance to the nearest point of the class)"
    )
    OUT.print(output.describe_points(dataset, sample), markup=False)
