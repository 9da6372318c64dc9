"""The common part of the ``sfumato theory`` commands: options, ranges of numbers, tables and files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
    """

    alphas: Sequence[float]
    betas: Sequence[float]
    risk: Float[np.ndarray, "alpha beta"]
    plain: Float[np.ndarray, " beta"]

    @property
    def best(self) -> list[int]:
        """For each beta the index of the smallest alpha whose risk is the lowest, up to rounding."""
        return [int((column <= column.min() + 1e-12).argmax()) for column in self.risk.T]

    @property
    def _lowest(self) -> list[float]:
        return [float(self.risk[row, column]) for column, row in enumerate(self.best)]

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
                "best_alpha_given": [self.alphas[row] for row in self.best],
            }
            print_json({**about, **found})
        elif title is not None:
            columns = {
                "beta": [f"{beta:g}" for beta in self.betas],
                "risk at alpha = 0": [f"{plain:.6g}" for plain in self.plain],
                "best alpha given": [f"{self.alphas[row]:g}" for row in self.best],
                "its risk": [f"{risk:.6g}" for risk in self._lowest],
                "benefit": [f"{gain if abs(gain) >= 1e-10 else 0.0:.4g}" for gain in self._gains],
                **(more or {}),
            }
            print_table(title, list(columns), list(zip(*columns.values(), strict=True)))
