"""Stopping plans: how many votes an image gets, and what may be concluded from them.

One file per plan behind the small interface of ``base``. A plan never sees images or networks: it
says how many votes it wants next for each image and is handed their counts; which radius they certify
it asks the noise.
"""

from sfumato.plans.base import ABSTAIN, Decision, Plan, Run, votes_saved
from sfumato.plans.curve import Curve
from sfumato.plans.decide import Decide
from sfumato.plans.fixed import Fixed
from sfumato.plans.precision import Precision
from sfumato.plans.predict import Predict
from sfumato.plans.registry import (
    PLANS,
    accepted_plans,
    among,
    as_plan,
    asked_radii,
    parse_plan,
    register_plan,
)
from sfumato.plans.top_k import TopK
from sfumato.plans.two_class import FixedTwoClass
from sfumato.plans.vote import Vote

__all__ = [
    "ABSTAIN",
    "PLANS",
    "Curve",
    "Decide",
    "Decision",
    "Fixed",
    "FixedTwoClass",
    "Plan",
    "Precision",
    "Predict",
    "Run",
    "TopK",
    "Vote",
    "accepted_plans",
    "among",
    "as_plan",
    "asked_radii",
    "parse_plan",
    "register_plan",
    "votes_saved",
]
