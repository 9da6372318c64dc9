"""Code of the user's own: found by the name ``package.module:name`` and run; what it raises is one line.

Only a name that the user gave in this call may come here, never one that was read from a file of weights.
This module imports nothing heavy: every command uses it.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from sfumato.errors import ModelError, SfumatoError, is_lack_of_memory

_LONGEST = 200
_PLUGINS = "SFUMATO_PLUGINS"
PASSED_ON = (SfumatoError, KeyboardInterrupt, GeneratorExit)
"""What is not told as a failure of the user's code."""
_OURS = str(Path(__file__).parent)
_LIBRARIES = tuple(sysconfig.get_path(name) for name in ("purelib", "platlib"))
_PYTHON = sysconfig.get_path("stdlib")

_folder: str | None = None
"""Where modules are looked for last; None outside of a command."""


@contextmanager
def current_folder_searched() -> Iterator[None]:
    """While a command runs, let ``import_named`` find modules in the current folder, after all others.

    The folder joins the end of ``sys.path`` when a named module is found nowhere else, and leaves it when
    the command ends: until then the module may import its neighbours, also late and in worker processes.
    Nothing that is installed is hidden, and a command that names no module of the user's own imports
    nothing from the folder.
    """
    global _folder
    try:
        folder = str(Path.cwd())
    except OSError:  # the folder has been removed
        yield
        return
    before, _folder, there = _folder, folder, folder in sys.path
    try:
        yield
    finally:
        _folder = before
        if not there and folder in sys.path:
            sys.path.remove(folder)


def import_named(reference: str) -> Callable[..., Any]:
    """Return the callable that ``package.module:name`` names; importing it runs the module.

    >>> import_named("math:sqrt")(9.0)
    3.0

    Raises:
        ModelError: text of another form, a missing module or name, not callable; whatever the module raises.
    """
    module_name, colon, name = reference.partition(":")
    parts = (*module_name.split("."), *name.split("."))
    if not colon or not all(map(_is_name, parts)):
        raise ModelError(
            f"{reference!r} is not package.module:name; write mymodule:build for the function build in "
            "mymodule.py"
        )
    if module_name.endswith(".py"):
        raise ModelError(f"{reference!r} names a file; write {module_name[:-3]}:{name} for the module")
    with told_in_one_line(f"{reference!r} cannot be imported"):
        module = found = _imported(module_name)
        for part in name.split("."):
            if not hasattr(found, part):
                place = getattr(module, "__file__", None) or "built in"
                raise ModelError(f"{reference!r} cannot be imported: {module_name} ({place}) has no {name!r}")
            found = getattr(found, part)
    if not callable(found):
        raise ModelError(f"{reference!r} must be a function or a class, got {type(found).__name__}")
    return found


@contextmanager
def plugins_loaded(modules: Iterable[str]) -> Iterator[None]:
    """Import these modules for what they register; worker processes started inside import them too.

    Raises:
        ModelError: as ``load_plugins``.
    """
    before = os.environ.get(_PLUGINS)
    os.environ[_PLUGINS] = ",".join(filter(None, [before, *modules]))
    try:
        load_plugins()
        yield
    finally:
        os.environ.pop(_PLUGINS)
        if before is not None:
            os.environ[_PLUGINS] = before


def load_plugins() -> None:
    """Import the modules that SFUMATO_PLUGINS names, separated by commas, for what they register.

    Raises:
        ModelError: text that names no module, a missing module; whatever a module raises.
    """
    for module in filter(None, os.environ.get(_PLUGINS, "").split(",")):
        if not all(map(_is_name, module.split("."))):
            raise ModelError(f"plugin {module!r} is not the name of a module; write mymodule for mymodule.py")
        with told_in_one_line(f"plugin {module!r} cannot be imported"):
            _imported(module)


def _is_name(part: str) -> bool:
    return bool(part) and part.isprintable() and not any(letter in " /\\:" for letter in part)


def _imported(name: str) -> ModuleType:
    """Return the module, from the current folder where it is found nowhere else."""
    importlib.invalidate_caches()
    top = name.partition(".")[0]
    if _folder and _folder not in sys.path and top not in sys.modules and not importlib.util.find_spec(top):
        sys.path.append(_folder)
    return importlib.import_module(name)


@contextmanager
def told_in_one_line(what: str, *, lost: type[SfumatoError] = ModelError) -> Iterator[None]:
    """Turn whatever the user's code raises into one line: ``what``, the error, and where in their code.

    Errors of Sfumato and Ctrl-C are not changed; ``SystemExit`` is.

    Raises:
        ModelError: as said; ``lost`` where the memory or the operating system failed the code.
    """
    try:
        yield
    except PASSED_ON:
        raise
    except BaseException as error:  # the code of others may raise anything
        if hasattr(error, "ray_terminate_msg"):  # Ray ends its worker
            raise
        kind = lost if is_lack_of_memory(error) or isinstance(error, OSError) else ModelError
        raise kind(f"{what} ({failure_line(error)})") from error


def failure_line(error: BaseException) -> str:
    """Return the error's type and message and the place in the user's code, in one line.

    >>> failure_line(ValueError("no weights"))
    'ValueError: no weights'
    """
    try:
        text = error.msg if isinstance(error, SyntaxError) else str(error)
    except Exception:  # an exception class of anyone's may fail, too
        text = "its message cannot be read"
    text = " ".join(text.split()) or "no message"
    short = text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
    place = _place(error)
    return f"{type(error).__name__}: {short}" + (f", at {place}" if place else "")


def _place(error: BaseException) -> str:
    """Return file and line of the last step in the user's own code, empty if there is none."""
    if isinstance(error, SyntaxError) and error.filename and Path(error.filename).is_file():
        return f"{_shown(error.filename)}:{error.lineno}"
    steps = [
        step
        for step in traceback.extract_tb(error.__traceback__)
        if not step.filename.startswith("<") and not _is_below(step.filename, _OURS)
    ]
    installed = [s for s in steps if any(_is_below(s.filename, folder) for folder in _LIBRARIES)]
    own = [s for s in steps if s not in installed and not _is_below(s.filename, _PYTHON)]
    if not (found := own or installed):
        return ""
    return f"{_shown(found[-1].filename)}:{found[-1].lineno}"


def _is_below(path: str, folder: str) -> bool:
    return path.startswith(folder + os.sep)


def _shown(path: str) -> str:
    """Return the path as seen from the current folder if it lies below."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except (ValueError, OSError):
        return path
