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
    points: output.Points = None,
    subsamples: Annotated[
        int, typer.Option("--subsamples", help="Random quarters that give the bounds; 0 for none.")
    ] = 20,
    confidence: Annotated[float, typer.Option("--confidence", help="Of the intervals.")] = 0.95,
    seed: options.Seed = 0,
    as_json: options.Json = False,
) -> None:
    """Estimate the interference distance of each class: how far apart its parts are, if it has several.

    Two points of a class belong to one part unless a point of another class lies between them, in the ball
    that has them as diameter. zeta is the least distance between two parts. Theory: docs/advice.md.

    Example: sfumato interference --data mnist --points 10000
    """
    from sfumato.advice.estimated_interference import estimate_interference
    from sfumato.advice.neighbours import nearest_by_class

    dataset, sample = output.load_points(data, data_dir, points, quiet=as_json)
    with progress_bar("neighbours", len(sample)) as bar:
        near = nearest_by_class(sample, bar.advance)
        bar.restart("interference", len(sample.classes) + subsamples)
        found = estimate_interference(
            sample,
            neighbours=near,
            subsamples=subsamples,
            confidence=confidence,
            seed=seed,
            on_progress=bar.advance,
        )
    if as_json:
        classes = [output.record_of(item, "ratio", "threshold", "regime") for item in found]
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
