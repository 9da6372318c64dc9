"""Random numbers keyed by what they are for, a seed, an item and a row: the one source of noise.

Every certificate needs noise that depends on nothing but its key: not on the batch size, the order
of images, the number of workers or an interruption. And noise of one use must never be that of another: a
network that was trained on the numbers it is certified with is certified with luck. ``Use`` is the table
of uses; whatever else draws random numbers says where it does so why it is no keyed noise.

A key becomes a stream in two steps. Philox4x64 (Salmon et al. 2011), a counter-based generator, turns
(seed, item) as its key and (chunk, 0, use, part) as its counter into 256 bits. For one Philox key it is a
permutation of the counters, so that no two uses, parts or chunks are given the same bits. They are the
state and the increment of a PCG64DXSM (O'Neill 2014, NumPy's recommended generator), which is twice as
fast and can be moved to any place at once: row r of n values begins at word r * n. So a vote's noise does
not depend on how many votes are drawn with it, or before it.

A device other than the CPU computes the same words from their places (``device_words``). Normal numbers of
two devices may differ in the last bit of float32 where their logarithms or cosines differ in float64.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt64

from sfumato.errors import OutputError, SettingError
from sfumato.noise import device_words
from sfumato.noise.box_muller import box_muller

if TYPE_CHECKING:  # what only reads the table of noises, as a command's help does, need not import it
    import torch

NOISE_VERSION = 2
"""Changes whenever a key gives other noise. Part of the identity of every training and of all votes."""

CHUNK = 32
"""Votes that are not shared out among workers. It changes no number, but stands in every run's identity."""

# Uniform numbers below are drawn more finely: float64 has room for it.
_FINE_BELOW = 2.0**-20
# A part's finer digits have a domain of their own: the highest bit of its counter word.
_FINE = 2**63
# Numbers transformed at a time: they should stay in the processor's cache; on a device there is less to gain.
_BLOCK = 2**16
_DEVICE_BLOCK = 2**22


class Use(IntEnum):
    """What noise is for. A number is never given to another use: it is part of the key.

    Attributes:
        VOTES: noisy copies of the image with this number, a row each.
        TRAINING_NOISE: what training adds in the epoch with this number.
        SHUFFLING: the order of the training set in the epoch with this number.
        AUGMENTATION: random crops, flips and the like in the epoch with this number.
        EVALUATION: noise on test images to watch a training by.
        PROBES: noise on which a network is examined before it votes.
        TUNING: votes that are counted to measure their speed.
        ADVICE: votes of the classifiers that advice is based on.
        STATISTICS: noise on the image with this number, to estimate statistics of batch norms.
        ATTACK: noise that an attack takes its gradients with; the item is the image.
    """

    VOTES = 1
    TRAINING_NOISE = 2
    SHUFFLING = 3
    AUGMENTATION = 4
    EVALUATION = 5
    PROBES = 6
    TUNING = 7
    ADVICE = 8
    STATISTICS = 9
    ATTACK = 10


class Span(NamedTuple):
    """Consecutive rows of one item, an image, say, or an epoch: from ``first`` on, without end by default."""

    item: int
    first: int = 0
    rows: int = 2**56


class Stream:
    """The rows of these spans, one after another; each draw takes as many of the next as it fills.

    The rows are of one size. What needs a second draw for the same rows, or one of another size, takes it
    from another ``part``, to be asked for before anything is drawn.

    Seed and item are whole numbers of at least 0 and below 2^63; rows end before 2^57.

    >>> import torch
    >>> def draw(rows, *spans):
    ...     out = torch.empty(rows, 3)
    ...     Stream(Use.VOTES, 0, *spans).normal(out)
    ...     return out
    >>> bool((draw(10, Span(7))[4:6] == draw(2, Span(7, first=4))).all())
    True

    A stream belongs to one thread.
    """

    def __init__(self, use: Use, seed: int, *spans: Span, part: int = 0) -> None:
        for item, first, rows in spans:
            if not (0 <= seed < 2**63 and 0 <= item < 2**63 and first >= 0 and first + rows <= 2**57):
                raise SettingError(
                    "seed and item of noise must lie in 0..2^63 - 1 and its rows in 0..2^57 - 1, "
                    f"got {seed}, {item}, {first}..{first + rows - 1}"
                )
        self._use, self._seed, self._spans, self._part = use, seed, list(spans), part
        self._width = 0

    def part(self, number: int) -> Stream:
        """Return another stream of the rows not yet drawn; number 0 is this one, and 2^63 - 1 the last."""
        return Stream(self._use, self._seed, *self._spans, part=number)

    def normal(self, out: torch.Tensor, scale: float = 1.0) -> None:
        """Fill ``out`` (rows, *shape), contiguous, with N(0, scale^2); how exactly, ``box_muller`` says."""
        self.normals([out], [scale])

    def normals(self, outs: Sequence[torch.Tensor], scales: Sequence[float]) -> None:
        """Fill each of ``outs`` as ``normal`` would with its scale, all with the same rows of this stream."""
        flat = [out.view(len(out), -1) for out in outs]
        rows, width = flat[0].shape
        half = -(-width // 2)
        at_once = max(1, (_BLOCK if outs[0].device.type == "cpu" else _DEVICE_BLOCK) // (2 * half))
        for begin in range(0, rows, at_once):
            blocks = [one[begin : begin + at_once] for one in flat]
            uniforms = self._uniforms(len(blocks[0]), 2 * half, outs[0].device)
            box_muller(uniforms[:, :half], uniforms[:, half:], scales, blocks)

    def uniform(self, out: torch.Tensor) -> None:
        """Fill the float64 ``out`` (rows, *shape), contiguous, with uniform numbers between 0 and 1.

        They are multiples of 2^-53 from 2^-20 on and of 2^-106 below, neither 0 nor 1: -ln of them is an
        exponential number with all of its tail, and with a sign from another ``part`` a Laplace one.
        """
        flat = out.view(len(out), -1)
        flat.copy_(self._uniforms(len(flat), flat.shape[1], out.device))

    def words(
        self, rows: int, width: int
    ) -> tuple[UInt64[np.ndarray, "rows width"], Callable[[int, int, int], int]]:
        """Return the next rows of whole numbers, uniform in 0 .. 2^64 - 1, the same on every device.

        With them a function of (row, column, number) that returns more such words of a number: its binary
        digits from 64 on, for ``number`` 0, 1, ..., as many as are needed.
        """
        spans = list(self._take(rows, width))
        found = np.empty((rows, width), dtype=np.uint64)
        filled = 0
        for item, first, there in spans:
            generator = _generator_at(self._use, self._seed, item, self._part, first * width)
            raw = generator.bit_generator.random_raw(there * width)
            found[filled : filled + there] = raw.reshape(there, width)
            filled += there

        def more(row: int, column: int, number: int) -> int:
            item, place = _place(spans, row, column, width)
            return _more_bits(self._use, self._seed, item, self._part, place, number)

        return found, more

    def permutation(self, count: int) -> Int[torch.Tensor, " count"]:
        """Return the numbers 0 to ``count`` - 1 in random order; takes one row. Same on every device."""
        import torch

        return torch.from_numpy(
            np.argsort(self._uniforms(1, count, torch.device("cpu"))[0].numpy(), kind="stable")
        )

    def _take(self, rows: int, width: int) -> Iterator[Span]:
        """Yield the spans that hold the next ``rows`` rows, and go on behind them."""
        if self._width not in (0, width):
            raise SettingError(
                f"a stream whose rows have {self._width} numbers was asked for {width}; take another part"
            )
        self._width = width
        while rows:
            if not self._spans:
                raise SettingError(f"a stream was asked for {rows} rows more than it has")
            item, first, there = self._spans.pop(0)
            taken = min(rows, there)
            if there > taken:
                self._spans.insert(0, Span(item, first + taken, there - taken))
            yield Span(item, first, taken)
            rows -= taken

    def _uniforms(self, rows: int, width: int, device: torch.device) -> Float[torch.Tensor, "rows width"]:
        """Return the next rows of numbers strictly between 0 and 1, as ``uniform`` describes them."""
        import torch

        spans = list(self._take(rows, width))
        if device.type != "cpu":
            return self._uniforms_on(device, spans, width)
        found = np.empty((rows, width))
        filled = 0
        for item, first, there in spans:
            generator = _generator_at(self._use, self._seed, item, self._part, first * width)
            generator.random(out=found[filled : filled + there])
            filled += there
        if found.min(initial=1.0) < _FINE_BELOW:
            self._refine(found, spans)
        return torch.from_numpy(found)

    def _refine(self, found: Float[np.ndarray, "rows width"], spans: list[Span]) -> None:
        """Add the digits beyond 2^-53 to small numbers, which float64 has room for."""
        for row, column in np.argwhere(found < _FINE_BELOW).tolist():
            item, place = _place(spans, row, column, found.shape[1])
            generator = _generator_at(self._use, self._seed, item, self._part + _FINE, place)
            found[row, column] += (1.0 - generator.random()) * 2.0**-53

    def _uniforms_on(
        self, device: torch.device, spans: list[Span], width: int
    ) -> Float[torch.Tensor, "rows width"]:
        """Return the rows by arithmetic on the device, which nothing waits for."""
        coarse, fine = (
            [
                device_words.Place(*_state_of(self._use, self._seed, item, self._part + domain), first, rows)
                for item, first, rows in spans
            ]
            for domain in (0, _FINE)
        )
        return device_words.uniforms(coarse, fine, width, _FINE_BELOW, device)


def _place(spans: list[Span], row: int, column: int, width: int) -> tuple[int, int]:
    """Return the item of a row of these spans, and the place of one of its numbers in the item's stream."""
    for item, first, rows in spans:
        if row < rows:
            return item, (first + row) * width + column
        row -= rows
    raise IndexError(row)  # the rows are those that the spans have


def _more_bits(use: Use, seed: int, item: int, part: int, place: int, number: int) -> int:
    """Return further word ``number`` of the number at this place.

    A stream of its own for each ``number``: the chunk's word of the counter, which CPUs leave at 0.
    """
    generator = _generator_at(use, seed, item, part + _FINE, place, 1 + number)
    return int(generator.bit_generator.random_raw())


def require_same_noise(identity: Mapping[str, Any], what: object) -> None:
    """Refuse to go on with what an earlier version began, whose noise was other noise.

    Raises:
        OutputError: ``identity`` has another ``noise_version``, or none.
    """
    if identity.get("noise_version") != NOISE_VERSION:
        raise OutputError(
            f"{what}: was begun by a version of Sfumato that draws other noise, so it cannot be continued; "
            "finish it with that version or choose another output"
        )


class _Generators(threading.local):
    """The generators of one thread, which are set to a key in a microsecond; a new one takes ten."""

    def __init__(self) -> None:
        self.philox = np.random.Philox(key=0)
        self.pcg = np.random.Generator(np.random.PCG64DXSM(0))


_generators = _Generators()


def words_of(use: Use, seed: int, item: int, part: int, chunk: int = 0) -> UInt64[np.ndarray, " 4"]:
    """Return the 256 bits of a key."""
    philox = _generators.philox
    # lists are read faster than the arrays that the type names are made
    state: Any = {
        "bit_generator": "Philox",
        "state": {"counter": [chunk, 0, use, part], "key": [seed, item]},
        "buffer": [0, 0, 0, 0],
        "buffer_pos": 4,  # of a buffer that is used up
        "has_uint32": 0,
        "uinteger": 0,
    }
    philox.state = state
    return philox.random_raw(4)


def _state_of(use: Use, seed: int, item: int, part: int, chunk: int = 0) -> tuple[int, int]:
    """Return the state of a key's stream at place 0, and its increment, which is odd."""
    first, second, third, fourth = words_of(use, seed, item, part, chunk).tolist()
    return first << 64 | second, third << 64 | fourth | 1


def _generator_at(
    use: Use, seed: int, item: int, part: int, place: int, chunk: int = 0
) -> np.random.Generator:
    """Return this thread's generator, about to draw number ``place`` of the key's stream."""
    state, increment = _state_of(use, seed, item, part, chunk)
    generator = _generators.pcg
    generator.bit_generator.state = {
        "bit_generator": "PCG64DXSM",
        "state": {"state": state, "inc": increment},
        "has_uint32": 0,
        "uinteger": 0,
    }
    if place:
        generator.bit_generator.advance(place)  # type: ignore[attr-defined]
    return generator
