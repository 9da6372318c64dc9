"""The largest radius of a grid that is certified, one pass over the votes for the whole grid.

One exact sequential test per radius on the same votes (``grid`` has the proof that all radii and
classes hold together). Prefer it to ``decide`` for a whole certified-accuracy curve.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from sfumato.errors import SettingError, require_nonnegative, require_positive
from sfumato.statistics.plans.grid import CHUNK, COST, N_MAX, GridRun, plan_grid
from sfumato.statistics.plans.names import plan_name
from sfumato.statistics.sequential import look_schedule


@dataclass(frozen=True)
class Curve:
    """The largest certified radius of an increasing grid.

    With probability at least ``confidence`` over the noise, for each image: if a class is returned, the
    smoothed classifier returns it everywhere within the returned radius, hence within all smaller
    radii of the grid: the whole curve holds at once. Radii that ``n_max`` agreeing votes cannot
    certify at the given noise are never certified. Labels and the other settings: as ``Decide``.

    >>> run = Curve((0.25, 0.5)).start(1, 2, beta=0.5, confidence=0.999)
    >>> while run.demand().any():
    ...     run.update(run.demand()[:, None] * np.array([[1, 0]]))
    >>> run.decisions()[0].radius, run.decisions()[0].votes
    (0.5, 64)

    Raises:
        SettingError: a grid that is empty, negative or not increasing, and as ``Decide``.
    """

    radii: tuple[float, ...]
    n_max: int = N_MAX
    chunk: int = CHUNK
    cost: float = COST

    def __post_init__(self) -> None:
        """Refuse settings no test can be made of."""
        object.__setattr__(self, "radii", tuple(self.radii))
        if not self.radii:
            raise SettingError("radii must name at least one radius, got none")
        for radius in self.radii:
            require_nonnegative("each radius", radius)
        if any(low >= high for low, high in zip(self.radii, self.radii[1:], strict=False)):
            given = ", ".join(f"{radius:g}" for radius in self.radii)
            raise SettingError(f"radii must be strictly increasing, got {given}")
        look_schedule(self.n_max, self.chunk)
        require_positive("cost", self.cost)

    @property
    def name(self) -> str:
        """The plan as written on the command line."""
        return plan_name("curve", self, self.radii)

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
            self.radii,
            n_max=self.n_max,
            chunk=self.chunk,
            cost=self.cost,
            beta=beta,
            confidence=confidence,
            label_known=labels is not None,
        )
        return GridRun(test, images, classes, labels)
