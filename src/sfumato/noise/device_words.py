r"""The words of PCG64DXSM streams on any device: the same bits as NumPy's, each computed from its place.

A stream (O'Neill 2014, as in NumPy) is a linear congruential generator of 128 bits,

    s(k + 1) = a s(k) + c  mod 2^128,   so   s(k) = a^k s(0) + (1 + a + ... + a^(k - 1)) c,

whose output is a function of s(k). Row r of ``width`` numbers begins at place r * width. With the powers and
the sums of powers of ``width`` columns, and the state at each row's beginning, every number is a few products
of whole numbers. So a batch takes as many operations whatever the number of its images (on a GPU they are one
kernel, made by torch.compile), nothing waits for the device, and a GPU draws what a CPU draws.

128-bit numbers are pairs of int64, whose products wrap around modulo 2^64 as those of unsigned numbers do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float, Int

if TYPE_CHECKING:
    import torch

MULTIPLIER = 0xDA942042E4DD58B5
_MODULUS = 2**128
_HALF = 2**32 - 1
_SIGN = -(2**63)


class Place(NamedTuple):
    """A run of rows of one stream: its state and increment at place 0, its first row, and how many."""

    state: int
    increment: int
    first: int
    rows: int


class _Pair(NamedTuple):
    """Numbers of 128 bits, by their upper and lower 64 bits."""

    high: Int[torch.Tensor, "..."]
    low: Int[torch.Tensor, "..."]


def digits(places: Sequence[Place], width: int, device: torch.device) -> Int[torch.Tensor, "rows width"]:
    """Return the upper 53 bits of each word of these rows, as NumPy's ``Generator.random`` takes them."""
    states, increments = _at_rows(places, width)
    arguments = (_pair(states, device), _pair(increments, device), *_columns(width, device))
    return _computed(device)(*(half for pair in arguments for half in pair))


def uniforms(
    coarse: Sequence[Place], fine: Sequence[Place], width: int, below: float, device: torch.device
) -> Float[torch.Tensor, "rows width"]:
    """Return the numbers of these rows; those smaller than ``below`` have digits of the rows ``fine`` too."""
    found = digits([*coarse, *fine], width, device).double().mul_(2.0**-53)
    numbers, further = found.tensor_split(2)
    return numbers + (numbers < below) * (1.0 - further).mul_(2.0**-53)


def _computed(device: torch.device) -> Callable[..., Int[torch.Tensor, "rows width"]]:
    """Return ``_digits``, on a GPU as one kernel."""
    return _one_kernel() if device.type == "cuda" else _digits


@cache
def _one_kernel() -> Callable[..., Int[torch.Tensor, "rows width"]]:
    """Return ``_digits`` compiled; as it is where PyTorch has no compiler. The numbers are the same."""
    import torch

    compiled = torch.compile(_digits, dynamic=True)
    try:
        compiled(*[torch.zeros(2, dtype=torch.int64, device="cuda")] * 8)
    except Exception:  # whatever a compiler does that is not there
        return _digits
    return compiled


def _digits(*halves: Int[torch.Tensor, "..."]) -> Int[torch.Tensor, "rows width"]:
    """Return the digits from the halves of: states and increments of rows, powers and sums of columns."""
    rows = [half.unsqueeze(1) for half in halves[:4]]
    row_states, row_increments = _Pair(*rows[:2]), _Pair(*rows[2:])
    powers, sums = _Pair(*halves[4:6]), _Pair(*halves[6:])
    state = _sum(_product(row_states, powers), _product(row_increments, sums))
    return _shifted(_output(state), 11)


def _at_rows(places: Sequence[Place], width: int) -> tuple[list[int], list[int]]:
    """Return the state at the beginning of each row, and the increment of its stream."""
    step, step_sum = _jump(width)
    states, increments = [], []
    for place in places:
        power, total = _jump(place.first * width)
        state = (power * place.state + total * place.increment) % _MODULUS
        added = step_sum * place.increment % _MODULUS
        for _ in range(place.rows):
            states.append(state)
            state = (step * state + added) % _MODULUS
        increments += [place.increment] * place.rows
    return states, increments


def _jump(count: int) -> tuple[int, int]:
    """Return a^count and 1 + a + ... + a^(count - 1), modulo 2^128 (Brown 1994)."""
    power, total = 1, 0
    square, added = MULTIPLIER, 1
    while count:
        if count & 1:
            power, total = power * square % _MODULUS, (total * square + added) % _MODULUS
        square, added = square * square % _MODULUS, (square + 1) * added % _MODULUS
        count >>= 1
    return power, total


@lru_cache(maxsize=8)
def _columns(width: int, device: torch.device) -> tuple[_Pair, _Pair]:
    """Return a^k and 1 + a + ... + a^(k - 1) for each column k, on the device."""
    powers, sums = [1], [0]
    for _ in range(width - 1):
        sums.append((sums[-1] + powers[-1]) % _MODULUS)
        powers.append(powers[-1] * MULTIPLIER % _MODULUS)
    return _pair(powers, device), _pair(sums, device)


def _pair(numbers: Sequence[int], device: torch.device) -> _Pair:
    import torch

    halves = np.array(
        [[number >> 64 for number in numbers], [number % 2**64 for number in numbers]], np.uint64
    )
    high, low = torch.from_numpy(halves.view(np.int64)).to(device, non_blocking=True)
    return _Pair(high, low)


def _shifted(x: torch.Tensor, bits: int) -> torch.Tensor:
    """Return the unsigned number shifted to the right: int64 alone would repeat its sign."""
    shifted: torch.Tensor = (x >> bits) & (2 ** (64 - bits) - 1)
    return shifted


def _upper_product(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return the upper 64 of the 128 bits of a product of unsigned numbers, from halves of 32 bits."""
    x_high, x_low, y_high, y_low = _shifted(x, 32), x & _HALF, _shifted(y, 32), y & _HALF
    one, other = x_high * y_low, x_low * y_high
    middle = _shifted(x_low * y_low, 32) + (one & _HALF) + (other & _HALF)
    return x_high * y_high + _shifted(one, 32) + _shifted(other, 32) + (middle >> 32)


def _product(x: _Pair, y: _Pair) -> _Pair:
    """Return x y modulo 2^128."""
    high = _upper_product(x.low, y.low) + x.low * y.high + x.high * y.low
    return _Pair(high, x.low * y.low)


def _sum(x: _Pair, y: _Pair) -> _Pair:
    """Return x + y modulo 2^128."""
    low = x.low + y.low
    carry = (low ^ _SIGN) < (x.low ^ _SIGN)  # compared as unsigned numbers
    return _Pair(x.high + y.high + carry, low)


def _output(state: _Pair) -> Int[torch.Tensor, "rows width"]:
    """Return the word of a state: PCG's double xorshift and multiplication (DXSM)."""
    word = state.high ^ _shifted(state.high, 32)
    word = word * (MULTIPLIER - 2**64)  # as a signed number
    word = word ^ _shifted(word, 48)
    return word * (state.low | 1)
