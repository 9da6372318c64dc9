"""``sfumato theory field``."""

from __future__ import annotations

from typing import Annotated

import typer

from sfumato.cli import options
from sfumato.cli.terminal import OUT, progress_bar
from sfumato.cli.theory import output


def command(
    dim: Annotated[int, typer.Option(help="Dimension of the space, 2 or 3.")] = 2,
    side: Annotated[float, typer.Option(help="Side of the torus or box.")] = 400.0,
    radius: Annotated[float, typer.Option(help="Radius of the balls.")] = 10.0,
    zeta: Annotated[float, typer.Option(help="Smallest distance between their surfaces.")] = 2.0,
    alpha: output.Alpha = "0:20:21",
    beta: output.Beta = "14",
    draws: Annotated[int, typer.Option(help="Number of random arrangements.")] = 4,
    number: Annotated[
        int | None, typer.Option(help="Balls per arrangement (default: as many as fit).")
    ] = None,
    emptiness: Annotated[float, typer.Option(help="Density outside the balls / density inside.")] = 1.0,
    cells: Annotated[int, typer.Option(help="Grid cells along each axis, an even number.")] = 400,
    box: Annotated[
        bool, typer.Option("--box", help="Use a box instead of a torus; outside it there is only background.")
    ] = False,
    seed: options.Seed = 0,
    figure: output.FigureFile = None,
    csv: output.CsvFile = None,
    as_json: options.Json = False,
) -> None:
    """Compute the risk of many balls at random places, by spectral smoothing on a grid.

    Risks are shares of the total probability. Each comes with its numerical error and its spread over the
    arrangements. The figure shows the first arrangement at the best pair of noises, in two dimensions.

    Example: sfumato theory field --zeta 2 --beta 14 --draws 4 --figure discs.png
    """
    import numpy as np

    from sfumato.errors import SettingError, require_count
    from sfumato.theory.fields import ball_field, deploy_field, field_risk
    from sfumato.theory.packing import pack_balls

    output.check_files(figure, csv)
    require_count("draws", draws)
    require_count("seed", seed, minimum=0)
    if dim not in (2, 3):
        raise SettingError(f"dim must be 2 or 3, got {dim}")
    if figure is not None and dim != 2:
        raise SettingError(f"figure must be of dim 2, got {dim}")
    alphas, betas = options.parse_numbers("alpha", alpha), options.parse_numbers("beta", beta)
    found, densities, first = [], [], None
    with progress_bar("arrangements", draws) as bar:
        for draw in range(draws):
            source = np.random.SeedSequence([seed, draw])
            balls = pack_balls(dim, side, radius, zeta, seed=source, periodic=not box, number=number)
            field = ball_field(balls, cells, emptiness=emptiness)
            found.append(field_risk(field, alphas, betas))
            densities.append(balls.density)
            first = first or field
            bar.advance()
    assert first is not None
    risk = np.mean([one.risk for one in found], axis=0)
    plain = np.mean([one.plain_risk for one in found], axis=0)
    benefit = np.array([one.benefit for one in found])
    spread = np.full(risk.shape, np.nan) if draws < 2 else benefit.std(axis=0, ddof=1) / np.sqrt(draws)
    error = np.max([one.error for one in found], axis=0)
    grid = output.RiskGrid(alphas, betas, risk, plain)
    where = "box" if box else "torus"
    about = {
        "dim": dim,
        "side": side,
        "radius": radius,
        "zeta": zeta,
        "domain": where,
        "density": densities,
        "draws": draws,
        "seed": seed,
        "cells": cells,
        "standard_error_of_benefit": spread,
        "numerical_error": error,
    }
    more = {
        "± over draws": [f"{spread[row, k]:.2g}" if draws > 1 else "" for k, row in enumerate(grid.best)],
        "numerical error": [f"{error[row, k]:.2g}" for k, row in enumerate(grid.best)],
    }
    covered = f"covering {np.mean(densities):.4f} of a {where}"
    grid.show(as_json, csv, about, f"Balls of radius {radius:g}, {zeta:g} apart, {covered}: risk", more)
    if not as_json:
        OUT.print(f"{draws} arrangements, seed {seed}, {cells} cells along each axis", markup=False)
    if figure is not None:
        from sfumato.reporting import theory_figures
        from sfumato.reporting.static import save_picture

        answer = deploy_field(first, *grid.largest_benefit)
        alone = deploy_field(first, 0.0, answer.beta).smoothed
        panels = {
            "class 1": first.region,
            f"trained, α = {answer.alpha:g}": answer.trained,
            f"and smoothed, β = {answer.beta:g}: risk {answer.risk:.4f}": answer.smoothed,
            f"only smoothed: risk {answer.plain_risk:.4f}": alone,
        }
        title = "One arrangement; outlines are the true regions"
        save_picture(theory_figures.field(panels, first.region, side, title), figure)
        output.note_figure(figure)
