"""How a plan is written: its method, the settings that make the question, then what is not default."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import MISSING, fields
from typing import Any


def written(value: float) -> str:
    """Return a number as short as it can be read back exactly.

    >>> written(100000), written(0.25), written(1e6), written(1.0)
    ('100000', '0.25', '1e6', '1')
    """
    if isinstance(value, int):
        return str(value)
    text = f"{value:g}"
    if float(text) != value:
        text = repr(float(value))
    return text.replace("e+0", "e").replace("e+", "e").replace("e-0", "e-")


def plan_name(method: str, plan: Any, question: Sequence[float]) -> str:
    """Return ``method(question, other=setting)`` with the fields of ``plan`` that differ from their defaults.

    Fields without a default, and those named positional in their metadata, are the question.
    """
    others = [
        f"{field.name}={written(getattr(plan, field.name))}"
        for field in fields(plan)
        if field.default is not MISSING
        and not field.metadata.get("positional")
        and getattr(plan, field.name) != field.default
    ]
    return f"{method}({','.join([*map(written, question), *others])})"
