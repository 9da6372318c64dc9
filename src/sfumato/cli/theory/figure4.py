"""``sfumato theory figure4``."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Annotated

import typer

from sfumato.cli import options
from sfumato.cli.terminal import OUT, print_json, print_table, progress_bar
from sfumato.cli.theory import output
from sfumato.errors import SettingError, require_count

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sfumato.theory.figure4 import Dip, Figure4

SAMPLERS = ("paper", "continuum", "both")
# The seed of the published figure, which gives the published numbers.
_PAPER_SEED = 246
_COLUMNS = (
    *("study", "zeta", "beta", "alpha", "difference", "standard_error"),
    *("risk_without_augmentation", "density"),
)


def command(
    sampler: Annotated[str, typer.Option(help="paper (pixels, as published), continuum, or both.")] = "both",
    draws: Annotated[int, typer.Option(help="Random arrangements per curve.")] = 10,
    seed: Annotated[
        int | None, typer.Option(help="Seed of the arrangements; by default the published one.")
    ] = None,
    figure: output.FigureFile = None,
    csv: output.CsvFile = None,
    as_json: options.Json = False,
) -> None:
    """Repeat the synthetic study of Pal & Sulam 2023, Figure 4, as published and in the continuum.

    Prints Delta(alpha, beta) - Delta(0, beta) for discs of radius 10 at least zeta apart, with standard
    errors over the arrangements, and a test of which curves dip below zero. Lengths are in pixels.

    Example: sfumato theory figure4 --figure figure4.png --csv figure4.csv
    """
    from sfumato.theory.figure4 import figure4_continuum, figure4_published, significant_dips

    output.check_files(figure, csv)
    if sampler not in SAMPLERS:
        raise SettingError(f"sampler must be one of {', '.join(SAMPLERS)}, got {sampler!r}")
    # standard errors need two
    require_count("draws", draws, minimum=2)
    runs = {"paper": figure4_published, "continuum": figure4_continuum}
    names = list(runs) if sampler == "both" else [sampler]
    studies = []
    with progress_bar(names[0], len(names)) as bar:
        for name in names:
            bar.advance(0, f"{name}, {draws} draws")
            studies.append(runs[name](draws, _PAPER_SEED if seed is None else seed))
            bar.advance()
    dips = [significant_dips(study) for study in studies]
    if as_json:
        print_json([{"study": study, "dips": found} for study, found in zip(studies, dips, strict=True)])
    else:
        for study, found in zip(studies, dips, strict=True):
            _print_study(study, found)
    output.write_csv(csv, _COLUMNS, [row for study in studies for row in _rows(study)])
    if figure is not None:
        from sfumato.reporting import theory_figures
        from sfumato.reporting.static import save_picture

        save_picture(theory_figures.figure4(studies, dips), figure)
        output.note_figure(figure)


def _rows(study: Figure4) -> Iterator[Sequence[object]]:
    curves = itertools.product(enumerate(study.zetas.tolist()), enumerate(study.betas.tolist()))
    for ((i, zeta), (k, beta)), (j, alpha) in itertools.product(curves, enumerate(study.alphas.tolist())):
        difference, error = float(study.mean[i, k, j]), float(study.standard_error[i, k, j])
        plain, density = float(study.risk[i, k, 0].mean()), float(study.density[i, k].mean())
        yield study.name, zeta, beta, alpha, difference, error, plain, density


def _print_study(study: Figure4, dips: Sequence[Dip]) -> None:
    from sfumato.theory.figure4 import dips_sentence

    rows = []
    for dip in dips:
        row, column = list(study.zetas).index(dip.zeta), list(study.betas).index(dip.beta)
        last, error = study.mean[row, column, -1], study.standard_error[row, column, -1]
        rows.append(
            [
                f"{dip.beta:g}",
                f"{dip.zeta:g}",
                f"{study.density[row, column].mean():.3f}",
                f"{study.risk[row, column, 0].mean():.4f}",
                f"{last:+.4f} ± {error:.4f}",
                f"{dip.depth:+.4f} ± {dip.standard_error:.4f}",
                f"{dip.alpha:g}",
                f"{dip.adjusted:.2g}" + (" *" if dip.significant else ""),
            ]
        )
    rows.sort(key=lambda cells: (float(cells[0]), float(cells[1])))
    print_table(
        f"{study.name}: Delta(alpha, beta) - Delta(0, beta), mean ± standard error, {study.draws} draws",
        ["beta", "zeta", "density", "risk at alpha = 0", "last alpha", "lowest", "at alpha", "p"],
        rows,
    )
    common = "the same for" if study.common_draws else "drawn anew for"
    OUT.print(f"{dips_sentence(study)} Arrangements are {common} every beta.\n", markup=False)
