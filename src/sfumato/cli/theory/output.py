"""The common part of the ``sfumato theory`` commands: options, ranges of numbers, tables and files."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sfumato.cli.terminal import OUT, note, print_json, print_table
from sfumato.errors import SettingError

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float

    from sfumato.theory.interference import Verdict

Alpha = Annotated[
    str, typer.Option("--alpha", help="Training noises, listed or as first:last:count, e.g. 0,0.5 or 0:2:41.")
]
Beta = Annotated[str, typer.Option("--beta", help="Smoothing noises, in the same unit and form.")]
_RADIUS_HELP = (
    "L2 radii to certify, in the same form; 0: only wrong labels count. If several: best alpha by radius."
)
Radius = Annotated[str, typer.Option("--radius", "--certified-radius", help=_RADIUS_HELP)]
CertifiedRadius = Annotated[str, typer.Option("--certified-radius", help=_RADIUS_HELP)]
FigureFile = Annotated[Path | None, typer.Option("--figure", help="Draw to this file, .png, .svg or .pdf.")]
CsvFile = Annotated[Path | None, typer.Option("--csv", help="Write all numbers to this file.")]

SUFFIXES = (".png", ".svg", ".pdf")


def check_files(figure: Path | None, table: Path | None) -> None:
    """Refuse files that cannot be written, before any work.

    Raises:
        SettingError: a figure's suffix that is not .png, .svg or .pdf.
        OutputError: a folder that cannot be written to.
    """
    from sfumato.files import require_writable

    if figure is not None and figure.suffix.lower() not in SUFFIXES:
        raise SettingError(f"figure must end in {', '.join(SUFFIXES)}, got {str(figure)!r}")
    for path in (figure, table):
        if path is not None:
            require_writable(path)


def write_csv(path: Path | None, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table with a header, numbers in full precision; nothing without a path.

    Raises:
        OutputError: it cannot be written.
    """
    from sfumato.files import write_text
    from sfumato.reporting.tables import csv_text

    if path is None:
        return
    write_text(path, csv_text((columns, *rows)))
    note(f"numbers in {path}")


def note_figure(path: Path) -> None:
    """Say where the figure is."""
    note(f"figure in {path}")


def print_verdict(verdict: Verdict | None) -> None:
    """Print what the theorems say, if one of them applies."""
    if verdict is not None:
        OUT.print(f"{verdict.statement} ({verdict.theorem}: {verdict.reason})", markup=False)


@dataclass(frozen=True, eq=False)
class RiskGrid:
    """The risks of all pairs of noises, shown as a table, as JSON and as a file.

    Attributes:
        alphas: training noises.
        betas: smoothing noises.
        risk: Delta(alpha, beta).
        plain: Delta(0, beta), the risk without augmentation.
        trivial: risk of naming one class everywhere, where that is no answer: at a radius to certify.
    """

    alphas: Sequence[float]
    betas: Sequence[float]
    risk: Float[np.ndarray, "alpha beta"]
    plain: Float[np.ndarray, " beta"]
    trivial: float = math.inf

    @property
    def best(self) -> list[int]:
        """For each beta the index of the smallest alpha whose risk is the lowest, up to rounding."""
        return [int((column <= column.min() + 1e-12).argmax()) for column in self.risk.T]

    @property
    def _lowest(self) -> list[float]:
        return [float(self.risk[row, column]) for column, row in enumerate(self.best)]

    @property
    def best_alphas(self) -> list[float]:
        """The alphas of ``best``; inf where none of them is better than naming one class everywhere."""
        pairs = zip(self.best, self._lowest, strict=True)
        return [self.alphas[row] if _beats(risk, self.trivial) else math.inf for row, risk in pairs]

    @property
    def _gains(self) -> list[float]:
        return [float(plain) - lowest for plain, lowest in zip(self.plain, self._lowest, strict=True)]

    @property
    def largest_benefit(self) -> tuple[float, float]:
        """The alpha and beta at which augmentation helps most."""
        column = self._gains.index(max(self._gains))
        return self.alphas[self.best[column]], self.betas[column]

    def show(
        self,
        as_json: bool,
        csv: Path | None,
        about: Mapping[str, object],
        title: str | None = None,
        more: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Write one row per pair of noises to ``csv``; print all as JSON, or a table with one row per beta.

        ``about`` holds the further answers of the JSON, ``more`` the further columns of the table. Without a
        title there is no table.
        """
        rows = (
            (alpha, beta, risk, plain, plain - risk)
            for alpha, line in zip(self.alphas, self.risk.tolist(), strict=True)
            for beta, risk, plain in zip(self.betas, line, self.plain.tolist(), strict=True)
        )
        write_csv(csv, ("alpha", "beta", "risk", "risk_without_augmentation", "benefit"), rows)
        if as_json:
            found = {
                "alpha": self.alphas,
                "beta": self.betas,
                "risk": self.risk,
                "risk_without_augmentation": self.plain,
                "best_alpha_given": self.best_alphas,
            }
            print_json({**about, **found})
        elif title is not None:
            columns = {
                "beta": [f"{beta:g}" for beta in self.betas],
                "risk at alpha = 0": [f"{plain:.6g}" for plain in self.plain],
                "best alpha given": [f"{alpha:g}" for alpha in self.best_alphas],
                "its risk": [f"{risk:.6g}" for risk in self._lowest],
                "benefit": [f"{gain if abs(gain) >= 1e-10 else 0.0:.4g}" for gain in self._gains],
                **(more or {}),
            }
            print_table(title, list(columns), list(zip(*columns.values(), strict=True)))


def _beats(risk: float, trivial: float) -> bool:
    return math.isinf(trivial) or risk < trivial * (1.0 - 1e-9)


def best_noises(
    risk: Callable[[float, float, float], float],
    best_alpha: Callable[[float, float], float],
    radii: Sequence[float],
    betas: Sequence[float],
    trivial: float,
) -> list[dict[str, float]]:
    """Return for each radius and beta the best alpha, its risk and that of alpha = 0 and alpha = beta.

    ``risk`` is a function of alpha, beta and radius, ``best_alpha`` of beta and radius. A best alpha
    of inf means that it is best to name one class everywhere, at the risk ``trivial``.
    """
    found = []
    for radius in radii:
        for beta in betas:
            alpha = best_alpha(beta, radius)
            lowest = trivial if math.isinf(alpha) else risk(alpha, beta, radius)
            if radius > 0.0 and not _beats(lowest, trivial):
                alpha, lowest = math.inf, trivial
            found.append(
                {
                    "radius": radius,
                    "beta": beta,
                    "without_augmentation": risk(0.0, beta, radius),
                    "alpha_is_beta": risk(beta, beta, radius),
                    "best_alpha": alpha,
                    "risk": lowest,
                    "best_alpha_over_beta": alpha / beta if beta else 0.0,
                }
            )
    return found


def require_certifiable(found: Sequence[Mapping[str, float]]) -> None:
    """Refuse radii at which it is best to name one class everywhere, at every beta.

    Raises:
        SettingError: this is so at all of them.
    """
    if found and all(math.isinf(row["best_alpha"]) for row in found):
        least = min(row["radius"] for row in found)
        raise SettingError(
            f"radius must be smaller, got {least:g}: naming one class everywhere is best at it"
        )


def show_best(
    found: Sequence[Mapping[str, float]],
    as_json: bool,
    csv: Path | None,
    figure: Path | None,
    about: Mapping[str, object],
    title: str,
) -> None:
    """Write, print and draw the best alpha against the radius, from the rows of ``best_noises``."""
    write_csv(csv, list(found[0]), [list(row.values()) for row in found])
    if as_json:
        print_json({**about, "best": found})
    else:
        print_best(found, title)
    if figure is not None:
        from sfumato.reporting import theory_figures
        from sfumato.reporting.static import save_picture

        save_picture(theory_figures.best_against_radius(found, title), figure)
        note_figure(figure)


def print_best(found: Sequence[Mapping[str, float]], title: str) -> None:
    """Print the rows of ``best_noises``, the radius only where there are several."""
    names = ["radius", "beta", "alpha = 0", "alpha = beta", "best alpha", "its error", "best alpha / beta"]
    first = 0 if len({row["radius"] for row in found}) > 1 else 1
    rows = [[f"{value:.6g}" for value in row.values()][first:] for row in found]
    if any(math.isinf(row["best_alpha"]) for row in found):
        OUT.print("A best alpha of inf: it is best to name one class everywhere.")
    print_table(title, names[first:], rows)
