"""Random streams keyed by (seed, example, chunk).

Every certificate needs noise that depends on nothing but its key: not on the batch size, the order
of images, the number of workers or an interruption. PyTorch's CPU generator is the fastest normal
sampler at hand, but its ``manual_seed`` keeps only 32 bits, so that a test set's 10^7 chunks would
collide. Its Mersenne state is therefore filled with words from Philox4x64 (Salmon et al. 2011), a
counter-based generator that takes the whole key: seed and example are its 128-bit key, the chunk
chooses the place in its stream. No two keys share words.

On CUDA the generator is itself a Philox, with a 64-bit key that is taken from the same place. The
two devices give different noise for the same key.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np
import torch

from sfumato.errors import SettingError, SfumatoError

_WORDS = 624
_BLOCKS = _WORDS // 8  # Philox gives four words of 64 bits for each step of its counter
_STATE_OFFSET = 24  # bytes: initial seed (8), left (4), seeded (4), next (8); then one uint64 per word
_LEFT_OFFSET = 8


def keyed_generator(
    seed: int, example: int, chunk: int, device: torch.device | str = "cpu"
) -> torch.Generator:
    """Return a generator whose stream is a function of the key alone.

    Seed and example are whole numbers of at least 0 and below 2^63, the chunk below 2^56.

    >>> first = torch.randn(3, generator=keyed_generator(0, 7, 1))
    >>> again = torch.randn(3, generator=keyed_generator(0, 7, 1))
    >>> bool((first == again).all())
    True

    Raises:
        SettingError: a part out of range.
    """
    return next(keyed_generators(seed, example, range(chunk, chunk + 1), device))


def keyed_generators(
    seed: int, example: int, chunks: range, device: torch.device | str = "cpu"
) -> Iterator[torch.Generator]:
    """Yield for each of the consecutive chunks what ``keyed_generator`` returns, at a fraction of the cost.

    It is one generator that is set anew: finish with it before asking for the next.

    Raises:
        SettingError: a part out of range.
    """
    if not (min(seed, example, chunks.start) >= 0 and max(seed, example) < 2**63 and chunks.stop <= 2**56):
        raise SettingError(
            "seed and example must lie in 0..2^63 - 1 and chunks in 0..2^56 - 1, "
            f"got {seed}, {example}, {chunks.start}..{chunks.stop - 1}"
        )
    device = torch.device(device)
    key = np.array([seed, example], dtype=np.uint64)
    counter = np.array([chunks.start * _BLOCKS, 0, 0, 0], dtype=np.uint64)
    words = np.random.Philox(key=key, counter=counter).random_raw(len(chunks) * _WORDS // 2)
    generator = torch.Generator(device=device)
    if device.type != "cpu":
        for first in words[:: _WORDS // 2]:
            generator.manual_seed(int(first) >> 1)
            yield generator
        return
    _check_state_layout()
    states = np.repeat(_blank_state()[None], len(chunks), axis=0)
    states[:, _STATE_OFFSET : _STATE_OFFSET + 8 * _WORDS].view(np.uint64)[:] = words.view(np.uint32).reshape(
        len(chunks), _WORDS
    )
    for state in states:
        # a tensor of its own for each: set_state reads past a tensor that begins inside its storage
        generator.set_state(torch.from_numpy(state))
        yield generator


@functools.cache
def _blank_state() -> np.ndarray:
    """Return a seeded state with no half-used normal and one word left, so the next draw twists."""
    blank = torch.Generator().manual_seed(0).get_state().numpy()
    blank[_LEFT_OFFSET : _LEFT_OFFSET + 4].view(np.int32)[:] = 1
    return blank


@functools.cache
def _check_state_layout() -> None:
    """Compare one stream with NumPy's Mersenne twister: the layout is PyTorch's private matter."""
    words = np.random.Philox(key=1).random_raw(_WORDS // 2).view(np.uint32)
    twister = np.random.MT19937(0)
    twister.state = {"bit_generator": "MT19937", "state": {"key": words, "pos": _WORDS}}
    state = _blank_state().copy()
    state[_STATE_OFFSET : _STATE_OFFSET + 8 * _WORDS].view(np.uint64)[:] = words
    generator = torch.Generator()
    generator.set_state(torch.from_numpy(state))
    drawn = torch.empty(8, dtype=torch.int32).random_(generator=generator).numpy()
    if not np.array_equal(drawn, twister.random_raw(8) & 0x7FFFFFFF):
        raise SfumatoError(
            f"the generator state of torch {torch.__version__} is not laid out as Sfumato needs it; "
            "install the version of constraints.txt"
        )
