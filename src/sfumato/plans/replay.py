"""A plan's decision again, from the counts that its rounds were recorded with.

A decision is a function of the plan, the noise, the confidence and the class counts of each round, and of
nothing else. So a recorded decision can be derived again without the network, and the tests of other radii
can be made on the same votes. ``Run.written_counts`` writes the record.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int

from sfumato.errors import DataError, SettingError
from sfumato.plans.base import Decision, Plan

if TYPE_CHECKING:
    from sfumato.noise import Noise

_WRITTEN = re.compile(r"[0-9]{1,7}(\|([0-9]{1,7}=[0-9]{1,15}( [0-9]{1,7}=[0-9]{1,15})*)?)+\Z")
_MOST_CLASSES = 1_000_000


def read_counts(text: str) -> Int[np.ndarray, "rounds classes"]:
    """Return the class counts of each round from the text of ``Run.written_counts``.

    >>> read_counts("3|2=98 0=2|2=7")
    array([[ 2,  0, 98],
           [ 0,  0,  7]])

    Raises:
        DataError: another text, or a class that the number of classes does not have.
    """
    if not _WRITTEN.match(text):
        raise DataError(f"counts must be like 10|3=98 5=2|3=1000, got {text[:40]!r}")
    first, *rounds = text.split("|")
    classes = int(first)
    if not 2 <= classes <= _MOST_CLASSES:
        raise DataError(f"counts must be of 2 to {_MOST_CLASSES} classes, got {classes}")
    counts = np.zeros((len(rounds), classes), dtype=np.int64)
    for row, written in zip(counts, rounds, strict=True):
        for part in written.split():
            named, votes = map(int, part.split("="))
            if named >= classes or row[named]:
                raise DataError(f"counts name class {named} twice or have only {classes} classes")
            row[named] = votes
    return counts


def replayed(plan: Plan, text: str, *, noise: Noise, confidence: float, label: int | None = None) -> Decision:
    """Return what ``plan`` decides about one image whose rounds had these counts.

    ``label`` is the true class where the plan knew it.

    Raises:
        DataError: counts that the plan cannot have got: of too many votes, or of more or fewer rounds.
        SettingError: as ``Plan.start``.
    """
    counts = read_counts(text)
    known = None if label is None else np.array([label])
    run = plan.start(1, counts.shape[1], noise=noise, confidence=confidence, labels=known)
    try:
        for row in counts:
            run.update(row[None])
    except SettingError as error:
        raise DataError(f"the counts are none that {plan.name} can have got: {error}") from error
    if left := int(run.demand()[0]):
        raise DataError(f"{plan.name} would have asked for {left} more votes than the counts hold")
    return run.decisions()[0]
