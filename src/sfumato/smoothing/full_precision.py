"""Float32 that is float32: no TF32, no bfloat16 inside products, no autocast, whatever the user has set.

What a program has set for its training (``torch.set_float32_matmul_precision``, ``allow_tf32``, an
``autocast`` around the call) would move logits by a thousandth and more, in some threads and not in others.
All of it is put aside while votes are counted, and put back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

_lock = threading.Lock()
_inside = 0
_put_back: Callable[[], None] | None = None


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Compute what is inside the block in the precision of its tensors.

    Settings of the whole process are changed by the first block that is entered and put back by the last one
    that is left. Autocast is switched off in the calling thread.
    """
    global _inside, _put_back
    with _lock:
        if _inside == 0:
            _put_back = _require_ieee()
        _inside += 1
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0 and _put_back is not None:
                _put_back()


def _require_ieee() -> Callable[[], None]:
    """Switch every shortened float32 arithmetic off; return what sets everything as it was."""
    products, convolutions = torch.get_float32_matmul_precision(), _cudnn_shortens()
    operations = _operations()
    before = [operation.fp32_precision for operation in operations]

    def put_back() -> None:
        torch.set_float32_matmul_precision(products)
        if convolutions is not None:
            torch.backends.cudnn.allow_tf32 = convolutions
        for operation, precision in zip(operations, before, strict=True):
            operation.fp32_precision = precision

    torch.set_float32_matmul_precision("highest")
    if convolutions is not None:
        torch.backends.cudnn.allow_tf32 = False
    for operation in operations:
        operation.fp32_precision = "ieee"
    return put_back


def _cudnn_shortens() -> bool | None:
    try:
        return bool(torch.backends.cudnn.allow_tf32)
    except RuntimeError:  # set by the newer interface, which is asked for each operation
        return None


def _operations() -> list[Any]:
    """Return the settings that PyTorch 2.9 and later keep for each kind of operation."""
    backends = (torch.backends.cuda, torch.backends.cudnn, torch.backends.mkldnn)
    kinds = [getattr(backend, kind, None) for backend in backends for kind in ("matmul", "conv", "rnn")]
    return [kind for kind in kinds if hasattr(kind, "fp32_precision")]
