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
        str, typer.Option(help="Gaps between intervals of width 1, listed or first:last:count.")
    ] = "0.05:1.1:43",
    alpha: output.Alpha = "0.02:1.6:80",
    beta: output.Beta = "0.1:2:58",
    count: Annotated[int, typer.Option(help="Number of intervals.")] = 2,
    figure: output.FigureFile = None,
    csv: output.CsvFile = None,
    as_json: options.Json = False,
) -> None:
    """Compute when augmentation helps equal intervals on the line, by gap / width and beta / width.

    Every point is exact. alpha and beta are in units of the width; benefits are shares of class 1.

    Example: sfumato theory phase --figure phase.png --csv phase.csv
    """
    from sfumato.theory.phase import phase_diagram

    output.check_files(figure, csv)
    axis = sorted(options.parse_numbers("gaps", gaps))
    alphas, betas = options.parse_numbers("alpha", alpha), options.parse_numbers("beta", beta)
    with progress_bar("phase diagram", len(axis)) as bar:
        diagram = phase_diagram(axis, alphas, betas, count=count, on_gap=bar.advance)
    if as_json:
        found = {
            "count": count,
            "gap": diagram.gaps,
            "alpha": diagram.alphas,
            "beta": diagram.betas,
            "risk_without_augmentation": diagram.plain_risk,
            "best_benefit": diagram.best_benefit,
            "best_alpha": diagram.best_alpha,
            "helps_for_beta": diagram.benefit_window,
        }
        print_json(found)
    else:
        _print_diagram(diagram, count)
    tables = [table.tolist() for table in (diagram.plain_risk, diagram.best_benefit, diagram.best_alpha)]
    output.write_csv(
        csv,
        ("gap", "beta", "risk_without_augmentation", "best_benefit", "best_alpha"),
        [
            (gap, smoothing, *(table[i][k] for table in tables))
            for i, gap in enumerate(axis)
            for k, smoothing in enumerate(betas)
        ],
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
