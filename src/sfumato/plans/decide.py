"""Is the prediction certified at this radius, yes or no: the question behind a certified-accuracy table.

It is ``curve`` of one radius. Prefer it to ``fixed`` when one radius is of interest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sfumato.errors import require_nonnegative
from sfumato.plans.curve import CHUNK, COST, N_MAX, GridPlan


@dataclass(frozen=True)
class Decide(GridPlan):
    """A yes or no at one radius.

    With probability at least ``confidence`` over the noise, for each image: if a class is returned, the
    smoothed classifier returns it everywhere within ``radius``. Not being certified says nothing about
    robustness. If labels are known, only the label is tested, at the full level, and the voting stops as soon
    as the label cannot be certified. The prediction is then the label or ``ABSTAIN``.

    ``n_max`` caps the votes, ``chunk`` is the number of votes between the first looks, ``cost`` is how many
    votes may be spent for one certified image more: it changes the number of votes, not the guarantee.

    >>> import numpy as np
    >>> from sfumato.noise import Gaussian
    >>> run = Decide(0.25).start(1, 2, noise=Gaussian(0.5), confidence=0.999)
    >>> run.update(np.array([[32, 0]])); run.decisions()[0].prediction, run.decisions()[0].votes
    (0, 32)

    Raises:
        SettingError: a radius below 0, a cap below the first look, a cost that is not positive.
    """

    radius: float
    n_max: int = N_MAX
    chunk: int = CHUNK
    cost: float = COST
    method: ClassVar[str] = "decide"
    question: ClassVar[tuple[str, ...]] = ("radius",)
    usage: ClassVar[str] = "decide(radius)"

    def __post_init__(self) -> None:
        """Refuse settings no test can be made of."""
        require_nonnegative("radius", self.radius)
        super().__post_init__()

    @property
    def asked_radii(self) -> tuple[float, ...]:
        """The one radius."""
        return (self.radius,)
