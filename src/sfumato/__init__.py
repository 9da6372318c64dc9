"""Sfumato: certified robustness by randomized smoothing, and how much noise to train with for it.

The public names are imported when they are first used, so that ``import sfumato`` is instant.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from sfumato.version import __version__

_PUBLIC = {
    "Advice": "sfumato.advice.advise",
    "Certificate": "sfumato.certification.certificate",
    "Certificates": "sfumato.certification.certificates",
    "Certification": "sfumato.certification.run",
    "Classifier": "sfumato.models.classifier",
    "Curve": "sfumato.plans",
    "CurvePoint": "sfumato.certification.accuracy",
    "Dataset": "sfumato.datasets.base",
    "Decide": "sfumato.plans",
    "Design": "sfumato.studies.design",
    "Fixed": "sfumato.plans",
    "FixedTwoClass": "sfumato.plans",
    "Gaussian": "sfumato.noise",
    "Laplace": "sfumato.noise",
    "ModelRecord": "sfumato.models.checkpoint",
    "Noise": "sfumato.noise",
    "PairAnswer": "sfumato.answers.best_pair",
    "Plan": "sfumato.plans",
    "Precision": "sfumato.plans",
    "Predict": "sfumato.plans",
    "Risk": "sfumato.smoothing.risk",
    "SfumatoError": "sfumato.errors",
    "SmoothedClassifier": "sfumato.certification.smoothed_classifier",
    "Split": "sfumato.datasets.base",
    "Study": "sfumato.answers.study",
    "StudyAnswer": "sfumato.answers.best",
    "StudyResults": "sfumato.studies.results",
    "Sweep": "sfumato.advice.sweep",
    "TrainingSettings": "sfumato.training.settings",
    "Uniform": "sfumato.noise",
    "Vote": "sfumato.plans",
    "advise": "sfumato.advice.advise",
    "answer_study": "sfumato.answers.best",
    "best_pair": "sfumato.answers.best_pair",
    "build_model": "sfumato.models.registry",
    "certified_accuracy": "sfumato.certification.accuracy",
    "certify_to_file": "sfumato.certification.run",
    "load_classifier": "sfumato.models.classifier",
    "load_dataset": "sfumato.datasets.registry",
    "load_model": "sfumato.models.checkpoint",
    "load_results": "sfumato.studies.store",
    "make_design": "sfumato.studies.design",
    "measure_risk": "sfumato.smoothing.risk",
    "parse_plan": "sfumato.plans",
    "read_certificates": "sfumato.certification.table",
    "read_design": "sfumato.studies.design",
    "register_method": "sfumato.training.methods.registry",
    "register_noise": "sfumato.noise",
    "register_plan": "sfumato.plans",
    "run_study": "sfumato.studies.run",
    "save_model": "sfumato.models.checkpoint",
    "search_study": "sfumato.answers.search",
    "sweep": "sfumato.advice.sweep",
    "train": "sfumato.training.loop",
}

__all__ = ["__version__", *_PUBLIC]

if TYPE_CHECKING:  # the same names for type checkers
    from sfumato.advice.advise import Advice as Advice
    from sfumato.advice.advise import advise as advise
    from sfumato.advice.sweep import Sweep as Sweep
    from sfumato.advice.sweep import sweep as sweep
    from sfumato.answers.best import StudyAnswer as StudyAnswer
    from sfumato.answers.best import answer_study as answer_study
    from sfumato.answers.best_pair import PairAnswer as PairAnswer
    from sfumato.answers.best_pair import best_pair as best_pair
    from sfumato.answers.search import search_study as search_study
    from sfumato.answers.study import Study as Study
    from sfumato.certification.accuracy import CurvePoint as CurvePoint
    from sfumato.certification.accuracy import certified_accuracy as certified_accuracy
    from sfumato.certification.certificate import Certificate as Certificate
    from sfumato.certification.certificates import Certificates as Certificates
    from sfumato.certification.run import Certification as Certification
    from sfumato.certification.run import certify_to_file as certify_to_file
    from sfumato.certification.smoothed_classifier import SmoothedClassifier as SmoothedClassifier
    from sfumato.certification.table import read_certificates as read_certificates
    from sfumato.datasets.base import Dataset as Dataset
    from sfumato.datasets.base import Split as Split
    from sfumato.datasets.registry import load_dataset as load_dataset
    from sfumato.errors import SfumatoError as SfumatoError
    from sfumato.models.checkpoint import ModelRecord as ModelRecord
    from sfumato.models.checkpoint import load_model as load_model
    from sfumato.models.checkpoint import save_model as save_model
    from sfumato.models.classifier import Classifier as Classifier
    from sfumato.models.classifier import load_classifier as load_classifier
    from sfumato.models.registry import build_model as build_model
    from sfumato.noise import Gaussian as Gaussian
    from sfumato.noise import Laplace as Laplace
    from sfumato.noise import Noise as Noise
    from sfumato.noise import Uniform as Uniform
    from sfumato.noise import register_noise as register_noise
    from sfumato.plans import Curve as Curve
    from sfumato.plans import Decide as Decide
    from sfumato.plans import Fixed as Fixed
    from sfumato.plans import FixedTwoClass as FixedTwoClass
    from sfumato.plans import Plan as Plan
    from sfumato.plans import Precision as Precision
    from sfumato.plans import Predict as Predict
    from sfumato.plans import Vote as Vote
    from sfumato.plans import parse_plan as parse_plan
    from sfumato.plans import register_plan as register_plan
    from sfumato.smoothing.risk import Risk as Risk
    from sfumato.smoothing.risk import measure_risk as measure_risk
    from sfumato.studies.design import Design as Design
    from sfumato.studies.design import make_design as make_design
    from sfumato.studies.design import read_design as read_design
    from sfumato.studies.results import StudyResults as StudyResults
    from sfumato.studies.run import run_study as run_study
    from sfumato.studies.store import load_results as load_results
    from sfumato.training.loop import train as train
    from sfumato.training.methods.registry import register_method as register_method
    from sfumato.training.settings import TrainingSettings as TrainingSettings


def __getattr__(name: str) -> Any:
    """Import a public name at its first use."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'sfumato' has no attribute {name!r}")
    value = getattr(importlib.import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names without importing them."""
    return list(__all__)
