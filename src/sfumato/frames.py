"""Results as pandas data frames: the one place that imports pandas, which is optional."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sfumato.errors import MissingPackageError


def pandas_for(what: str) -> Any:
    """Return the module pandas, which ``what`` needs.

    Raises:
        MissingPackageError: it is not installed.
    """
    try:
        import pandas
    except ImportError:
        raise MissingPackageError(f"{what} needs pandas: pip install pandas") from None
    return pandas


def data_frame(columns: Mapping[str, Any], *, index: str | Sequence[str] = ()) -> Any:
    """Return a pandas data frame of these columns, each a value per row, or one for all rows.

    ``index`` names the columns that identify a row; without one the rows are numbered.

    Raises:
        MissingPackageError: pandas is not installed.
    """
    frame = pandas_for("to_frame").DataFrame(dict(columns))
    return frame.set_index(index if isinstance(index, str) else list(index)) if index else frame


def columns_of(records: Iterable[Any], names: Iterable[str]) -> dict[str, list[Any]]:
    """Return a column for each name: that attribute of every record.

    >>> columns_of([1 + 2j, 3 + 0j], ["real", "imag"])
    {'real': [1.0, 3.0], 'imag': [2.0, 0.0]}
    """
    rows = list(records)
    return {name: [getattr(row, name) for row in rows] for name in names}
