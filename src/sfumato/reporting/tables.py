"""A table, and the forms in which pages and other programs take it: Markdown, CSV, HTML."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sfumato.frames import data_frame
from sfumato.notebooks import html_table

# the last four are the full-width forms of =, +, - and @, which some spreadsheets take for them
_FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_NUMBER = r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
# a number, alone or with its interval
_NUMBERS = re.compile(rf"{_NUMBER}(?: \[{_NUMBER}, {_NUMBER}\])?|[-+]?(?:inf|nan)")


@dataclass(frozen=True)
class Table:
    """Rows of text under a title; numbers are written as they shall be read.

    Attributes:
        title: what the numbers are, with units and counts.
        columns: one name each.
        rows: as many cells as there are columns.
        bold: places (row, column) of the cells that are set in bold; CSV has no bold.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    bold: frozenset[tuple[int, int]] = frozenset()

    @staticmethod
    def of(
        title: str,
        columns: Sequence[str],
        rows: Sequence[Sequence[object]],
        bold: Iterable[tuple[int, int]] = (),
    ) -> Table:
        """Return the table with every cell as text."""
        texts = tuple(tuple(str(cell) for cell in row) for row in rows)
        return Table(title, tuple(columns), texts, frozenset(bold))

    def transposed(self) -> Table:
        """Return the table with its rows as columns, so that they stand side by side.

        >>> Table.of("Risk", ["alpha", "risk"], [["0.1", "0.25"], ["0.2", "0.3"]], [(1, 1)]).transposed()
        Table(title='Risk', columns=('', '0.1', '0.2'), rows=(('risk', '0.25', '0.3'),), bold=...({(0, 2)}))
        """
        cells = [self.columns, *self.rows]
        columns = ("", *(row[0] for row in self.rows))
        rows = tuple(tuple(row[place] for row in cells) for place in range(1, len(self.columns)))
        bold = frozenset((column - 1, row + 1) for row, column in self.bold if column > 0)
        return Table(self.title, columns, rows, bold)

    def _repr_html_(self) -> str:
        return as_html(self)

    def to_frame(self) -> Any:
        """Return a pandas data frame of the cells, as text; the first column is the index.

        Raises:
            MissingPackageError: pandas is not installed.
        """
        cells = {name: [row[place] for row in self.rows] for place, name in enumerate(self.columns)}
        return data_frame(cells, index=self.columns[0])


def as_markdown(table: Table) -> str:
    """Return the table as GitHub-flavoured Markdown, the first column left, the others right.

    >>> print(as_markdown(Table.of("Risk", ["alpha", "risk"], [[0.1, 0.25]])), end="")
    Risk
    <BLANKLINE>
    | alpha | risk |
    | :---- | ---: |
    | 0.1   | 0.25 |
    """
    body = [
        [
            f"**{text}**" if (row, at) in table.bold else text
            for at, text in enumerate(map(markdown_text, cells))
        ]
        for row, cells in enumerate(table.rows)
    ]
    cells = [list(map(markdown_text, table.columns)), *body]
    widths = [max(4, *(len(row[i]) for row in cells)) for i in range(len(table.columns))]

    def line(row: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = [f":{'-' * (w - 1)}" if i == 0 else f"{'-' * (w - 1)}:" for i, w in enumerate(widths)]
    return (
        "\n".join([markdown_text(table.title), "", line(cells[0]), line(rule), *map(line, cells[1:])]) + "\n"
    )


def markdown_text(cell: str) -> str:
    r"""Return text on one line that Markdown shows as it is.

    >>> print(markdown_text("<b>2 * 3</b>"))
    &lt;b&gt;2 \* 3&lt;/b&gt;
    """
    escaped = html.escape(" ".join(cell.split()), quote=False)
    for sign in "\\|*_`[":
        escaped = escaped.replace(sign, f"\\{sign}")
    return escaped


def as_csv(table: Table) -> str:
    r"""Return the table as comma-separated values with a header; the title is left out.

    Cells that a spreadsheet would take for a formula begin with an apostrophe.

    >>> as_csv(Table.of("Risk", ["alpha", "risk"], [[-0.1, "0.2, or so"], ["=1+1", ""]]))
    'alpha,risk\n-0.1,"0.2, or so"\n\'=1+1,\n'
    """
    return csv_text((table.columns, *table.rows))


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Return rows as comma-separated values that a spreadsheet can open without running anything."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([without_formula("" if cell is None else str(cell)) for cell in row] for row in rows)
    return text.getvalue()


def without_formula(cell: str) -> str:
    """Return the cell, behind an apostrophe if a spreadsheet would take it for a formula; numbers stay.

    Carriage returns become ends of lines: ``csv`` leaves them bare, and the next cell would begin there.

    >>> [without_formula(cell) for cell in ("=1+1", "@SUM(A1)", "-0.25", "-0.2 [-0.3, 0.1]", "-x")]
    ["'=1+1", "'@SUM(A1)", '-0.25', '-0.2 [-0.3, 0.1]', "'-x"]
    """
    cell = cell.replace("\r\n", "\n").replace("\r", "\n")
    return f"'{cell}" if cell.startswith(_FORMULA_SIGNS) and not _NUMBERS.fullmatch(cell) else cell


def as_html(table: Table) -> str:
    """Return the table as an HTML element with its title as the caption, all text escaped."""
    return html_table(table.title, table.columns, table.rows, bold=table.bold)
