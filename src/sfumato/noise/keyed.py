"""Random streams keyed by (seed, example, chunk).

Every certificate needs noise that depends on nothing but its key: not on the batch size, the order
of images, the number of workers or an interruption. PyTorch's CPU generator is the fastest normal
sampler at hand, but its ``manual_seed`` keeps only 32 bits, so that a test set's 10^7 chunks would
collide. Its Mersenne state is therefore filled with words from Philox4x64 (Salmon et al. 2011), a
counter-based generator that takes the whole key: seed and example are its 128-bit key, the chunk is
the high word of its counter. No two keys share a stream.

On CUDA the generator is itself a Philox, with a 64-bit key that is taken from the same place. The
two devices give different noise for the same key.
"""

from __future__ import annotations

import functools

import numpy as np
import torch

from sfumato.errors import SettingError, SfumatoError

_WORDS = 624
_STATE_OFFSET = 24  # bytes: initial seed (8), left (4), seeded (4), next (8); then one uint64 per word
_LEFT_OFFSET = 8


def keyed_generator(
    seed: int, example: int, chunk: int, device: torch.device | str = "cpu"
) -> torch.Generator:
    """Return a generator whose stream is a function of the key alone.

    All three parts are whole numbers of at least 0 and below 2^63.

    >>> first = torch.randn(3, generator=keyed_generator(0, 7, 1))
    >>> again = torch.randn(3, generator=keyed_generator(0, 7, 1))
    >>> bool((first == again).all())
    True

    Raises:
        SettingError: a negative part.
    """
    if min(seed, example, chunk) < 0:
        raise SettingError(f"seed, example and chunk must be at least 0, got {seed}, {example}, {chunk}")
    key = np.array([seed, example], dtype=np.uint64)
    philox = np.random.Philox(key=key, counter=np.array([0, 0, 0, chunk], dtype=np.uint64))
    device = torch.device(device)
    if device.type != "cpu":
        return torch.Generator(device=device).manual_seed(int(philox.random_raw()) >> 1)
    _check_state_layout()
    generator = torch.Generator()
    generator.set_state(_mersenne_state(philox.random_raw(_WORDS // 2).view(np.uint32)))
    return generator


def _mersenne_state(words: np.ndarray) -> torch.Tensor:
    """Return a CPU generator state that starts from these 624 words."""
    state = _blank_state().copy()
    state[_STATE_OFFSET : _STATE_OFFSET + 8 * _WORDS].view(np.uint64)[:] = words
    return torch.from_numpy(state)


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
    generator = torch.Generator()
    generator.set_state(_mersenne_state(words))
    drawn = torch.empty(8, dtype=torch.int32).random_(generator=generator).numpy()
    if not np.array_equal(drawn, twister.random_raw(8) & 0x7FFFFFFF):
        raise SfumatoError(
            f"the generator state of torch {torch.__version__} is not laid out as Sfumato needs it; "
            "install the version of constraints.txt"
        )
