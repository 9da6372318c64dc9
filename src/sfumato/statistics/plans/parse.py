"""From ``curve(0.25,0.5,0.75)`` to a plan: the plans as they are written on the command line.

``parse_plan(plan.name) == plan`` for every plan. Nothing is guessed: an unknown method, setting or
number is an error that lists what is accepted.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields

from sfumato.errors import SettingError
from sfumato.statistics.plans.base import Plan
from sfumato.statistics.plans.curve import Curve
from sfumato.statistics.plans.decide import Decide
from sfumato.statistics.plans.fixed import Fixed
from sfumato.statistics.plans.precision import Precision
from sfumato.statistics.plans.predict import Predict
from sfumato.statistics.plans.two_class import FixedTwoClass
from sfumato.statistics.plans.vote import Vote

# Method, its record, what is positional, and how it is shown.
_PLANS: dict[str, tuple[Callable[..., Plan], tuple[str, ...], str]] = {
    "fixed": (Fixed, ("n0", "n"), "fixed(n0,n)"),
    "two_class": (FixedTwoClass, ("n0", "n"), "two_class(n0,n)"),
    "decide": (Decide, ("radius",), "decide(radius)"),
    "curve": (Curve, ("radii",), "curve(r1,r2,...)"),
    "precision": (Precision, ("eps",), "precision(eps)"),
    "predict": (Predict, (), "predict()"),
    "vote": (Vote, ("n",), "vote(n)"),
}

_LONGEST = 20_000  # a thousand radii
_SHOWN = 100
_WHOLE = re.compile(r"0*[0-9]{1,15}\Z")
_NUMBER = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?\Z")


def accepted_plans() -> str:
    """Return the accepted plans in one line.

    >>> accepted_plans()
    'fixed(n0,n), two_class(n0,n), decide(radius), curve(r1,r2,...), precision(eps), predict(), vote(n)'
    """
    return ", ".join(shown for _, _, shown in _PLANS.values())


def parse_plan(text: str) -> Plan:
    """Return the plan that ``text`` names, e.g. ``decide(0.5)`` or ``curve(0.25,0.5,n_max=10000)``.

    >>> parse_plan("curve(0.25, 0.5, chunk=128)")
    Curve(radii=(0.25, 0.5), n_max=100000, chunk=128, cost=500000.0)
    >>> parse_plan("vote(100)").name
    'vote(100)'

    Raises:
        SettingError: text that names no plan, or settings the plan does not accept.
    """
    if len(text) > _LONGEST:
        raise SettingError(f"a plan has at most {_LONGEST} characters, got {len(text)}")
    matched = re.fullmatch(r"\s*([a-z_]+)\s*(?:\(([^()]*)\))?\s*", text)
    if matched is None or matched[1] not in _PLANS:
        raise SettingError(f"plan must be one of {accepted_plans()}; got {_given(text)}")
    record, positional, shown = _PLANS[matched[1]]
    kinds = {field.name: str(field.type) for field in fields(record)}  # type: ignore[arg-type]
    settings: dict[str, float | tuple[float, ...]] = {}
    free: list[str] = []
    for part in (matched[2] or "").split(",") if (matched[2] or "").strip() else []:
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals:
            if settings:
                raise SettingError(f"{shown} takes named settings last, got {_given(text)}")
            free.append(name)
        elif name in settings or name not in kinds or "tuple" in kinds[name]:
            named = ", ".join(name for name, kind in kinds.items() if "tuple" not in kind)
            raise SettingError(f"{shown} takes each of {named} once by name, got {_given(name)}")
        else:
            settings[name] = _value(shown, name, kinds[name], value)
    if positional == ("radii",):
        settings["radii"] = tuple(float(_value(shown, "each radius", "float", piece)) for piece in free)
    elif len(free) > len(positional):
        raise SettingError(
            f"{shown} takes {len(positional)} unnamed settings, got {len(free)}: {_given(text)}"
        )
    else:
        for name, piece in zip(positional, free, strict=False):
            if name in settings:
                raise SettingError(f"{shown} takes {name} once, got {_given(text)}")
            settings[name] = _value(shown, name, kinds[name], piece)
    try:
        return record(**settings)
    except TypeError as error:
        raise SettingError(f"{_given(text)} lacks a setting; write it as {shown}") from error


def _value(shown: str, name: str, kind: str, text: str) -> float:
    """Return ``text`` as the whole or real number the setting wants."""
    if kind == "int":
        if not _WHOLE.match(text):
            raise SettingError(
                f"{shown}: {name} must be a whole number of at most 15 digits, got {_given(text)}"
            )
        return int(text)
    if not _NUMBER.match(text):
        raise SettingError(f"{shown}: {name} must be a number, got {_given(text)}")
    return float(text)


def _given(text: str) -> str:
    """Return what was given in quotes, as much of it as fits into a message."""
    return repr(text[:_SHOWN]) + ("..." if len(text) > _SHOWN else "")
