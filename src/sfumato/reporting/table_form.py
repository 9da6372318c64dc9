"""The written form of a table: its format, caption, label and width, checked before any work."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sfumato.errors import SettingError
from sfumato.reporting.latex import WIDTHS, as_latex, require_label
from sfumato.reporting.tables import Table, as_csv, as_markdown

FORMATS = ("markdown", "csv", "latex")


@dataclass(frozen=True)
class TableForm:
    """In which form a table is written.

    Attributes:
        name: markdown, csv or latex.
        caption: in place of the table's own title; csv has none.
        label: by which a LaTeX document refers to it.
        width: of LaTeX: column, or text across both columns; the table is scaled down to fit.
        transpose: whether rows become columns, so that several methods stand side by side.
        bold: whether the table has cells in bold; csv has none.

    Raises:
        SettingError: a form that is not known, or what it cannot have.
    """

    name: str = "markdown"
    caption: str = ""
    label: str = ""
    width: str = ""
    transpose: bool = False
    bold: bool = False

    def __post_init__(self) -> None:
        if self.name not in FORMATS:
            raise SettingError(f"format must be one of {', '.join(FORMATS)}, got {self.name!r}")
        if self.width and self.width not in WIDTHS:
            raise SettingError(f"width must be one of {', '.join(WIDTHS)}, got {self.width!r}")
        lacking = {"csv": ("caption", "label", "width", "bold"), "markdown": ("label", "width"), "latex": ()}
        for option in lacking[self.name]:
            if getattr(self, option):
                having = "latex" if option in ("label", "width") else "markdown or latex"
                raise SettingError(
                    f"{self.name} has no {option}; leave out --{option}, or give --format {having}"
                )
        if self.label:
            require_label(self.label)

    def write(self, table: Table) -> str:
        """Return the table in this form."""
        wanted = table.transposed() if self.transpose else table
        wanted = replace(wanted, title=self.caption or wanted.title)
        if self.name == "latex":
            return as_latex(wanted, label=self.label, width=self.width)
        return as_markdown(wanted) if self.name == "markdown" else as_csv(wanted)
