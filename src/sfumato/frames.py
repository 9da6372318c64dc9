"""Results as pandas data frames, and numbers that carry names: only this module imports pandas, an option."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sfumato.errors import MissingPackageError, SettingError

_SHOWN = 5


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


def numbers_in_order(what: str, given: Any, names: Iterable[Any] | None = None) -> Any:
    """Return numbers that carry names, a mapping or a pandas Series, as a list in the order of ``names``.

    Without ``names`` nothing says which number is whose. What carries no names, a Series that only counts its
    rows too, is returned as it is. Messages call the numbers ``what``.

    >>> numbers_in_order("scale", {"income": 1e4, "age": 10.0}, ["age", "income"])
    [10.0, 10000.0]

    Raises:
        SettingError: numbers by name where no names are known, or for other names than these.
    """
    if isinstance(given, Mapping):
        keys, values = list(given), list(given.values())
    elif hasattr(given, "to_numpy") and hasattr(given, "index") and getattr(given, "ndim", 0) == 1:
        keys, values = list(given.index), list(given.to_numpy())
    else:
        return given
    if keys == list(range(len(keys))):
        return values
    if names is None:
        raise SettingError(
            f"{what} has names ({_listed(keys)}), but what it is for has none here; give numbers in its order"
        )
    wanted = list(names)
    for key in keys:
        if key not in wanted or keys.count(key) > 1:
            wrong = f"{key!r} twice" if key in wanted else f"{key!r}, which is none of them"
            raise SettingError(f"{what} must have one number for each of {_listed(wanted)}, got {wrong}")
    if missing := [name for name in wanted if name not in keys]:
        raise SettingError(
            f"{what} must have one number for each of {_listed(wanted)}, got none for {_listed(missing)}"
        )
    by_name = dict(zip(keys, values, strict=True))
    return [by_name[name] for name in wanted]


def _listed(names: Sequence[Any]) -> str:
    return ", ".join([*map(repr, names[:_SHOWN]), *(["..."] if names[_SHOWN:] else [])])
