"""``sfumato geometry``."""

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
    beta: Annotated[str, typer.Option("--beta", help="Smoothing noises (unit of the input).")] = "0.25,0.5,1",
    as_json: options.Json = False,
) -> None:
    """Say which beta and which radius no classifier can reach on your data.

    Take two inputs with different labels at distance d. On single noisy copies of them every classifier errs
    on average with probability at least Phi(-d / (2 beta)), and no smoothed classifier is right within d / 2
    around both. The answer does not change the alpha of sfumato advise.

    Example: sfumato geometry --data mnist --points 10000 --beta 0.5,1
    """
    import numpy as np

    from sfumato.advice.geometry import geometry
    from sfumato.advice.neighbours import nearest_by_class
    from sfumato.errors import require_positive

    betas = [require_positive("beta", value) for value in options.parse_numbers("beta", beta) or ()]
    dataset, sample = output.load_points(data, data_dir, size, points, quiet=as_json)
    with progress_bar("neighbours", len(sample)) as bar:
        found = geometry(nearest_by_class(sample, bar.advance))
    quantiles = (0.0, 0.05, 0.5, 0.95)
    rows = {
        "nearest of another class": np.quantile(found.to_other, quantiles),
        "nearest of the same class": np.quantile(found.to_same, quantiles),
    }
    forbidden = {risk: found.beta_of_soft_risk(risk) for risk in (0.01, 0.1)}
    table = [
        {
            "beta": level,
            "least_soft_risk": found.least_soft_risk(level),
            "most_certified_at_radius_beta": found.most_certified(level),
        }
        for level in betas
    ]
    if as_json:
        print_json(
            {
                "data": dataset.name,
                "points": len(sample),
                "remarks": sample.remarks,
                "quantiles": quantiles,
                "to_other": rows["nearest of another class"].tolist(),
                "to_same": rows["nearest of the same class"].tolist(),
                "nearest_is_same": found.nearest_is_same,
                "beta_of_soft_risk": forbidden,
                "betas": table,
            }
        )
        return
    print_table(
        "Distances",
        ["", "least", "5 %", "median", "95 %"],
        [[name, *(f"{value:.4g}" for value in values)] for name, values in rows.items()],
    )
    OUT.print(f"the nearest point has the same label for {found.nearest_is_same:.1%} of the points\n")
    print_table(
        "What no classifier can do better on these points",
        ["beta", "error on noisy copies", "right and certified at radius beta"],
        [
            [
                f"{row['beta']:g}",
                f"at least {row['least_soft_risk']:.2e}",
                f"at most {row['most_certified_at_radius_beta']:.1%}",
            ]
            for row in table
        ],
    )
    for risk, level in forbidden.items():
        never = "at no beta by this bound" if math.isinf(level) else f"above beta = {level:.3g}"
        OUT.print(f"every classifier errs on more than {risk:.0%} of single noisy copies: {never}")
    OUT.print(output.describe_points(dataset, sample), markup=False)
