"""``sfumato surrogate``."""

from __future__ import annotations

from typing import Annotated

import typer

from sfumato.cli import options
from sfumato.cli.advice import output
from sfumato.cli.terminal import OUT, print_json, print_table, progress_bar


def command(
    data: options.Data = "digits",
    data_dir: options.DataDir = None,
    size: options.Size = None,
    alpha: Annotated[
        str, typer.Option("--alpha", help="Training noises, in the unit of the input.")
    ] = "0,0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9,1",
    points: Annotated[
        int, typer.Option("--points", help="Largest number of training points (a random choice).")
    ] = 5000,
    seed: options.Seed = 0,
    as_json: options.Json = False,
) -> None:
    """Say above which alpha training noise harms, as far as the data alone can show.

    The Parzen rule is the limit of endless training on noisy copies, for a learner that knows only these
    points. Its risk is the share of these points that it gets wrong; a point is left out when it is
    classified itself. Its largest harmless alpha is the upper limit in sfumato advise.

    Example: sfumato surrogate --data digits
    """
    from sfumato.advice.surrogate import parzen_surrogate

    alphas = options.parse_numbers("alpha", alpha) or ()
    dataset, sample = output.load_points(data, data_dir, size, points, seed, quiet=as_json)
    with progress_bar("Parzen rule", len(sample)) as bar:
        found = parzen_surrogate(sample, alphas, on_progress=bar.advance)
    low, high = found.harmless_interval()
    if as_json:
        print_json(
            {
                "data": dataset.name,
                "points": found.points,
                "remarks": sample.remarks,
                "alphas": found.alphas,
                "risk": found.risk.tolist(),
                "harmless_alpha": found.harmless_alpha(),
                "harmless_interval": (low, high),
            }
        )
        return
    rows = [[f"{a:g}", f"{risk:.4f}"] for a, risk in zip(found.alphas, found.risk, strict=True)]
    print_table("The Parzen rule", ["alpha", "risk"], rows)
    harmless = found.harmless_alpha()
    if harmless >= found.alphas[-1]:
        OUT.print(f"no harm up to alpha = {harmless:g}, the largest asked for; networks may lose earlier")
    else:
        OUT.print(
            f"largest harmless alpha: {harmless:g} ({low:g} to {high:g} over resampled points), an upper "
            "limit for every beta"
        )
    OUT.print(output.describe_points(dataset, sample), markup=False)
