"""The stopping plans by their names, and from ``curve(0.25,0.5,0.75)`` to a plan.

``parse_plan(plan.name) == plan`` for every plan. Nothing is guessed: an unknown method, setting or
number is an error that lists what is accepted. Others may be added with ``register_plan``.
"""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any, TypeVar, get_type_hints

from sfumato.errors import SettingError
from sfumato.plans.base import Plan
from sfumato.plans.curve import Curve
from sfumato.plans.decide import Decide
from sfumato.plans.fixed import Fixed
from sfumato.plans.precision import Precision
from sfumato.plans.predict import Predict
from sfumato.plans.top_k import TopK
from sfumato.plans.two_class import FixedTwoClass
from sfumato.plans.vote import Vote

PLANS: dict[str, type[Plan]] = {
    plan.method: plan for plan in (Fixed, FixedTwoClass, Decide, Curve, Precision, TopK, Predict, Vote)
}

Registered = TypeVar("Registered", bound=type[Plan])

_LONGEST = 20_000  # a thousand radii
_SHOWN = 100
_WHOLE = re.compile(r"0*[0-9]{1,15}\Z")
_NUMBER = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?\Z")


def register_plan(plan: Registered) -> Registered:
    """Make a plan known by its method, and return it: also a decorator of its class.

    Raises:
        SettingError: another plan has the method, or it cannot be written as ``method(settings)``.
    """
    if not re.fullmatch("[a-z_]+", plan.method):
        raise SettingError(f"a plan's method must be of the letters a-z and _, got {plan.method!r}")
    if PLANS.setdefault(plan.method, plan) is not plan:
        raise SettingError(f"a plan {plan.method!r} is registered already; choose another method")
    return plan


def accepted_plans() -> str:
    """Return the accepted plans in one line.

    >>> accepted_plans().split(", ")[-3:]
    ['top_k(k,n0,n)', 'predict()', 'vote(n)']
    """
    return ", ".join(plan.usage for plan in PLANS.values())


def as_plan(plan: Plan | str) -> Plan:
    """Return the plan, or the one that a text names.

    Raises:
        SettingError: as ``parse_plan``, and what is neither.
    """
    if isinstance(plan, str):
        return parse_plan(plan)
    if not isinstance(plan, Plan):
        raise SettingError(f"plan must be a plan or its text, as 'decide(0.5)', got {plan!r}")
    return plan


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
    if matched is None or matched[1] not in PLANS:
        raise SettingError(f"plan must be one of {accepted_plans()}; got {_given(text)}")
    record = PLANS[matched[1]]
    shown, question, hints = record.usage, record.question, get_type_hints(record)
    kinds = {field.name: hints[field.name] for field in fields(record)}  # type: ignore[arg-type]
    lists = [name for name in question if kinds[name] not in (int, float)]
    settings: dict[str, Any] = {}
    free: list[str] = []
    for part in (matched[2] or "").split(",") if (matched[2] or "").strip() else []:
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals:
            if settings:
                raise SettingError(f"{shown} takes named settings last, got {_given(text)}")
            free.append(name)
        elif name in settings or name not in kinds or name in lists:
            named = ", ".join(name for name in kinds if name not in lists)
            raise SettingError(f"{shown} takes each of {named} once by name, got {_given(name)}")
        else:
            settings[name] = _value(shown, name, kinds[name], value)
    if lists:
        (name,) = question
        settings[name] = tuple(_value(shown, "each radius", float, piece) for piece in free)
    elif len(free) > len(question):
        raise SettingError(f"{shown} takes {len(question)} unnamed settings, got {len(free)}: {_given(text)}")
    else:
        for name, piece in zip(question, free, strict=False):
            if name in settings:
                raise SettingError(f"{shown} takes {name} once, got {_given(text)}")
            settings[name] = _value(shown, name, kinds[name], piece)
    try:
        return record(**settings)
    except TypeError as error:
        raise SettingError(f"{_given(text)} lacks a setting; write it as {shown}") from error


def asked_radii(text: str) -> tuple[float, ...]:
    """Return the radii that the plan of this text was asked about.

    None where it finds them itself, or where no plan of this text is registered here.

    >>> asked_radii("curve(0.25,0.5)"), asked_radii("fixed(100,1000)"), asked_radii("")
    ((0.25, 0.5), (), ())
    """
    try:
        return parse_plan(text).asked_radii
    except SettingError:
        return ()


def among(text: str) -> int:
    """Return among how many of the most probable classes the plan of this text puts what it predicts.

    >>> among("top_k(5,100,1000)"), among("fixed(100,1000)"), among("")
    (5, 1, 1)
    """
    try:
        return parse_plan(text).among
    except SettingError:
        return 1


def _value(shown: str, name: str, kind: type, text: str) -> float:
    """Return ``text`` as the whole or real number the setting wants."""
    if kind is int:
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
