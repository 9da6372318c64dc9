"""The options of a training: the fields of its settings, and those of every training method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo


def with_methods(shared: Mapping[str, FieldInfo]) -> dict[str, FieldInfo]:
    """Return the fields with those of all methods, which are None unless given: other methods lack them."""
    from pydantic.fields import FieldInfo

    from sfumato.training.methods.registry import method_class, method_names

    fields = dict(shared)
    fields["method"] = FieldInfo(
        annotation=str, default="gaussian", description=f"training method: {', '.join(method_names())}"
    )
    for name in method_names():
        for own, field in method_class(name).model_fields.items():
            told = f"{field.description} ({name}; default: {field.default})"
            if own in fields and own not in shared:
                told = f"{fields[own].description}; {told}"
            fields[own] = FieldInfo(annotation=field.annotation, default=None, description=told)
    return fields
