"""A model's answers to fixed inputs, which show whether a table is continued with the same model.

The weights of a user's network do not show its code, and the weights of a black box are not visible. So every
table keeps three numbers that depend on all outputs of the model, for some images of its data set and noisy
copies of them. Other code, or another service behind the same address, gives other numbers; rounding is
allowed for.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from sfumato.datasets.on_demand import Examples
from sfumato.noise import Gaussian, Span, Stream, Use
from sfumato.smoothing.smoothed import Smoothed

_IMAGES = 16
_BATCH = 8
# a model whose logits change by 1e-4 of the largest when asked again is refused as not deterministic
_TOLERANCE = 1e-3

Answers = list[str]
"""Three numbers each; as text, since JSON has no infinite ones."""


def answers(smoothed: Smoothed, x: Examples) -> Answers:
    """Return the largest output, the root mean square and a weighted sum of them, for 32 fixed inputs.

    They are 16 images from the whole of ``x``, and one copy of each with noise of beta.

    Raises:
        DataError, ModelError, SfumatoError: as ``Smoothed.check``.
    """
    images = x[np.linspace(0, len(x) - 1, min(_IMAGES, len(x))).round().astype(int)]
    smoothed.check(images[:1])
    noisy = Gaussian(smoothed.beta).add(torch.from_numpy(images), Stream(Use.PROBES, 0, Span(1)))
    inputs = torch.cat([torch.from_numpy(images), noisy])
    batch = min(_BATCH, smoothed.configuration.batch_size)
    parts = [smoothed.outputs(inputs[i : i + batch]) for i in range(0, len(inputs), batch)]
    outputs = torch.cat(parts).double().cpu().numpy()
    weights = np.cos(np.arange(1, outputs.shape[1] + 1))
    with np.errstate(all="ignore"):
        found = [outputs.max(axis=1), np.sqrt((outputs**2).mean(axis=1)), outputs @ weights]
    return [" ".join(f"{number:.7g}" for number in row) for row in np.stack(found, axis=1)]


def difference(before: object, now: Answers | None) -> str | None:
    """Return in what the answers differ by more than rounding, None if they agree or are not asked for.

    >>> difference(["2.5 1.1 0"], ["2.5000001 1.1 0"])
    >>> difference(["2.5 1.1 0"], ["2.5 1.1 -1"])
    'its outputs for input 1 of 1 were 2.5 1.1 0, and are 2.5 1.1 -1 now'
    """
    if now is None:
        return None
    if not isinstance(before, list) or len(before) != len(now):
        return "its answers are not recorded"
    for number, (old, new) in enumerate(zip(before, now, strict=True), 1):
        if not _same(str(old), new):
            return f"its outputs for input {number} of {len(now)} were {str(old)[:80]}, and are {new} now"
    return None


def _same(old: str, new: str) -> bool:
    try:
        numbers = [(float(a), float(b)) for a, b in zip(old.split(), new.split(), strict=True)]
    except ValueError:
        return False
    scale = max((abs(b) for _, b in numbers if math.isfinite(b)), default=0.0)
    return all(
        a == b or abs(a - b) <= _TOLERANCE * scale or (math.isnan(a) and math.isnan(b)) for a, b in numbers
    )
