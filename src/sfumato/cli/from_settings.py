"""Options made from the fields of settings, when the command that takes them is asked for and not before.

Each field gives one option: its name, type, default and help. What the settings import is so not loaded
for the other commands.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

import typer

from sfumato.cli.options import parse_numbers
from sfumato.cli.registered_names import CommandNamingRegistered

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo


Command = Callable[..., None]


def takes_fields(
    fields: Callable[[], Mapping[str, FieldInfo]],
    *,
    flags: Mapping[str, str] = MappingProxyType({}),
    every_optional: bool = False,
) -> Callable[[Command], Command]:
    """Return a decorator: the command gets an option for each field, and the values given for them.

    Its function takes ``**settings``: the values by the names of the fields, with lists of numbers parsed.
    Values that are None are left out. With ``every_optional`` that is every option not given; else such an
    option has the field's default, and a field without one must be given. A name may have dots, as
    ``grid.alpha``; its option is called by the last part, or as ``flags`` or the field says. A switch that is
    None unless given may be on elsewhere, so ``--no-`` in front of its name turns it off: an option that
    help does not list, as its name would take the room of every other one's words.
    """
    given: dict[str, Any] = {}

    class CommandWithFields(CommandNamingRegistered):
        def get_params(self, ctx: Any) -> list[Any]:
            known = {param.name for param in self.params}
            missing = {name: field for name, field in fields().items() if _argument(name) not in known}
            self.params += _options(missing, flags, every_optional)
            return super().get_params(ctx)

        def invoke(self, ctx: Any) -> Any:
            # Typer's own callback knows the options that are written out only
            given.clear()  # of an earlier call in this process
            for name, field in fields().items():
                value = ctx.params.pop(_argument(name))
                if ctx.params.pop(_off(name), False):
                    value = False
                if value is not None:
                    given[name] = _read(name, value, field)
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


def register(app: typer.Typer, command: Command, name: str) -> None:
    """Add the command under this name, with the options of its fields and the names of what is registered."""
    app.command(name=name, cls=getattr(command, "command_class", CommandNamingRegistered))(command)


def _argument(name: str) -> str:
    return name.replace(".", "_of_")


def _off(name: str) -> str:
    return f"no_{_argument(name)}"


def _options(fields: Mapping[str, FieldInfo], flags: Mapping[str, str], every_optional: bool) -> list[Any]:
    """Return the options as Typer makes them of a function that takes the fields."""

    def taking() -> None: ...

    parameters = [
        parameter
        for name, field in fields.items()
        for parameter in _parameters(name, flags.get(name), field, every_optional)
    ]
    taking.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    taking.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    app = typer.Typer(add_completion=False)
    app.command(context_settings={"help_option_names": []})(taking)
    return list(typer.main.get_command(app).params)


def _parameters(
    name: str, flag: str | None, field: FieldInfo, every_optional: bool
) -> list[inspect.Parameter]:
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    flag = flag or str(extra.get("flag", "--" + name.rpartition(".")[2].replace("_", "-")))
    bare = _bare(field.annotation)
    kind: Any = bare if bare in (int, float, bool, str, Path) else str
    default = None if every_optional else inspect.Parameter.empty if field.is_required() else field.default
    words, off = _sentence(field.description or ""), f"--no-{flag.removeprefix('--')}"
    switched_elsewhere = kind is bool and default is None
    if switched_elsewhere:
        words += f" {off} turns it off."
    if _is_list(bare):
        give = extra.get("give", "0,1,2 or first:last:count")
        option = typer.Option(flag, help=f"{words} Give {give}.", metavar="NUMBERS")
    else:
        option = typer.Option(flag, help=words)
    annotated: Any = Annotated
    annotation = annotated[kind | None if default is None else kind, option]
    by_name = inspect.Parameter.KEYWORD_ONLY
    found = [inspect.Parameter(_argument(name), by_name, default=default, annotation=annotation)]
    if switched_elsewhere:
        hidden = annotated[bool, typer.Option(off, hidden=True)]
        found.append(inspect.Parameter(_off(name), by_name, default=False, annotation=hidden))
    return found


def _sentence(words: str) -> str:
    """Return the words as a sentence; a name of code, or in front of a comma or a colon, stays as it is."""
    first = words.split(" ")[0]
    return f"{words if first.endswith((',', ':')) or '.' in first else words[:1].upper() + words[1:]}."


def _bare(annotation: Any) -> Any:
    """Return the type of a field without None and without what is annotated to it."""
    if get_origin(annotation) in (Union, UnionType):
        return _bare(next(part for part in get_args(annotation) if part is not type(None)))
    return _bare(get_args(annotation)[0]) if get_origin(annotation) is Annotated else annotation


def _is_list(bare: Any) -> bool:
    return get_origin(bare) is tuple


def _read(name: str, value: Any, field: FieldInfo) -> Any:
    bare = _bare(field.annotation)
    return (
        parse_numbers(name.rpartition(".")[2], value, _bare(get_args(bare)[0])) if _is_list(bare) else value
    )
