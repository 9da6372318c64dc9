"""``sfumato theory ball``."""

from __future__ import annotations

import math
from typing import Annotated, Any

import typer

from sfumato.cli import options
from sfumato.cli.terminal import OUT
from sfumato.cli.theory import output


def command(
    dim: Annotated[int, typer.Option(help="Dimension of the space, 1 to 1000000.")] = 2,
    radius: Annotated[float, typer.Option(help="Radius of the ball, in the unit of the noise.")] = 1.0,
    alpha: output.Alpha = "0:0.6:61",
    beta: output.Beta = "0.3,0.5,0.7",
    training_level: Annotated[
        float,
        typer.Option(
            help="Share of votes at which training draws the boundary: 0.5, or p_out/(p_in + p_out) for a "
            "ball of density p_in in a background of density p_out."
        ),
    ] = 0.5,
    certified_radius: output.CertifiedRadius = "0",
    figure: output.FigureFile = None,
    csv: output.CsvFile = None,
    as_json: options.Json = False,
) -> None:
    """Compute exactly the share of a ball's volume that is wrong after training and smoothing noise.

    With --certified-radius, add what is not certified at that radius, in units of the ball's volume.

    Example: sfumato theory ball --dim 10 --alpha 0:0.35:71 --beta 0.1,0.2,0.3 --figure ball.png
    """
    import numpy as np

    from sfumato.theory.balls import Ball, ball_radius, ball_risk, compensating_alpha, critical_sigma
    from sfumato.theory.interference import no_benefit

    output.check_files(figure, csv)
    alphas, betas = options.parse_numbers("alpha", alpha), options.parse_numbers("beta", beta)
    radii = options.parse_numbers("certified_radius", certified_radius)

    def risks(noise: Any, other: Any, at: float) -> Any:
        return ball_risk(dim, radius, noise, other, training_level=training_level, certified_radius=at)

    def best_alpha(other: float, at: float) -> float:
        best = compensating_alpha(dim, radius, other, training_level, at)
        if best is None and training_level >= 0.5:
            return 0.0
        return alphas[int(np.argmin(risks(np.array(alphas), other, at)))] if best is None else best

    title = f"Ball of radius {radius:g} in dimension {dim}: risk, in its own volume"
    setting: dict[str, object] = {"dim": dim, "radius": radius, "training_level": training_level}
    best = output.best_noises(risks, best_alpha, radii, betas, 1.0) if any(radii) else []
    output.require_certifiable(best)
    if best:
        setting["certified_radius"] = radii if len(radii) > 1 else radii[0]
    if len(radii) > 1:
        output.show_best(best, as_json, csv, figure, setting, title)
        return
    (at,) = radii
    rows = np.array(alphas)[:, None]
    plain = np.asarray(ball_risk(dim, radius, 0.0, np.array(betas), certified_radius=at))
    trivial = 1.0 if at else math.inf
    grid = output.RiskGrid(alphas, betas, np.asarray(risks(rows, np.array(betas), at)), plain, trivial)
    undone = [compensating_alpha(dim, radius, value, training_level) for value in betas]
    left = [ball_radius(dim, radius, value).radius for value in betas]
    critical = critical_sigma(dim, radius)
    verdict = None
    if training_level == 0.5 and not at:
        verdict = no_benefit(Ball(dim, radius), max(alphas), max(betas))
    about: dict[str, object] = {
        **setting,
        "critical_sigma": critical,
        "radius_left_without_augmentation": left,
        "compensating_alpha": undone,
        "no_benefit": verdict,
    }
    more = {
        "radius left at alpha = 0": [f"{value:.6g}" for value in left],
        "alpha that undoes beta": ["none" if value is None else f"{value:.6g}" for value in undone],
    }
    if at:
        about = {**setting, "best": best}
        more = {"best alpha": [f"{row['best_alpha']:.6g}" for row in best]}
        more["risk there"] = [f"{row['risk']:.6g}" for row in best]
        title += f" (certified at radius {at:g})"
    grid.show(as_json, csv, about, title, more)
    if not as_json and not at:
        OUT.print(f"noise above {critical:.6g} leaves nothing at level 1/2")
        output.print_verdict(verdict)
    if figure is not None:
        from sfumato.reporting import theory_figures
        from sfumato.reporting.static import save_picture

        where = "uniform density" if training_level == 0.5 else f"training level {training_level:g}"
        heading = f"One ball of radius {radius:g} in dimension {dim}, {where}"
        measure = (
            "risk, in volumes of the ball" if not at else f"risk certified at {at:g}, in volumes of the ball"
        )
        picture = theory_figures.curves(
            np.array(alphas), betas, grid.risk, title=heading, measure=measure, trivial=trivial
        )
        save_picture(picture, figure)
        output.note_figure(figure)
