"""The precision that votes are computed in: as asked for, or the faster one where the user leaves it open."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sfumato.cli.terminal import note, warn

if TYPE_CHECKING:
    from sfumato.models.classifier import Classifier


def warn_if_slow(device: str, *precisions: str) -> None:
    """Warn where one of the precisions is bf16 and the device computes that more slowly than float32."""
    if "bf16" not in precisions:
        return
    from sfumato.devices import choose_device, slow_bf16

    if line := slow_bf16(choose_device(device), *precisions):
        warn(line)


def begun_precision(table: Path) -> str | None:
    """Return the precision of the run that wrote ``table``; None where there is no such run.

    Raises:
        DataError: the record beside the table cannot be read.
    """
    from sfumato.certification.file import read_settings, settings_path

    record = settings_path(table)
    if not (table.exists() and record.exists()):
        return None
    settings: Mapping[str, Any] = read_settings(record)
    return str(settings.get("precision", "float32"))


def require_asked(precision: str) -> None:
    """Refuse a precision that is not known.

    Raises:
        SettingError: neither auto nor a precision.
    """
    from sfumato.errors import SettingError
    from sfumato.settings import PRECISIONS

    if precision not in ("auto", *PRECISIONS):
        raise SettingError(f"precision must be one of auto, {', '.join(PRECISIONS)}, got {precision!r}")


def chosen_precision(
    asked: str, device: str, classifiers: Iterable[Classifier], *, begun: str | None = None
) -> str:
    """Return ``asked``, or the precision that ``auto`` stands for, which is then said.

    ``auto`` is that of a run which was ``begun``. Else it is bf16 where all classifiers are torch modules
    and products in bfloat16 take at most 0.6 of their time in float32 on the device, and float32 elsewhere:
    a black box cannot be rounded.
    """
    from torch import nn

    from sfumato.devices import choose_device, pays_in_bf16

    if asked != "auto":
        warn_if_slow(device, asked)
        return asked
    boxes = [one.name for one in classifiers if not isinstance(one.model, nn.Module)]
    if begun is not None:
        found, reason = begun, "the run that is continued has it"
    elif boxes:
        found, reason = "float32", f"{boxes[0]} is no torch module and cannot be rounded"
    elif pays_in_bf16(choose_device(device)):
        found, reason = "bf16", "faster here; another classifier than the float32 network"
    else:
        found, reason = "float32", "bf16 is not clearly faster here"
    note(f"precision {found}: {reason}")
    return found
