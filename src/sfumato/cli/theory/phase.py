"""``sfumato theory phase``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sfumato.cli import options
from sfumato.cli.terminal import OUT, print_json, print_table, progress_bar
from sfumato.cli.theory import output

if TYPE_CHECKING:
    from sfumato.theory.phase import PhaseDiagram

_ROWS = 12  # gaps on the terminal; all are in the file


def command(
    gaps: Annotated[
        str, typer.Option("--gaps", help="Gaps between intervals of width 1, listed or first:last:count.")
    ] = "0.05:1.1:43",
    alpha: output.Alpha = "0.02:1.6:80",
    beta: output.Beta = "0.1:2:58",
    count: Annotated[int, typer.Option("--count", help="Number of intervals.")] = 2,
    figure: output.FigureFile = None,
    csv: output.CsvFile = None,
    as_json: options.Json = False,
) -> None:
    """Compute where augmentation helps equal intervals on the line, over gap / width and beta / width.

    Every point is exact. alpha and beta are in units of the width; benefits are shares of class 1.

    Example: sfumato theory phase --figure phase.png --csv phase.csv
    """
    import numpy as np

    from sfumato.theory.phase import PhaseDiagram, phase_diagram

    output.check_files(figure, csv)
    axis, alphas, betas = (
        output.parse_range(name, text) for name, text in (("gaps", gaps), ("alpha", alpha), ("beta", beta))
    )
    axis = tuple(sorted(axis))
    parts = []
    with progress_bar("phase diagram", len(axis)) as bar:
        for gap in axis:
            parts.append(phase_diagram([gap], alphas, betas, count=count))
            bar.advance()
    diagram = PhaseDiagram(
        np.array(axis),
        parts[0].alphas,
        parts[0].betas,
        np.concatenate([part.risk for part in parts]),
        np.concatenate([part.plain_risk for part in parts]),
    )
    best, window = diagram.best_benefit, diagram.benefit_window
    if as_json:
        print_json(
            {
                "count": count,
                "gap": diagram.gaps,
                "alpha": diagram.alphas,
                "beta": diagram.betas,
                "risk_without_augmentation": diagram.plain_risk,
                "best_benefit": best,
                "best_alpha": diagram.best_alpha,
                "helps_for_beta": window,
            }
        )
    else:
        _print_diagram(diagram, count)
    output.write_csv(
        csv,
        ("gap", "beta", "risk_without_augmentation", "best_benefit", "best_alpha"),
        (
            (gap, beta_, float(diagram.plain_risk[i, k]), float(best[i, k]), float(diagram.best_alpha[i, k]))
            for i, gap in enumerate(axis)
            for k, beta_ in enumerate(betas)
        ),
    )
    if figure is not None:
        from sfumato.reporting import theory_figures
        from sfumato.reporting.static import save_picture

        save_picture(theory_figures.phase(diagram, f"{count} intervals of equal width on the line"), figure)
        output.note_figure(figure)


def _print_diagram(diagram: PhaseDiagram, count: int) -> None:
    import numpy as np

    best, window = diagram.best_benefit, diagram.benefit_window
    rows = []
    for index in sorted({int(i) for i in np.linspace(0, len(diagram.gaps) - 1, _ROWS).round()}):
        column = int(best[index].argmax())
        helps = bool(np.isfinite(window[index, 0]))
        found, at = float(diagram.best_alpha[index, column]), float(diagram.betas[column])
        rows.append(
            [
                f"{diagram.gaps[index]:.4g}",
                f"{best[index, column]:.4g}" if helps else "none",
                f"{at:.4g}" if helps else "",
                f"{found:.4g}" if helps else "",
                f"{found / at:.3f}" if helps else "",
                f"{window[index, 0]:.4g} to {window[index, 1]:.4g}" if helps else "",
            ]
        )
    title = f"{count} intervals of width 1: largest benefit over alpha and beta, share of class 1"
    columns = ["gap", "benefit", "at beta", "alpha*", "alpha*/beta", "helps for beta"]
    print_table(title, columns, rows)
    OUT.print(
        f"on the grid of {len(diagram.alphas)} alphas and {len(diagram.betas)} betas; "
        "proved: none at gaps of 1 or more"
    )
