"""What the best alpha is best at: the loss of each test image in a cell of a study, 0 or 1.

Every set, test and gain of ``answers.best`` works on these losses. A new objective is a class here or in a
module of your own, with ``register_objective``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, TypeVar

import numpy as np
from jaxtyping import Bool

from sfumato.errors import SettingError
from sfumato.studies.results import CellResult


class Objective(ABC):
    """The loss of each image in a cell.

    Attributes:
        name: as it is written on the command line.
    """

    name: ClassVar[str]

    @abstractmethod
    def loss(self, cell: CellResult) -> Bool[np.ndarray, " images"]:
        """Return for each test image of the cell whether it is lost."""


class VoteRisk(Objective):
    """The risk Delta(alpha, beta) of Pal & Sulam 2023: an image is lost if the majority vote is wrong."""

    name: ClassVar[str] = "vote-risk"

    def loss(self, cell: CellResult) -> Bool[np.ndarray, " images"]:
        """Return for each test image of the cell whether its prediction differs from its label."""
        return cell.wrong


OBJECTIVES: dict[str, type[Objective]] = {VoteRisk.name: VoteRisk}

Registered = TypeVar("Registered", bound=type[Objective])


def register_objective(objective: Registered) -> Registered:
    """Make an objective known by its name, to the command line too; usable as a decorator.

    Raises:
        SettingError: another objective has this name.
    """
    if OBJECTIVES.setdefault(objective.name, objective) is not objective:
        raise SettingError(f"an objective {objective.name!r} is registered already; choose another name")
    return objective


def make_objective(name: str) -> Objective:
    """Return the objective of this name.

    >>> make_objective("vote-risk").name
    'vote-risk'

    Raises:
        SettingError: an unknown name.
    """
    if name not in OBJECTIVES:
        raise SettingError(f"objective must be one of {', '.join(OBJECTIVES)}, got {name!r}")
    return OBJECTIVES[name]()
