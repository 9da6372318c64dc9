"""Sfumato: certified robustness by randomized smoothing, and how much noise to train with for it.

The public names are imported when they are first used, so that ``import sfumato`` is instant.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from sfumato.version import __version__

_PUBLIC = {
    "sfumato.advice.advise": "Advice advise",
    "sfumato.advice.sweep": "Sweep sweep",
    "sfumato.answers.advise_radius": "RadiusAdvice advise_radius",
    "sfumato.answers.best": "StudyAnswer answer_study",
    "sfumato.answers.best_pair": "PairAnswer best_pair",
    "sfumato.answers.pair_search": "search_pairs",
    "sfumato.answers.race_study": "RaceResult race_study",
    "sfumato.answers.search": "search_study",
    "sfumato.answers.study": "Study",
    "sfumato.attacks.smoothed_attack": "Attack AttackedImage attacked_accuracy",
    "sfumato.attacks.view": "SmoothedView",
    "sfumato.certification.accuracy": "CurvePoint certified_accuracy",
    "sfumato.certification.certificate": "Certificate",
    "sfumato.certification.certificates": "Certificates read_certificates",
    "sfumato.certification.conformal": "ConformalClassifier PredictionSets",
    "sfumato.certification.later_radii": "at_radii",
    "sfumato.certification.median": "MedianBounds MedianSmoothed",
    "sfumato.certification.routed": "RoutedCertificates RoutedClassifier largest_radius",
    "sfumato.certification.run": "Certification certify_to_file",
    "sfumato.certification.smoothed_classifier": "SmoothedClassifier",
    "sfumato.datasets.base": "Dataset Split",
    "sfumato.datasets.registry": "load_dataset",
    "sfumato.errors": "SfumatoError",
    "sfumato.interop.answers": "from_labels take_output",
    "sfumato.interop.hugging_face": "from_hugging_face",
    "sfumato.interop.http_endpoint": "from_endpoint",
    "sfumato.interop.onnx_runtime": "from_onnx",
    "sfumato.interop.scikit_learn": "SmoothedEstimator from_estimator",
    "sfumato.interop.torch_export": "from_exported",
    "sfumato.models.checkpoint": "ModelRecord load_model save_model",
    "sfumato.models.classifier": "Classifier load_classifier",
    "sfumato.models.denoised": "OneStepDiffusion denoised",
    "sfumato.models.denoiser": "load_denoiser",
    "sfumato.models.ensemble": "ensemble",
    "sfumato.models.registry": "build_model",
    "sfumato.noise": "AnisotropicGaussian DiscretisedGaussian Gaussian Laplace Noise Uniform register_noise",
    "sfumato.plans": "Curve Decide Fixed FixedTwoClass Plan Precision Predict TopK Vote parse_plan "
    "register_plan",
    "sfumato.reporting.on_axes": "plot_best_alpha plot_best_pair plot_certified_accuracy plot_outcomes "
    "plot_radii plot_risk plot_votes",
    "sfumato.smoothing.batch_norms": "normalize_at",
    "sfumato.smoothing.risk": "ImageVotes Risk measure_risk",
    "sfumato.studies.design": "Design make_design read_design",
    "sfumato.studies.results": "StudyResults",
    "sfumato.studies.run": "run_study",
    "sfumato.studies.store": "load_results",
    "sfumato.training.denoising": "DenoiserSettings train_denoiser",
    "sfumato.training.loop": "train",
    "sfumato.training.methods.registry": "register_method",
    "sfumato.training.settings": "TrainingSettings",
}
_MODULES = {name: module for module, names in _PUBLIC.items() for name in names.split()}

__all__ = ["__version__", *_MODULES]

if TYPE_CHECKING:  # the same names for type checkers
    from sfumato.advice.advise import Advice as Advice
    from sfumato.advice.advise import advise as advise
    from sfumato.advice.sweep import Sweep as Sweep
    from sfumato.advice.sweep import sweep as sweep
    from sfumato.answers.advise_radius import RadiusAdvice as RadiusAdvice
    from sfumato.answers.advise_radius import advise_radius as advise_radius
    from sfumato.answers.best import StudyAnswer as StudyAnswer
    from sfumato.answers.best import answer_study as answer_study
    from sfumato.answers.best_pair import PairAnswer as PairAnswer
    from sfumato.answers.best_pair import best_pair as best_pair
    from sfumato.answers.pair_search import search_pairs as search_pairs
    from sfumato.answers.race_study import RaceResult as RaceResult
    from sfumato.answers.race_study import race_study as race_study
    from sfumato.answers.search import search_study as search_study
    from sfumato.answers.study import Study as Study
    from sfumato.attacks.smoothed_attack import Attack as Attack
    from sfumato.attacks.smoothed_attack import AttackedImage as AttackedImage
    from sfumato.attacks.smoothed_attack import attacked_accuracy as attacked_accuracy
    from sfumato.attacks.view import SmoothedView as SmoothedView
    from sfumato.certification.accuracy import CurvePoint as CurvePoint
    from sfumato.certification.accuracy import certified_accuracy as certified_accuracy
    from sfumato.certification.certificate import Certificate as Certificate
    from sfumato.certification.certificates import Certificates as Certificates
    from sfumato.certification.certificates import read_certificates as read_certificates
    from sfumato.certification.conformal import ConformalClassifier as ConformalClassifier
    from sfumato.certification.conformal import PredictionSets as PredictionSets
    from sfumato.certification.later_radii import at_radii as at_radii
    from sfumato.certification.median import MedianBounds as MedianBounds
    from sfumato.certification.median import MedianSmoothed as MedianSmoothed
    from sfumato.certification.routed import RoutedCertificates as RoutedCertificates
    from sfumato.certification.routed import RoutedClassifier as RoutedClassifier
    from sfumato.certification.routed import largest_radius as largest_radius
    from sfumato.certification.run import Certification as Certification
    from sfumato.certification.run import certify_to_file as certify_to_file
    from sfumato.certification.smoothed_classifier import SmoothedClassifier as SmoothedClassifier
    from sfumato.datasets.base import Dataset as Dataset
    from sfumato.datasets.base import Split as Split
    from sfumato.datasets.registry import load_dataset as load_dataset
    from sfumato.errors import SfumatoError as SfumatoError
    from sfumato.interop.answers import from_labels as from_labels
    from sfumato.interop.answers import take_output as take_output
    from sfumato.interop.http_endpoint import from_endpoint as from_endpoint
    from sfumato.interop.hugging_face import from_hugging_face as from_hugging_face
    from sfumato.interop.onnx_runtime import from_onnx as from_onnx
    from sfumato.interop.scikit_learn import SmoothedEstimator as SmoothedEstimator
    from sfumato.interop.scikit_learn import from_estimator as from_estimator
    from sfumato.interop.torch_export import from_exported as from_exported
    from sfumato.models.checkpoint import ModelRecord as ModelRecord
    from sfumato.models.checkpoint import load_model as load_model
    from sfumato.models.checkpoint import save_model as save_model
    from sfumato.models.classifier import Classifier as Classifier
    from sfumato.models.classifier import load_classifier as load_classifier
    from sfumato.models.denoised import OneStepDiffusion as OneStepDiffusion
    from sfumato.models.denoised import denoised as denoised
    from sfumato.models.denoiser import load_denoiser as load_denoiser
    from sfumato.models.ensemble import ensemble as ensemble
    from sfumato.models.registry import build_model as build_model
    from sfumato.noise import AnisotropicGaussian as AnisotropicGaussian
    from sfumato.noise import DiscretisedGaussian as DiscretisedGaussian
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
    from sfumato.plans import TopK as TopK
    from sfumato.plans import Vote as Vote
    from sfumato.plans import parse_plan as parse_plan
    from sfumato.plans import register_plan as register_plan
    from sfumato.reporting.on_axes import plot_best_alpha as plot_best_alpha
    from sfumato.reporting.on_axes import plot_best_pair as plot_best_pair
    from sfumato.reporting.on_axes import plot_certified_accuracy as plot_certified_accuracy
    from sfumato.reporting.on_axes import plot_outcomes as plot_outcomes
    from sfumato.reporting.on_axes import plot_radii as plot_radii
    from sfumato.reporting.on_axes import plot_risk as plot_risk
    from sfumato.reporting.on_axes import plot_votes as plot_votes
    from sfumato.smoothing.batch_norms import normalize_at as normalize_at
    from sfumato.smoothing.risk import ImageVotes as ImageVotes
    from sfumato.smoothing.risk import Risk as Risk
    from sfumato.smoothing.risk import measure_risk as measure_risk
    from sfumato.studies.design import Design as Design
    from sfumato.studies.design import make_design as make_design
    from sfumato.studies.design import read_design as read_design
    from sfumato.studies.results import StudyResults as StudyResults
    from sfumato.studies.run import run_study as run_study
    from sfumato.studies.store import load_results as load_results
    from sfumato.training.denoising import DenoiserSettings as DenoiserSettings
    from sfumato.training.denoising import train_denoiser as train_denoiser
    from sfumato.training.loop import train as train
    from sfumato.training.methods.registry import register_method as register_method
    from sfumato.training.settings import TrainingSettings as TrainingSettings


def __getattr__(name: str) -> Any:
    """Import a public name at its first use."""
    if name not in _MODULES:
        raise AttributeError(f"module 'sfumato' has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names without importing them."""
    return list(__all__)
