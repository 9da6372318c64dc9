"""For programs that were saved for batches of certain sizes: other batches are divided and filled up."""

from __future__ import annotations

from collections.abc import Callable

import torch


def in_batches(
    call: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, least: int, most: int | None
) -> torch.Tensor:
    """Return the answers to ``x`` of what takes ``least`` to ``most`` rows at once (None: any number).

    Rows of zeros fill up what is left over; their answers are dropped.

    >>> in_batches(lambda rows: rows.sum(1, keepdim=True), torch.ones(5, 2), 2, 2).flatten()
    tensor([2., 2., 2., 2., 2.])
    """
    answers = []
    for rows in torch.split(x, most or len(x)):
        missing = max(0, least - len(rows))
        filled = torch.cat([rows, rows.new_zeros(missing, *rows.shape[1:])]) if missing else rows
        answers.append(call(filled)[: len(rows)])
    return torch.cat(answers)
