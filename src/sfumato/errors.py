"""One exception type per kind of mistake, and the checks of single values that raise them.

Every message says what was given and what is accepted, in one line, so that the command line can
print it as it is. This module imports nothing of Sfumato and every other module may import it.
"""

from __future__ import annotations

import math


class SfumatoError(Exception):
    """Base of every error that Sfumato raises on purpose; the command line exits with ``exit_code``."""

    exit_code = 1


class SettingError(SfumatoError, ValueError):
    """A setting given by the user is not acceptable (bad input)."""

    exit_code = 2


class DataError(SfumatoError, ValueError):
    """A data set's files or arrays are damaged, inconsistent or missing (bad input)."""

    exit_code = 2


class NoResultsYetError(DataError):
    """A study has been begun, and none of it has ended yet."""


class DataNote(UserWarning):
    """What a user should know about how a data set was read: left out, turned or assumed."""


class ModelError(SfumatoError, ValueError):
    """A model or checkpoint does not fit its record, its data or the interface (bad input)."""

    exit_code = 2


class OutputError(SfumatoError, OSError):
    """An output cannot be written, or belongs to another run (bad input)."""

    exit_code = 2


class WriteError(OutputError):
    """Writing failed though the path is a good one: a full disk, or a file removed meanwhile (a failure)."""

    exit_code = 1


class DownloadError(SfumatoError, RuntimeError):
    """A data set could not be fetched: a failure outside the user's input."""


class MissingPackageError(SfumatoError, ImportError):
    """An optional package is not installed; the message has the line that installs it (bad input)."""

    exit_code = 2


_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")


def is_lack_of_memory(error: BaseException) -> bool:
    """Return whether memory ran out: of Python, of a GPU, or of a CPU, which PyTorch only says in words.

    >>> is_lack_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory"))
    True
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # PyTorch's
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _OF_MEMORY)


def first_line(error: BaseException) -> str:
    r"""Return the first line of an error's message, or its type if the message is empty.

    >>> first_line(RuntimeError("no memory\nand where that was")), first_line(KeyError())
    ('no memory', 'KeyError')
    """
    try:
        text = str(error).strip()
    except Exception:  # an exception class of anyone's may fail, too
        text = "its message cannot be read"
    return text.splitlines()[0][:200] if text else type(error).__name__


_LARGEST = 2**63 - 1


def _is_finite(value: object) -> bool:
    """Return whether it is a finite number; text, None, lists and what no float can hold are none."""
    try:
        return math.isfinite(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return False


def _shown(value: object) -> str:
    """Return a value as it stands in a message: text in quotes, and no more than a line holds."""
    return f"{repr(value) if isinstance(value, str) else value!s:.60}"


def require_positive(name: str, value: float) -> float:
    """Return ``value`` as float if it is a positive finite number.

    >>> require_positive("beta", 0.5)
    0.5

    Raises:
        SettingError: if it is not.
    """
    if not (_is_finite(value) and value > 0):
        raise SettingError(f"{name} must be a positive finite number, got {_shown(value)}")
    return float(value)


def require_nonnegative(name: str, value: float) -> float:
    """Return ``value`` as float if it is a finite number of at least 0.

    Raises:
        SettingError: if it is not.
    """
    if not (_is_finite(value) and value >= 0):
        raise SettingError(f"{name} must be a finite number of at least 0, got {_shown(value)}")
    return float(value)


def require_count(name: str, value: int, minimum: int = 1) -> int:
    """Return ``value`` if it is a whole number of at least ``minimum``.

    Raises:
        SettingError: if it is not.
    """
    if not (_is_finite(value) and int(value) == value and value >= minimum):
        raise SettingError(f"{name} must be a whole number of at least {minimum}, got {_shown(value)}")
    if value > _LARGEST:
        raise SettingError(f"{name} must be at most 2^63 - 1, got {_shown(value)}")
    return int(value)


def require_open_unit(name: str, value: float) -> float:
    """Return ``value`` as float if it lies strictly between 0 and 1.

    Raises:
        SettingError: if it does not.
    """
    if not (_is_finite(value) and 0.0 < value < 1.0):
        raise SettingError(f"{name} must lie strictly between 0 and 1, got {_shown(value)}")
    return float(value)
