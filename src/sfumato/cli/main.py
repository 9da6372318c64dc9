"""The entry point: collects the commands and turns errors into one line and an exit code."""

from __future__ import annotations

import contextlib
import inspect as inspection
import io
import itertools
import os
import sys
import traceback
from typing import Annotated

import typer

from sfumato.cli import (
    attack,
    card,
    certify,
    data,
    demo,
    inspect,
    normalize,
    plot,
    report,
    risk,
    study,
    table,
    terminal,
    theory,
    train,
    train_denoiser,
    verify,
)
from sfumato.cli.advice import advise, geometry, interference, surrogate
from sfumato.cli.from_settings import register
from sfumato.errors import SfumatoError, is_lack_of_memory
from sfumato.files import is_bad_path
from sfumato.user_code import current_folder_searched, plugins_loaded
from sfumato.version import __version__

_LEVELS = ("--quiet", "-q", "--verbose", "-v")
_PLUGIN = "--plugin"
_INTERRUPTED = 130

app = typer.Typer(
    name="sfumato",
    help="Certify classifiers by randomized smoothing, and find how much noise to train and smooth with.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_COMMANDS = (
    *(train, train_denoiser, normalize, risk, certify, attack, card, report, plot, table),
    *(advise, interference, geometry, surrogate),
    *(demo, data, inspect, verify),
)
for module in _COMMANDS:
    register(app, module.command, module.__name__.rpartition(".")[2].replace("_", "-"))
app.add_typer(theory.app, name="theory")
app.add_typer(study.app, name="study")


def _join_lines_of_help(commands: typer.Typer) -> None:
    """Make each paragraph of the help one line, for the terminal to wrap; ends of lines would be kept."""
    for command in commands.registered_commands:
        paragraphs = (inspection.getdoc(command.callback) or "").split("\n\n")
        command.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    for group in commands.registered_groups:
        if group.typer_instance is not None:
            _join_lines_of_help(group.typer_instance)


_join_lines_of_help(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"sfumato {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version."
    ),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="Print only results and errors."),
    verbose: bool = typer.Option(
        False, "--verbose", "-v", help="Print details, and the traceback of an error."
    ),
    plugin: Annotated[
        list[str] | None,
        typer.Option(
            "--plugin",
            help="A module that registers noises, plans, training methods or data sets of your own. Can be "
            "given anywhere in the command, several times, or as SFUMATO_PLUGINS.",
        ),
    ] = None,
) -> None:
    """Certify classifiers by randomized smoothing, and find how much noise to train and smooth with."""
    terminal.LEVEL.quiet, terminal.LEVEL.verbose = quiet, verbose
    context.with_resource(current_folder_searched())
    context.with_resource(plugins_loaded(plugin or ()))


def main() -> None:
    """Run the command line: exit code 0, 2 for bad input, 1 for failure, 130 when interrupted."""
    terminal.show_warnings_on_one_line()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # a file's name may hold bytes that are no text
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = app(_levels_first(sys.argv[1:]), standalone_mode=False)
        if code == _INTERRUPTED:  # Typer answers Ctrl-C with this code
            raise KeyboardInterrupt
        sys.stdout.flush()
    except (SfumatoError, OSError) as error:
        if terminal.LEVEL.verbose:
            traceback.print_exc()
        lost = "" if _printed() else "standard output: "
        _fail(lost + _words(error), _exit_code(error))
    except (KeyboardInterrupt, typer.Abort):
        _fail("interrupted; what was finished is kept: give the same command again to go on", _INTERRUPTED)
    except Exception as error:
        if is_lack_of_memory(error):
            words = str(error).partition("\n")[0] or "no more is to be had"
            _fail(f"out of memory ({words}); what was finished is kept", 1)
        if not hasattr(error, "format_message"):  # click's usage errors carry it, whichever click it is
            raise
        message = error.format_message()
        if not message:  # no command was given: its help has been printed
            sys.exit(2)
        _fail(message + _given_value(error), 2)
    sys.exit(code if isinstance(code, int) else 0)


def _levels_first(arguments: list[str]) -> list[str]:
    """Return the arguments with --quiet, --verbose and --plugin, wherever they stand, before the command.

    >>> _levels_first(["study", "show", "folder", "-q", "--plugin", "mine", "--", "-v"])
    ['-q', '--plugin', 'mine', 'study', 'show', 'folder', '--', '-v']
    """
    end = arguments.index("--") if "--" in arguments else len(arguments)
    first, rest, given = [], [], iter(arguments[:end])
    for argument in given:
        if argument == _PLUGIN:
            first += [argument, *itertools.islice(given, 1)]
        elif argument in _LEVELS or argument.startswith(f"{_PLUGIN}="):
            first.append(argument)
        else:
            rest.append(argument)
    return first + rest + arguments[end:]


def _given_value(error: Exception) -> str:
    """Return the value of the option that the error is about; its own message leaves it out."""
    for name in getattr(getattr(error, "param", None), "opts", ()):
        if name in sys.argv[:-1]:
            return f", got {sys.argv[sys.argv.index(name) + 1]!r}"
    return ""


def _words(error: SfumatoError | OSError) -> str:
    """Return what happened; of the operating system's errors, its words and the file."""
    if isinstance(error, SfumatoError) or not error.strerror:
        return str(error) or type(error).__name__
    return f"{error.filename}: {error.strerror}" if error.filename else error.strerror


def _exit_code(error: SfumatoError | OSError) -> int:
    """Return 2 where the user's input is at fault, 1 for a failure, such as a full disk."""
    if isinstance(error, SfumatoError):
        return error.exit_code
    return 2 if is_bad_path(error) else 1


def _printed() -> bool:
    """Return whether standard output takes all there is; if not, as on a full disk, the rest goes nowhere."""
    try:
        sys.stdout.flush()
    except OSError:
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False
    return True


def _fail(message: str, code: int) -> None:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)
