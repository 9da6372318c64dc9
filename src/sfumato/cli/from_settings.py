"""Options made from the fields of settings, when the command that takes them is asked for and not before.

Each field gives one option: its name, type, default and help. What the settings import is so not loaded
for the other commands.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import typer

from sfumato.cli.options import parse_numbers
from sfumato.cli.registered_names import CommandNamingRegistered

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo


Command = Callable[..., None]


def takes_fields(
    fields: Callable[[], Mapping[str, FieldInfo]], *, prefix: str = "", every_optional: bool = False
) -> Callable[[Command], Command]:
    """Return a decorator: the command has an option for each field, and gets them as keyword arguments.

    Its function takes ``**settings``, each name behind ``prefix``. With ``every_optional`` an option that is
    not given is None; else it has the field's default, and one without a default must be given.
    """
    given: dict[str, Any] = {}

    class CommandWithFields(CommandNamingRegistered):
        def get_params(self, ctx: Any) -> list[Any]:
            known = {param.name for param in self.params}
            if not known & {prefix + name for name in fields()}:
                self.params += _options(fields(), prefix, every_optional)
            return super().get_params(ctx)

        def invoke(self, ctx: Any) -> Any:
            # Typer's own callback knows the options that are written out only
            given.clear()  # of an earlier call in this process
            given.update({prefix + name: ctx.params.pop(prefix + name) for name in fields()})
            return super().invoke(ctx)

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def with_given(**own: Any) -> None:
            command(**own, **given)

        own = [
            p
            for p in inspect.signature(command, eval_str=True).parameters.values()
            if p.kind is not p.VAR_KEYWORD
        ]
        with_given.__signature__ = inspect.Signature(own)  # type: ignore[attr-defined]
        with_given.command_class = CommandWithFields  # type: ignore[attr-defined]
        return with_given

    return decorate


def command_class(command: Command) -> type[CommandNamingRegistered]:
    """Return the class to register the command with: one of its own if it takes fields of settings."""
    found: type[CommandNamingRegistered] = getattr(command, "command_class", CommandNamingRegistered)
    return found


def _options(fields: Mapping[str, FieldInfo], prefix: str, every_optional: bool) -> list[Any]:
    """Return the options as Typer makes them of a function that takes the fields."""

    def taking() -> None: ...

    parameters = [_parameter(prefix + name, name, field, every_optional) for name, field in fields.items()]
    taking.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    taking.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    app = typer.Typer(add_completion=False)
    app.command(context_settings={"help_option_names": []})(taking)
    return list(typer.main.get_command(app).params)


def _parameter(argument: str, name: str, field: FieldInfo, every_optional: bool) -> inspect.Parameter:
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    flag = str(extra.get("flag", "--" + name.replace("_", "-")))
    kind, optional = _kind(field.annotation)
    default: Any = inspect.Parameter.empty if field.is_required() else field.default
    if every_optional:
        default, optional = None, True
    option = typer.Option(flag, help=_sentence(field.description or ""))
    annotated: Any = Annotated
    annotation = annotated[kind | None if optional else kind, option]
    return inspect.Parameter(argument, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _sentence(words: str) -> str:
    """Return the words as a sentence; a name in front of a comma stays as it is written."""
    first = words.split(" ")[0]
    return f"{words if first.endswith(',') else words[:1].upper() + words[1:]}."


def _kind(annotation: Any) -> tuple[Any, bool]:
    """Return what the command line reads for a field of this type, and whether it may be None."""
    if get_origin(annotation) in (Union, UnionType):
        others = [part for part in get_args(annotation) if part is not type(None)]
        return _kind(others[0])[0], len(others) < len(get_args(annotation))
    if get_origin(annotation) is Annotated:
        return _kind(get_args(annotation)[0])
    if get_origin(annotation) is Literal or get_origin(annotation) is tuple:
        return str, False
    return annotation if annotation in (int, float, bool, str, Path) else str, False


def values_for(fields: Mapping[str, FieldInfo], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the command line gave for the fields, without those not given, lists of numbers read.

    Raises:
        SettingError: a list that holds something else than numbers.
    """
    return {
        name: parse_numbers(name, value) if _is_list(fields[name].annotation) else value
        for name, value in given.items()
        if value is not None
    }


def _is_list(annotation: Any) -> bool:
    return get_origin(annotation) is tuple or any(map(_is_list, get_args(annotation)))
