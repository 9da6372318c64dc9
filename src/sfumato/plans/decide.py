"""Is the prediction certified at this radius, yes or no: the question behind a certified-accuracy table.

One exact sequential test of p_A against Phi(radius / beta), all votes used for class selection and
certification alike (``grid`` has the proof). Prefer it to ``fixed`` when one radius is of interest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from sfumato.errors import require_nonnegative, require_positive
from sfumato.plans.grid import CHUNK, COST, N_MAX, GridRun, plan_grid
from sfumato.plans.names import plan_name
from sfumato.statistics.sequential import look_schedule


@dataclass(frozen=True)
class Decide:
    """A yes or no at one radius.

    With probability at least ``confidence`` over the noise, for each image: if a class is returned, the
    smoothed classifier returns it everywhere within ``radius``. Not being certified says nothing
    about robustness. With labels only the label is tested, at the full level, and the voting stops as
    soon as it cannot be certified; the prediction is then the label or ``ABSTAIN``.

    ``n_max`` caps the votes, ``chunk`` is the number of votes between the first looks, ``cost`` the
    number of votes one more certified image is worth (efficiency only).

    >>> run = Decide(0.25).start(1, 2, beta=0.5, confidence=0.999)
    >>> run.update(np.array([[32, 0]])); run.decisions()[0].prediction, run.decisions()[0].votes
    (0, 32)

    Raises:
        SettingError: a radius below 0, a cap below the first look, a cost that is not positive.
    """

    radius: float
    n_max: int = N_MAX
    chunk: int = CHUNK
    cost: float = COST

    def __post_init__(self) -> None:
        """Refuse settings no test can be made of."""
        require_nonnegative("radius", self.radius)
        look_schedule(self.n_max, self.chunk)
        require_positive("cost", self.cost)

    @property
    def name(self) -> str:
        """The plan as written on the command line."""
        return plan_name("decide", self, [self.radius])

    @property
    def least_votes(self) -> int:
        """The votes that every image gets."""
        return self.chunk

    def start(
        self,
        images: int,
        classes: int,
        *,
        beta: float,
        confidence: float,
        labels: Int[np.ndarray, " images"] | None = None,
    ) -> GridRun:
        """Return the state before the first vote; see ``Plan.start``."""
        test = plan_grid(
            self.name,
            (self.radius,),
            n_max=self.n_max,
            chunk=self.chunk,
            cost=self.cost,
            beta=beta,
            confidence=confidence,
            label_known=labels is not None,
        )
        return GridRun(test, images, classes, labels)
