"""Equal balls at random with a gap between them: random sequential adsorption, to proved saturation.

Balls arrive one after the other at uniformly random places and stay if their surface is at least the
interference distance zeta away from every ball already there. The sequence keeps its exact law, but no time
is spent on places that cannot accept a ball. As in Zhang & Torquato 2013 ("Precise algorithm to generate
random sequential addition of hard hyperspheres at saturation"), candidates are drawn from a list of voxels
that holds all the free space, and voxels that lie inside one exclusion ball are dropped. When no voxel is
left, the packing is proved to be saturated.

Module ``coverage`` puts a region on a grid and ``fields`` smooths it there. The published experiment's own
sampler is in ``paper_packing``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree
from scipy.special import gammaln

from sfumato.errors import SettingError, require_count, require_nonnegative, require_positive

# A voxel is dropped only if it lies inside an exclusion ball smaller than the true one by this share, so
# that rounding never declares free space covered.
SAFETY = 1e-12
# Gaps narrower than 2^-45 of a voxel are below what double precision resolves.
MOST_LEVELS = 45
# More voxels than this take too much memory: sampling then goes on without finer voxels, saturation unproved.
MOST_VOXELS = 6_000_000
LARGEST_BATCH = 1_000_000


@dataclass(frozen=True, eq=False)
class BallUnion:
    """A region made of equal balls that do not overlap, on a torus or in a box.

    Attributes:
        centres: (number, dim), in [0, side) on a torus and in [0, side] in a box.
        radius: of every ball, in the unit of ``side``.
        side: of the torus or box.
        periodic: a torus if true; otherwise a box, and a ball may stick out of it.

    >>> BallUnion(np.array([[2.0, 2.0], [7.0, 2.0]]), radius=1.0, side=10.0)
    BallUnion(number=2, dim=2, radius=1, side=10, periodic=True)
    """

    centres: Float[np.ndarray, "number dim"]
    radius: float
    side: float
    periodic: bool = True

    def __post_init__(self) -> None:
        require_positive("radius", self.radius)
        require_positive("side", self.side)
        centres = np.array(self.centres, dtype=np.float64)
        if centres.ndim != 2 or centres.shape[1] < 1:
            raise SettingError(f"centres must have the shape (number, dim), got {centres.shape}")
        highest = np.nextafter(self.side, 0.0) if self.periodic else self.side
        if not bool(np.all((centres >= 0.0) & (centres <= highest))):
            raise SettingError(f"centres must lie within 0 and the side {self.side:g}, and one does not")
        if self.periodic and self.side < 2 * self.radius:
            raise SettingError(
                f"side must be at least 2 * radius = {2 * self.radius:g} on a torus, got {self.side:g}"
            )
        centres.setflags(write=False)
        object.__setattr__(self, "centres", centres)
        # Slack for centres placed at exactly the touching distance.
        gap = self.interference_distance()
        if gap < -1e-9 * self.radius:
            raise SettingError(f"balls must not overlap, and two overlap by {-gap:g}")

    def __repr__(self) -> str:
        return (
            f"BallUnion(number={self.number}, dim={self.dim}, radius={self.radius:g}, "
            f"side={self.side:g}, periodic={self.periodic})"
        )

    @property
    def number(self) -> int:
        """Number of balls."""
        return int(self.centres.shape[0])

    @property
    def dim(self) -> int:
        """Dimension of the space."""
        return int(self.centres.shape[1])

    @property
    def density(self) -> float:
        """Volume of the balls over the volume of the torus or box (balls counted whole).

        >>> BallUnion(np.array([[2.0, 2.0]]), radius=1.0, side=10.0).density
        0.031415926535897934
        """
        return self.number * ball_volume(self.dim, self.radius) / self.side**self.dim

    def interference_distance(self) -> float:
        """Return the smallest gap between the surfaces of two balls, infinite for fewer than two.

        Only distinct balls are compared; on a torus by their nearest images.

        >>> BallUnion(np.array([[1.0, 5.0], [9.0, 5.0]]), radius=0.5, side=10.0).interference_distance()
        1.0
        """
        if self.number < 2:
            return math.inf
        tree = _tree(self.centres, self.side if self.periodic else None)
        distances = np.asarray(tree.query(self.centres, k=2)[0])
        return float(distances[:, 1].min()) - 2 * self.radius


@dataclass(frozen=True)
class Packing:
    """The result of sequential adsorption.

    Attributes:
        balls: the region, centres in the order of arrival.
        attempts: candidates of the sequential process so far, hopeless ones that were never drawn included
            (their number is drawn from its exact law).
        saturated: true if it is proved that no further ball fits.
    """

    balls: BallUnion
    attempts: int
    saturated: bool


def ball_volume(dim: int, radius: float) -> float:
    """Return the volume of a ball.

    >>> ball_volume(2, 1.0), round(ball_volume(3, 2.0), 6)
    (3.141592653589793, 33.510322)
    """
    return float(math.exp(dim / 2 * math.log(math.pi) - gammaln(dim / 2 + 1))) * radius**dim


def pack_balls(
    dim: int,
    side: float,
    radius: float,
    zeta: float,
    *,
    seed: int | np.random.SeedSequence,
    periodic: bool = True,
    attempts: int | None = None,
    number: int | None = None,
) -> Packing:
    """Return balls of one radius placed by random sequential adsorption, surfaces at least ``zeta`` apart.

    It stops at saturation, at ``number`` balls or after ``attempts`` candidates, whichever comes first. In a
    box (``periodic=False``) the balls lie wholly inside. Without ``attempts`` or ``number`` the packing goes
    on until saturation is proved. That is quick in one to three dimensions and refused in more.

    >>> packing = pack_balls(2, side=100.0, radius=10.0, zeta=1.0, seed=0)
    >>> packing.saturated, packing.balls.interference_distance() >= 1.0
    (True, True)
    >>> pack_balls(3, side=10.0, radius=1.0, zeta=0.0, seed=0, number=20).balls.number
    20

    Raises:
        SettingError: a bad setting, a side in which no ball fits, or a packing that saturated with fewer
            than ``number`` balls.
    """
    require_count("dim", dim)
    require_positive("radius", radius)
    require_nonnegative("zeta", zeta)
    require_positive("side", side)
    for name, value in (("attempts", attempts), ("number", number)):
        if value is not None:
            require_count(name, value)
    if dim > 3 and attempts is None and number is None:
        raise SettingError(f"dim {dim} needs attempts or number: saturation is proved up to dim 3 only")
    needed = 2 * radius + zeta if periodic else 2 * radius
    if side < needed:
        raise SettingError(f"side must be at least {needed:g} for a ball to fit, got {side:g}")
    if isinstance(seed, int):
        require_count("seed", seed, minimum=0)
    adsorption = _Adsorption(dim, side, radius, zeta, periodic, np.random.default_rng(seed))
    adsorption.run(attempts, number)
    balls = BallUnion(adsorption.centres, radius, side, periodic)
    if number is not None and balls.number < number and adsorption.saturated:
        raise SettingError(f"number must be at most {balls.number} here: the packing saturated, got {number}")
    return Packing(balls, adsorption.attempts, adsorption.saturated)


def _tree(points: Float[np.ndarray, "points dim"], period: float | None) -> cKDTree[Any, Any]:
    if period is None:
        return cKDTree(points)
    return cKDTree(points, boxsize=np.full(points.shape[1], period))


class _Adsorption:
    """The state of one sequential adsorption: centres, voxels that hold all free space, attempts."""

    def __init__(
        self, dim: int, side: float, radius: float, zeta: float, periodic: bool, random: np.random.Generator
    ) -> None:
        self.dim, self.side, self.periodic, self.random = dim, side, periodic, random
        self.separation = 2 * radius + zeta
        self.period = side if periodic else None
        self.low = 0.0 if periodic else radius
        self.extent = side if periodic else side - 2 * radius
        # Voxels half as wide as an exclusion ball is long in their diagonal: few, yet soon covered.
        per_axis = max(1, math.ceil(2 * self.extent / self.separation))
        per_axis = min(per_axis, max(1, int(MOST_VOXELS ** (1 / dim))))
        self.width = self.extent / per_axis
        axes = [np.arange(per_axis, dtype=np.int64)] * dim
        self.voxels: Int[np.ndarray, "voxels dim"] = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(
            -1, dim
        )
        # A centre near each voxel, -1 for none: it settles most candidates and half-voxels without a search.
        self.near = np.full(len(self.voxels), -1)
        self.level = 0
        self.centres: Float[np.ndarray, "number dim"] = np.empty((0, dim))
        self.attempts = 0

    @property
    def saturated(self) -> bool:
        return len(self.voxels) == 0

    def run(self, attempts: int | None, number: int | None) -> None:
        while not self.saturated:
            drawn, accepted = self._batch(attempts, number)
            if number is not None and len(self.centres) >= number:
                return
            if attempts is not None and self.attempts >= attempts:
                return
            self._drop_covered_by(len(self.centres) - accepted)
            # Once few candidates stay, finer voxels pay for themselves.
            if accepted < 0.2 * drawn and len(self.voxels) << self.dim <= MOST_VOXELS:
                if self.level == MOST_LEVELS:
                    return
                self._halve_voxels()

    def _batch(self, attempts: int | None, number: int | None) -> tuple[int, int]:
        """Draw candidates from the voxels, keep in order those that fit, return how many of each."""
        # A first batch near the final number of balls costs many conflicts, hence a fraction of the voxels.
        size = int(min(LARGEST_BATCH, max(64, len(self.voxels) * (0.1 if self.level == 0 else 0.5))))
        share = min(1.0, len(self.voxels) * (self.width / self.extent) ** self.dim)
        # Between two candidates inside the voxels the sequential process wastes a geometric number outside
        # (in floating point: near saturation those numbers outgrow integers).
        waits = np.log1p(-self.random.random(size)) / math.log1p(-share) if share < 1.0 else np.ones(size)
        arrivals = self.attempts + np.cumsum(np.maximum(1.0, np.ceil(waits)))
        chosen = self.random.integers(len(self.voxels), size=size)
        inside = self.random.random((size, self.dim))
        places = (self.voxels[chosen] + inside) * self.width + self.low
        # Rounding may put a place on the far edge, which on a torus is the near one.
        places = np.where(places >= self.side, 0.0, places) if self.periodic else places
        # The same seed goes the same way, however early it is told to stop.
        if attempts is not None:
            size = int(np.searchsorted(arrivals, attempts, side="right"))
            places, chosen = places[:size], chosen[:size]
        free = np.flatnonzero(self._distance(places, self.near[chosen]) >= self.separation)
        free = free[self._search(places[free], self.centres) < 0]
        kept = free[self._in_order(places[free])]
        if number is not None and len(self.centres) + len(kept) >= number:
            kept = kept[: number - len(self.centres)]
            self.attempts = int(arrivals[kept[-1]])
        elif attempts is not None and size < len(arrivals):
            self.attempts = attempts
        else:
            self.attempts = int(arrivals[-1])
        self.centres = np.concatenate([self.centres, places[kept]])
        return size, len(kept)

    def _search(
        self, places: Float[np.ndarray, "places dim"], centres: Float[np.ndarray, "some dim"]
    ) -> Int[np.ndarray, " places"]:
        """Return the index of the centre nearest to each place, -1 where none is closer than allowed."""
        if len(places) == 0 or len(centres) == 0:
            return np.full(len(places), -1)
        tree = _tree(centres, self.period)
        distances, indices = tree.query(places, distance_upper_bound=self.separation)
        return np.where(np.asarray(distances) < self.separation, indices, -1)

    def _distance(
        self, places: Float[np.ndarray, "places dim"], indices: Int[np.ndarray, " places"], pad: float = 0.0
    ) -> Float[np.ndarray, " places"]:
        """Return distances to the given centres, or to the farthest point of a cube of half-width ``pad``."""
        if len(self.centres) == 0:
            return np.full(len(places), np.inf)
        offsets = np.abs(places - self.centres[indices])
        offsets = np.minimum(offsets, self.side - offsets) if self.periodic else offsets
        return np.where(indices < 0, np.inf, np.sqrt(((offsets + pad) ** 2).sum(axis=1)))

    def _in_order(self, places: Float[np.ndarray, "places dim"]) -> Bool[np.ndarray, " places"]:
        """Return which places stay if they arrive in this order and only conflict with one another."""
        kept = np.zeros(len(places), dtype=bool)
        open_ = np.ones(len(places), dtype=bool)
        if len(places) == 0:
            return kept
        pairs = _tree(places, self.period).query_pairs(self.separation, output_type="ndarray")
        # query_pairs includes the distance itself, at which two balls may stand.
        gaps = np.abs(places[pairs[:, 0]] - places[pairs[:, 1]])
        gaps = np.minimum(gaps, self.side - gaps) if self.periodic else gaps
        pairs = pairs[np.sqrt((gaps**2).sum(axis=1)) < self.separation]
        earlier, later = pairs.min(axis=1), pairs.max(axis=1)
        while open_.any():
            waits = np.zeros(len(places), dtype=bool)
            waits[later] = True
            stays = open_ & ~waits
            kept |= stays
            open_ &= waits
            open_[later[stays[earlier]]] = False
            undecided = open_[earlier] & open_[later]
            earlier, later = earlier[undecided], later[undecided]
        return kept

    def _drop_covered_by(self, first: int) -> None:
        """Drop the voxels that lie in the exclusion ball of a centre from ``first`` on."""
        middles = self._middles()
        found = self._search(middles, self.centres[first:])
        found = np.where(found < 0, -1, found + first)
        nearer = self._distance(middles, found) < self._distance(middles, self.near)
        self.near = np.where(nearer, found, self.near)
        # Only the nearest centre is asked: a voxel kept in error is halved and asked again.
        self._keep(self._distance(middles, found, self.width / 2) >= self.separation * (1 - SAFETY))

    def _halve_voxels(self) -> None:
        """Replace every voxel by the halves, in each direction, that do not lie in an exclusion ball."""
        corners = np.stack(np.meshgrid(*[[0, 1]] * self.dim, indexing="ij"), -1).reshape(-1, self.dim)
        self.voxels = (2 * self.voxels[:, None, :] + corners).reshape(-1, self.dim)
        self.near = np.repeat(self.near, len(corners))
        self.width /= 2
        self.level += 1
        self._keep(
            self._distance(self._middles(), self.near, self.width / 2) >= self.separation * (1 - SAFETY)
        )
        middles = self._middles()
        self.near = self._search(middles, self.centres)
        self._keep(self._distance(middles, self.near, self.width / 2) >= self.separation * (1 - SAFETY))

    def _middles(self) -> Float[np.ndarray, "voxels dim"]:
        return np.asarray((self.voxels + 0.5) * self.width + self.low)

    def _keep(self, kept: Bool[np.ndarray, " voxels"]) -> None:
        self.voxels, self.near = self.voxels[kept], self.near[kept]
