"""Turning values into bytes for other processes, and saying what in a value prevents it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sfumato.errors import ModelError
from sfumato.user_code import failure_line

Dumps = Callable[[Any], Any]


def require_shippable(name: str, value: object, dumps: Dumps) -> Any:
    """Return ``dumps(value)``.

    Raises:
        ModelError: it fails; the innermost attribute for which it fails is named.
    """
    try:
        return dumps(value)
    except Exception as error:  # picklers raise whatever an object's own code raises
        path, culprit, reason = _innermost(value, dumps, error)
        raise ModelError(
            f"{name} cannot be sent to a worker: {name}{path} is a {type(culprit).__name__} "
            f"({failure_line(reason)}); create it where it is used, or leave it out in __getstate__"
        ) from error


def _innermost(value: object, dumps: Dumps, error: Exception) -> tuple[str, object, Exception]:
    """Return the path to the innermost part that fails, that part, and why it fails."""
    seen: set[int] = set()
    path = ""
    while id(value) not in seen:
        seen.add(id(value))
        for step, part in _parts(value):
            try:
                dumps(part)
            except Exception as deeper:
                path, value, error = path + step, part, deeper
                break
    return path, value, error


def _parts(value: object) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield f"[{key!r}]", part
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):
            yield f"[{index}]", part
    elif isinstance(held := getattr(value, "__dict__", None), dict):
        for name, part in held.items():
            # a network keeps its layers in a dictionary, but they are written as attributes
            if name in ("_modules", "_parameters", "_buffers"):
                yield from ((f".{key}", layer) for key, layer in part.items())
            else:
                yield f".{name}", part
