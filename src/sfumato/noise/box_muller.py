r"""From uniform numbers to normal ones: Box & Muller 1958 in float64, rounded once.

``radial`` = U and ``angular`` = V in (0, 1) give scale * sqrt(-2 ln U) * (cos 2 pi V, sin 2 pi V).

**How far this is from the Gaussian.** A float32 number is never exactly Gaussian; what can be proved is that
it is the rounding of a number close to an exactly Gaussian one. Let U* and V* be uniform real numbers.
``Stream.uniform`` gives the end of the cell that they lie in: cells have width 2^-53, below 2^-20 width
2^-106, and the number is rounded to float64. Let r* = sqrt(-2 ln U*) and z* = r* cos(2 pi V*), which is
exactly normal; r and z are the computed ones. All in units of ``scale``:

- Tail, U < 2^-20: U is within 2^-106 + 2^-53 U* of U*, so ln U within 2^-106 / U* + 2^-53. Let A be the event
  that U* < 2^-80. An image of 150,528 values (3 x 224 x 224) has 75,264 pairs, so A happens to it with
  probability below 75,264 * 2^-80 < 7e-20. Outside A, ln U is within 2^-25 and r, there at least 5.2, within
  2^-25 / 5.2 < 2^-27; where r* < 10, it is within 2^-35.
- Bulk, U >= 2^-20: U is within 2^-53 of U*, ln U within 2^-53 / U, and r within 2^-53 / (U r*) <= 2^-35,
  unless r* < 2^-16, which has probability 2^-33. There sqrt(a) and sqrt(b) never differ by more than
  sqrt(|a - b|): r is within sqrt(2 * 2^-53) = 2^-26.
- Angle: 2 pi V is within 2^-49 of 2 pi V*: the cell, the rounding of pi and of the product.
- Arithmetic: ln, sqrt, cos, sin and the products are wrong by 1 or 2 units in the last place each, together
  by less than a relative 2^-49.

So, with probability at least 1 - 7e-20 for all values of that image together, every value is the float32
rounding of a number that is within 2^-25 of an exactly Gaussian one (nearly always within 2^-34), and these
are independent. What is missing beyond the largest number, 12.1 standard deviations, is inside A. PyTorch's
own float32 ``normal_`` on CPUs has U in steps of 2^-24 and ends at 5.77: it leaves out a mass of 8e-9 for
each value, 1.2e-3 for that image. The tests compare with 128-bit arithmetic.

What is assumed is that the words of the generator are uniform and independent.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch


def box_muller(
    radial: torch.Tensor, angular: torch.Tensor, scales: Sequence[float], outs: Sequence[torch.Tensor]
) -> None:
    """Fill each of ``outs`` (rows, values) with N(0, scale^2) from float64 uniforms (rows, ceil(values / 2)).

    The cosines come first in a row, then the sines; of an odd number of values the last sine is left out.
    All are of the same numbers. Their logarithms, cosines and sines take most of the time and are found once;
    each ``out`` has the bits that it has alone.
    """
    half = radial.shape[1]
    logarithm = radial.log()
    angle = angular * (2.0 * math.pi)
    cosine, sine = angle.cos(), angle.sin_()
    for scale, out in zip(scales, outs, strict=True):
        radius = (logarithm * (-2.0 * scale * scale)).sqrt_()
        out[:, :half] = cosine * radius
        out[:, half:] = radius.mul_(sine)[:, : out.shape[1] - half]
