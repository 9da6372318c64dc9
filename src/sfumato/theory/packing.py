"""Equal balls at random with a gap between them: random sequential adsorption, to proved saturation.

Balls arrive one after the other at uniformly random places and stay if their surface is at least the
interference distance zeta away from every ball already there. The sequence keeps its exact law, but no time
is spent on places that cannot accept a ball. As in Zhang & Torquato 2013 ("Precise algorithm to generate
random sequential addition of hard hyperspheres at saturation"), candidates are drawn from a list of voxels
that holds all the free space, and voxels that lie inside one exclusion ball are dropped. When no voxel is
left, the packing is proved to be saturated.

Module ``coverage`` puts a region on a grid and ``fields`` smooths it there. The published experiment has
a sampler of its own, in ``figure4``.
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
# Double precision does not resolve gaps below this share of the separation: they count as full.
NARROWEST_GAP = 2.0**-45
# More voxels than this take too much memory: sampling goes on without finer ones until some are dropped.
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
    number: int | None = None,
) -> BallUnion:
    """Return balls of one radius placed by random sequential adsorption, surfaces at least ``zeta`` apart.

    It stops at ``number`` balls, or without one where it is proved that no further ball fits. In a box
    (``periodic=False``) the balls lie wholly inside. The centres are in the order of arrival, and fewer balls
    are the first of more.

    >>> pack_balls(2, side=100.0, radius=10.0, zeta=1.0, seed=0).interference_distance() >= 1.0
    True
    >>> pack_balls(3, side=10.0, radius=1.0, zeta=0.0, seed=0, number=20).number
    20

    Raises:
        SettingError: a bad setting, a side in which no ball fits, or a packing that saturated with fewer
            than ``number`` balls.
    """
    if require_count("dim", dim) > 3:
        raise SettingError(f"dim must be 1, 2 or 3 for a packing, got {dim}")
    require_positive("radius", radius)
    require_nonnegative("zeta", zeta)
    require_positive("side", side)
    if number is not None:
        require_count("number", number)
    needed = 2 * radius + zeta if periodic else 2 * radius
    if side < needed:
        raise SettingError(f"side must be at least {needed:g} for a ball to fit, got {side:g}")
    if isinstance(seed, int):
        require_count("seed", seed, minimum=0)
    space = _Space(dim, side, radius, 2 * radius + zeta, periodic)
    random = np.random.default_rng(seed)
    centres: Float[np.ndarray, "number dim"] = np.empty((0, dim))
    while len(space.voxels) and (not len(centres) or space.width > NARROWEST_GAP * space.separation):
        if number is not None and len(centres) >= number:
            break
        # Half as many candidates as voxels. A batch may hold conflicts, which are decided in order.
        places = space.candidates(int(min(LARGEST_BATCH, max(64, len(space.voxels) / 2))), random)
        arrived = places[space.far_from(places, centres)]
        arrived = arrived[space.in_order(arrived)]
        centres = np.concatenate([centres, arrived])[:number]
        space.drop_covered(centres)
        # Once few candidates stay, finer voxels pay for themselves.
        if len(arrived) < 0.2 * len(places) and len(space.voxels) << dim <= MOST_VOXELS:
            space.halve_voxels()
            space.drop_covered(centres)
    if number is not None and len(centres) < number:
        raise SettingError(f"number must be at most {len(centres)} here: the packing saturated, got {number}")
    return BallUnion(centres, radius, side, periodic)


def _tree(points: Float[np.ndarray, "points dim"], period: float | None) -> cKDTree[Any, Any]:
    if period is None:
        return cKDTree(points)
    return cKDTree(points, boxsize=np.full(points.shape[1], period))


class _Space:
    """Where centres may lie: a torus or the inner part of a box, and the voxels that hold all free places."""

    def __init__(self, dim: int, side: float, radius: float, separation: float, periodic: bool) -> None:
        self.dim, self.side, self.separation = dim, side, separation
        self.period = side if periodic else None
        self.low = 0.0 if periodic else radius
        extent = side if periodic else side - 2 * radius
        # Voxels half as wide as an exclusion ball is long in their diagonal: few, yet soon covered.
        per_axis = max(1, math.ceil(2 * extent / separation))
        per_axis = min(per_axis, int(MOST_VOXELS ** (1 / dim)))
        self.width = extent / per_axis
        self.voxels: Int[np.ndarray, "voxels dim"] = _corners(dim, per_axis)

    def candidates(self, size: int, random: np.random.Generator) -> Float[np.ndarray, "places dim"]:
        """Return uniformly random places within the voxels."""
        chosen = random.integers(len(self.voxels), size=size)
        places = (self.voxels[chosen] + random.random((size, self.dim))) * self.width + self.low
        # Rounding may put a place on the far edge, which on a torus is the near one.
        return places if self.period is None else np.where(places >= self.side, 0.0, places)

    def offsets(
        self, first: Float[np.ndarray, "places dim"], second: Float[np.ndarray, "places dim"]
    ) -> Float[np.ndarray, "places dim"]:
        """Return how far apart two places are along each axis, on a torus by their nearest images."""
        gaps: Float[np.ndarray, "places dim"] = np.abs(first - second)
        return gaps if self.period is None else np.minimum(gaps, self.period - gaps)

    def far_from(
        self, places: Float[np.ndarray, "places dim"], centres: Float[np.ndarray, "number dim"]
    ) -> Bool[np.ndarray, " places"]:
        """Return which places no centre forbids."""
        if not len(centres):
            return np.ones(len(places), dtype=bool)
        return np.asarray(_tree(centres, self.period).query(places)[0]) >= self.separation

    def in_order(self, places: Float[np.ndarray, "places dim"]) -> Bool[np.ndarray, " places"]:
        """Return which places stay if they arrive in this order and only conflict with one another."""
        kept, undecided = np.zeros((2, len(places)), dtype=bool)
        if not len(places):
            return kept
        pairs = _tree(places, self.period).query_pairs(self.separation, output_type="ndarray")
        # query_pairs includes the distance itself, at which two balls may stand.
        gaps = self.offsets(places[pairs[:, 0]], places[pairs[:, 1]])
        pairs = pairs[np.sqrt((gaps**2).sum(axis=1)) < self.separation]
        earlier, later = pairs.min(axis=1), pairs.max(axis=1)
        undecided[:] = True
        while undecided.any():
            waits = np.zeros(len(places), dtype=bool)
            waits[later] = True
            stays = undecided & ~waits
            kept |= stays
            undecided &= waits
            undecided[later[stays[earlier]]] = False
            left = undecided[earlier] & undecided[later]
            earlier, later = earlier[left], later[left]
        return kept

    def drop_covered(self, centres: Float[np.ndarray, "number dim"]) -> None:
        """Drop the voxels that lie in the exclusion ball of the centre nearest to their middle."""
        middles = (self.voxels + 0.5) * self.width + self.low
        nearest = np.asarray(_tree(centres, self.period).query(middles)[1])
        farthest = self.offsets(middles, centres[nearest]) + self.width / 2
        reach = self.separation * (1 - SAFETY)
        # A voxel that another ball covers is kept in error; it is halved and asked again.
        self.voxels = self.voxels[(farthest**2).sum(axis=1) >= reach**2]

    def halve_voxels(self) -> None:
        """Replace every voxel by its halves in each direction."""
        self.voxels = (2 * self.voxels[:, None, :] + _corners(self.dim, 2)).reshape(-1, self.dim)
        self.width /= 2


def _corners(dim: int, number: int) -> Int[np.ndarray, "corners dim"]:
    """Return all points of the lattice 0, ..., number - 1 in each direction."""
    axes = [np.arange(number, dtype=np.int64)] * dim
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, dim)
