"""Settings that describe themselves: each field has its type, range, default and help in one place.

The settings of a training, those of a method and the tables of a study are records of this kind. The
command line, the study file, the checkpoint's record and the keys of stored results are made from their
fields, so no place can forget a field.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from sfumato.errors import SettingError

CONFIDENCE = 0.999
"""The probability, over the noise, with which each certificate holds, unless another one is asked for."""

PRECISIONS = ("float32", "bf16")
"""The formats that a network may compute in."""


class Settings(BaseModel):
    """Frozen, strictly validated fields; an unknown field or a value out of range is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @classmethod
    def read(cls, values: Mapping[str, Any], *, where: str = "") -> Self:
        """Return the settings with these values; ``where`` begins the error.

        Raises:
            SettingError: a name or a value that is not accepted.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise SettingError(where + explained(error, cls)) from error


class CheckedSettings(Settings):
    """Settings that are also written in Python: their constructor raises ``SettingError`` as well."""

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise SettingError(explained(error, type(self))) from error

    def replace(self, **changes: Any) -> Self:
        """Return the settings with other values for some fields.

        Raises:
            SettingError: a name or a value that is not accepted.
        """
        return type(self)(**{**dict(self), **changes})


def as_tuple(value: object) -> object:
    """Let the lists of TOML and JSON be tuples, which strict validation would refuse."""
    return tuple(value) if isinstance(value, list) else value


Numbers = Annotated[tuple[float, ...], BeforeValidator(as_tuple)]
"""A list of finite numbers."""


def as_path(value: object) -> object:
    """Let the texts of TOML and JSON be paths, which strict validation would refuse."""
    return Path(value) if isinstance(value, str) else value


FilePath = Annotated[Path, BeforeValidator(as_path)]
"""The path of a file."""

Count = Annotated[int, Field(ge=1)]
"""A whole number of at least 1."""

Seed = Annotated[int, Field(ge=0, lt=2**63)]
"""A whole number that keys random numbers."""


def explained(error: ValidationError, settings: type[BaseModel]) -> str:
    """Return the first mistake in one line: name, what is accepted, value."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"] if isinstance(part, str))
    if first["type"] == "extra_forbidden":
        return f"unknown key {key}; accepted are {', '.join(_fields_at(settings, first['loc'][:-1]))}"
    if first["type"] == "missing":
        return f"{key} is missing"
    if isinstance(told := first.get("ctx", {}).get("error"), SettingError):
        return str(told)
    words = first["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    words = words.replace("greater than or equal to", "at least").replace("less than or equal to", "at most")
    words = words.replace("valid tuple", "list").replace("valid dictionary", "table")
    given = " ".join(repr(first["input"]).split())  # one line of arrays and Series too
    return f"{key} {words}, got {given}"


def _fields_at(settings: type[BaseModel], location: Iterable[int | str]) -> Iterable[str]:
    """Return the names of the fields of the settings at this location of an error."""
    for part in location:
        if isinstance(part, str) and part in settings.model_fields:
            inner = settings.model_fields[part].annotation
            candidates = [inner, *getattr(inner, "__args__", ())]
            settings = next(
                (c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), settings
            )
    return settings.model_fields
