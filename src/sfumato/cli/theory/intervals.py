"""``sfumato theory intervals``."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Annotated

import typer

from sfumato.cli import options
from sfumato.cli.terminal import OUT, progress_bar
from sfumato.cli.theory import output
from sfumato.errors import SettingError

if TYPE_CHECKING:
    from sfumato.theory.intervals import Intervals


def command(
    widths: Annotated[str, typer.Option(help="Widths of the class 1 intervals, from left to right.")] = "1,1",
    gaps: Annotated[
        str, typer.Option(help="Gaps between the intervals. As many gaps as widths: a periodic row.")
    ] = "0.5",
    alpha: output.Alpha = "0.38",
    beta: output.Beta = "1.36",
    radius: output.Radius = "0",
    figure: output.FigureFile = None,
    csv: output.CsvFile = None,
    as_json: options.Json = False,
) -> None:
    """Compute the regions and risks of intervals on the line, or of parallel slabs, exact to rounding.

    With --radius, the risk is the length that is wrong or not certified at that radius.

    The figure shows both steps at the pair of noises with the largest benefit.

    Example: sfumato theory intervals --widths 1,1 --gaps 0.5 --alpha 0:1:51 --beta 1.36 --figure two.png
    """
    import numpy as np

    from sfumato.theory.interference import no_benefit
    from sfumato.theory.intervals import certified, deploy, threshold

    output.check_files(figure, csv)
    region = _placed(options.parse_numbers("widths", widths), options.parse_numbers("gaps", gaps))
    alphas, betas = options.parse_numbers("alpha", alpha), options.parse_numbers("beta", beta)
    radii = options.parse_numbers("radius", radius)
    answers = {}
    with progress_bar("intervals", len(alphas) * len(betas) * len(radii)) as bar:
        for one, other, at in itertools.product(alphas, betas, radii):
            answers[one, other, at] = deploy(region, one, other, at)
            bar.advance()
    trivial = min(region.length, region.complement().length)
    title = f"Risk of the intervals {_text(region)}"

    def best_alpha(beta: float, at: float) -> float:
        return min(alphas, key=lambda alpha: answers[alpha, beta, at].risk)

    best = output.best_noises(
        lambda *noises: deploy(region, *noises).risk, best_alpha, radii if any(radii) else (), betas, trivial
    )
    output.require_certifiable(best)
    if len(radii) > 1:
        output.show_best(best, as_json, csv, figure, {"region": region}, f"{title}: best of the alphas given")
        return
    (at,) = radii
    risk = np.array([[answers[one, other, at].risk for other in betas] for one in alphas])
    plain = np.array([answers[alphas[0], other, at].plain_risk for other in betas])
    grid = output.RiskGrid(alphas, betas, risk, plain, trivial if at else math.inf)
    kind = "Lebesgue measure" if region.period is None else f"per period of {region.period:g}"
    chosen = answers[*grid.largest_benefit, at]
    verdict = None if at else no_benefit(region, chosen.alpha, chosen.beta)
    about = {"region": region, "largest_benefit": chosen, "no_benefit": verdict}
    if at:
        about["certified_radius"] = at
        kind += f" (certified at radius {at:g})"
    grid.show(as_json, csv, about, f"{title}, {kind}")
    if not as_json:
        OUT.print(
            f"at alpha = {chosen.alpha:g}, beta = {chosen.beta:g}: trained {_text(chosen.trained)}, "
            f"then smoothed {_text(chosen.smoothed)}",
            markup=False,
        )
        if at:
            inner, outer = certified(chosen.trained, chosen.beta, at)
            where = f"class 1 is certified in {_text(inner)}, class 0 outside {_text(outer)}"
            OUT.print(where, markup=False)
        output.print_verdict(verdict)
    if figure is not None:
        from sfumato.reporting import theory_figures
        from sfumato.reporting.static import save_picture

        picture = theory_figures.two_steps(region, threshold(region, chosen.beta), chosen, at)
        save_picture(picture, figure)
        output.note_figure(figure)


def _placed(widths: tuple[float, ...], gaps: tuple[float, ...]) -> Intervals:
    """Return intervals of the given widths and gaps, centred at 0 as a whole."""
    from sfumato.theory.arguments import positive
    from sfumato.theory.intervals import Intervals

    if len(gaps) not in (len(widths) - 1, len(widths)):
        raise SettingError(
            f"gaps must be one fewer than the widths, or as many for a periodic pattern, got {len(gaps)} "
            f"for {len(widths)} widths"
        )
    positive("widths", widths)
    positive("gaps", gaps)
    inner = gaps[: len(widths) - 1]
    steps = [value for pair in itertools.zip_longest(widths, inner, fillvalue=0.0) for value in pair]
    edges = list(itertools.accumulate(steps[:-1], initial=-(sum(widths) + sum(inner)) / 2.0))
    period = sum(widths) + sum(gaps) if len(gaps) == len(widths) else None
    return Intervals(tuple(edges[::2]), tuple(edges[1::2]), period)


def _text(region: Intervals) -> str:
    if region.is_empty:
        return "empty"
    pieces = [f"[{start:.6g}, {end:.6g}]" for start, end in zip(region.starts, region.ends, strict=True)]
    shown = pieces if len(pieces) <= 4 else [*pieces[:2], "...", pieces[-1]]
    return " ".join(shown)
