"""Counting votes: class counts of the base classifier over noisy copies of images.

The noise of an example is one endless sequence, cut into chunks; chunk k is drawn from the stream
keyed by (seed, example, k). Vote v is row v mod CHUNK of chunk v div CHUNK. What is counted for an
image is therefore a function of its key and of which votes are asked for, and of nothing else:
batches are filled across chunks and images in whatever way suits the hardware. Only one batch of
noisy copies is held at any time, so memory does not grow with the number of votes.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Int

from sfumato.errors import SettingError, require_count
from sfumato.noise import Gaussian, keyed_generator
from sfumato.smoothing.base_classifier import INVALID, BaseClassifier

CHUNK = 32
"""Noisy copies drawn from one key, as many as sequential plans ask for at a time. Part of every run's
identity: another value is other noise."""


class VoteCounter:
    """Counts votes under one noise, in batches of ``batch_size`` noisy copies."""

    def __init__(
        self,
        classifier: BaseClassifier,
        noise: Gaussian,
        num_classes: int,
        *,
        seed: int,
        batch_size: int,
    ) -> None:
        self._classifier = classifier
        self._noise = noise
        self._num_classes = num_classes
        self._seed = require_count("seed", seed, minimum=0)
        self._batch_size = require_count("batch_size", batch_size)

    def count(
        self,
        images: torch.Tensor,
        examples: Int[np.ndarray, " images"],
        first: Int[np.ndarray, " images"],
        votes: Int[np.ndarray, " images"],
    ) -> Int[np.ndarray, "images classes"]:
        """Return the class counts of votes ``first[i] .. first[i] + votes[i] - 1`` of each image.

        ``images`` is (images, *shape) on the classifier's device; ``examples`` are the keys of their
        noise. Votes for which the model returns NaN are counted for no class.
        """
        if int(votes.min(initial=0)) < 0 or int(first.min(initial=0)) < 0:
            raise SettingError("first and votes must be at least 0 for every image")
        width = self._num_classes + 1  # the last column takes the invalid votes
        tally = torch.zeros(len(images) * width, dtype=torch.int64, device=images.device)
        for batch, slots in self._batches(images, examples, first, votes):
            winners = self._classifier.classes(batch)
            columns = torch.where(winners == INVALID, self._num_classes, winners)
            tally += torch.bincount(slots * width + columns, minlength=len(tally))
        counts: np.ndarray = tally.view(len(images), width)[:, : self._num_classes].cpu().numpy()
        return counts

    def _batches(
        self,
        images: torch.Tensor,
        examples: Int[np.ndarray, " images"],
        first: Int[np.ndarray, " images"],
        votes: Int[np.ndarray, " images"],
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield full batches of noisy copies with the image each belongs to; the last may be short.

        The batch is a buffer that is overwritten after it has been consumed.
        """
        size = min(self._batch_size, max(1, int(votes.sum())))
        batch = torch.empty((size, *images.shape[1:]), device=images.device)
        slots = torch.empty(size, dtype=torch.int64, device=images.device)
        filled = 0
        for slot, piece in self._pieces(images, examples, first, votes):
            done = 0
            while done < len(piece):
                take = min(len(piece) - done, size - filled)
                target = batch[filled : filled + take]
                torch.add(images[slot], piece[done : done + take], alpha=self._noise.scale, out=target)
                slots[filled : filled + take] = slot
                done, filled = done + take, filled + take
                if filled == size:
                    yield batch, slots
                    filled = 0
        if filled:
            yield batch[:filled], slots[:filled]

    def _pieces(
        self,
        images: torch.Tensor,
        examples: Int[np.ndarray, " images"],
        first: Int[np.ndarray, " images"],
        votes: Int[np.ndarray, " images"],
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """Yield (image, standard noise of some of its votes) in the order of votes."""
        shape = (CHUNK, *images.shape[1:])
        for slot in range(len(images)):
            vote, stop = int(first[slot]), int(first[slot] + votes[slot])
            while vote < stop:
                chunk, row = divmod(vote, CHUNK)
                rows = min(CHUNK - row, stop - vote)
                generator = keyed_generator(self._seed, int(examples[slot]), chunk, images.device)
                yield slot, self._noise.standard(shape, generator)[row : row + rows]
                vote += rows
