"""Where scripts written for version 0.1 find certificates; they live in ``sfumato.certification`` now."""

from __future__ import annotations

import importlib
from typing import Any

_MOVED = {
    "Certificate": "sfumato.certification.certificate",
    "parse_row": "sfumato.certification.table",
    "read_certificates": "sfumato.certification.certificates",
}


def __getattr__(name: str) -> Any:
    if name not in _MOVED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MOVED[name]), name)
