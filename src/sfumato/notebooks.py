"""Results as HTML tables, which notebooks show in place of a text; all text in them is escaped."""

from __future__ import annotations

import html
from collections.abc import Collection, Iterable, Sequence

ROWS = 10
"""Rows of a long list that a notebook shows."""


def html_table(
    caption: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    bold: Collection[tuple[int, int]] = (),
) -> str:
    """Return the table as an HTML element; ``bold`` are the places (row, column) of cells in bold.

    >>> html_table("Risk", ["alpha", "risk"], [[0.1, "<b>"]])[-74:]
    '<tbody><tr><th scope="row">0.1</th><td>&lt;b&gt;</td></tr></tbody></table>'
    """
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in columns)
    body = "".join(
        "<tr>" + "".join(_cell(cell, at, (row, at) in bold) for at, cell in enumerate(cells)) + "</tr>"
        for row, cells in enumerate(rows)
    )
    return (
        f"<table><caption>{html.escape(caption)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table>"
    )


def html_list(caption: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return the first ``ROWS`` rows as an HTML table, and how many more there are."""
    left = len(rows) - ROWS
    more = f"<p>and {left:,} more</p>" if left > 0 else ""
    return html_table(caption, columns, rows[:ROWS]) + more


def _cell(value: object, column: int, bold: bool) -> str:
    text = html.escape(str(value))
    marked = f"<b>{text}</b>" if bold else text
    return f'<th scope="row">{marked}</th>' if column == 0 else f"<td>{marked}</td>"
