"""Stopping plans: how many votes an image gets, and what may be concluded from them.

One file per plan behind the small interface of ``base``. A plan never sees images or networks: it
says how many votes it wants next for each image and is handed their counts.
"""

from sfumato.statistics.plans.base import ABSTAIN, Decision, Plan, PlanRun
from sfumato.statistics.plans.fixed import Fixed

__all__ = ["ABSTAIN", "Decision", "Fixed", "Plan", "PlanRun"]
