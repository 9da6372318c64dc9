"""scikit-learn: any fitted classifier as a base classifier, and smoothing as an estimator.

Features of a table have units of their own. ``scale`` says, for each feature, what one unit of noise and
radius is: a certificate of radius R holds for every change d of the features with
sqrt(sum over j of (d_j / scale_j)^2) <= R, so for a change of feature j alone by up to R * scale_j. The
estimator answers with a class, which is one vote.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

import joblib
import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from sfumato.certification.certificates import Certificates
from sfumato.certification.measure import Measure
from sfumato.certification.smoothed_classifier import SmoothedClassifier
from sfumato.errors import (
    DataError,
    ModelError,
    SettingError,
    require_count,
    require_nonnegative,
    require_positive,
)
from sfumato.frames import numbers_in_order, pandas_for
from sfumato.models.classifier import Classifier
from sfumato.models.outputs import one_hot
from sfumato.noise import Gaussian, Span, Stream, Use
from sfumato.plans import Plan
from sfumato.settings import CONFIDENCE

_Units = float | Sequence[float] | Float[np.ndarray, " features"] | Mapping[str, float]
Scale = str | _Units | None

_STANDARD_DEVIATIONS = "std"
_MOST_VALUES = 2**19
_LARGEST_BATCH = 4096
_SHOWN = 5  # features whose units are named in words


def from_estimator(estimator: Any, scale: _Units | None = None) -> Classifier:
    """Return the classifier of a fitted classifier or pipeline; class k is ``estimator.classes_[k]``.

    With ``scale`` its input is the table's divided by it: x / scale. Then beta and radii are in these units.
    Numbers by feature name, a dictionary or a Series, are taken in the order of ``feature_names_in_``.
    Without it they are in the table's own. The fingerprint is the checksum of the estimator, pickled.

    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> x, y = load_iris(return_X_y=True)
    >>> flower = from_estimator(LogisticRegression(max_iter=200).fit(x, y), scale=[0.8, 0.4, 1.8, 0.8])
    >>> flower.model(torch.tensor([[6.3, 7.5, 0.8, 0.3]]))
    tensor([[1., 0., 0.]])

    Raises:
        ModelError: no fitted classifier with one target.
        SettingError: a scale that is not positive, or not for these features.
    """
    if not (hasattr(estimator, "predict") and hasattr(estimator, "classes_")):
        raise ModelError(
            f"estimator must be a fitted classifier with predict and classes_, got {type(estimator).__name__}"
        )
    classes = estimator.classes_
    if isinstance(classes, list):
        raise ModelError(f"estimator must have one target, got {len(classes)}")
    units = None
    if scale is not None:
        units = _positive_scale(scale, getattr(estimator, "feature_names_in_", None))
        features = getattr(estimator, "n_features_in_", units.size)
        if units.shape not in ((), (1,), (features,)):
            raise SettingError(_wrong_shape(features, units))
    decides = getattr(estimator, "best_estimator_", estimator)  # of a search, which also keeps times
    try:
        fingerprint = str(joblib.hash((decides, units), hash_name="sha1"))
    except Exception:  # what cannot be pickled fails in any way; its answers identify it then
        fingerprint = None
    return Classifier(type(estimator).__name__, _Votes(estimator, units), fingerprint=fingerprint)


class SmoothedEstimator(MetaEstimatorMixin, ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier of scikit-learn, trained under noise and smoothed; it predicts by votes and certifies.

    The same row always gets the same noise, whatever else is asked with it.

    Args:
        estimator: the classifier or pipeline; a clone of it is fitted.
        beta: smoothing noise, standard deviation in the unit of ``scale``.
        alpha: training noise in the same unit; ``beta`` if not given, 0 for none.
        scale: what the unit is. ``"std"``: the standard deviation of each feature in the training data;
            None: the features' own units, which should then be alike; or one number for each feature, in
            their order, or by name in a dictionary or a Series, if ``fit`` gets a data frame.
        copies: how many noisy copies of each row the estimator is fitted on.
        votes: of each row in ``predict`` and ``predict_proba``.
        random_state: determines all noise; a whole number or what scikit-learn takes in its place.

    Attributes:
        estimator_: the fitted estimator.
        classes_, n_features_in_: as everywhere in scikit-learn.
        scale_: the unit of each feature, in its own unit.
        unit_: what a noise or a radius of 1 means, in words.

    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> x, y = load_iris(return_X_y=True)
    >>> smoothed = SmoothedEstimator(LogisticRegression(max_iter=200), beta=0.3).fit(x, y)
    >>> smoothed.unit_
    'standard deviations of each feature in the training data'
    >>> smoothed.certify(x[:2], y[:2], plan="decide(0.25)").accuracy([0.25]).shares
    (1.0,)
    """

    def __init__(
        self,
        estimator: Any,
        *,
        beta: float = 0.25,
        alpha: float | None = None,
        scale: Scale = _STANDARD_DEVIATIONS,
        copies: int = 10,
        votes: int = 1000,
        random_state: Any = 0,
    ) -> None:
        self.estimator = estimator
        self.beta = beta
        self.alpha = alpha
        self.scale = scale
        self.copies = copies
        self.votes = votes
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:
        """Fit a clone of the estimator on ``copies`` noisy copies of each row.

        Raises:
            ValueError: a table that is not of finite numbers, targets that are no classes, or one class.
            SettingError: a setting that is not accepted.
        """
        require_positive("beta", self.beta)
        alpha = self.beta if self.alpha is None else require_nonnegative("alpha", self.alpha)
        names = getattr(X, "columns", None)
        rows, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise DataError("y has 1 class; at least 2 classes are needed to train a classifier")
        self._set_scale(rows, names)
        self._seed = _seed(self.random_state)
        copies = require_count("copies", self.copies) if alpha else 1
        noise = np.stack([self._training_noise(rows.shape, copy) for copy in range(copies)])
        noisy = (rows + alpha * self.scale_ * noise).reshape(-1, rows.shape[1])
        table = noisy if names is None else _frame(noisy, names)
        self.estimator_ = clone(self.estimator).fit(table, self.classes_[np.tile(labels, copies)])
        return self

    def predict(self, X: Any) -> Any:
        """Return the class with the most of ``votes`` votes for each row; nothing is guaranteed."""
        shares = self.predict_proba(X)  # checks first whether this is fitted
        return self.classes_[shares.argmax(axis=1)]

    def predict_proba(self, X: Any) -> Float[np.ndarray, "rows classes"]:
        """Return the share of the ``votes`` votes that each class gets: (rows, classes)."""
        points = self._points(X)
        counts = self._smoothed().votes(points, require_count("votes", self.votes), examples=_numbers(points))
        return np.asarray(counts / self.votes, dtype=np.float64)

    def certify(
        self,
        X: Any,
        y: Any = None,
        *,
        plan: Plan | str | None = None,
        confidence: float = CONFIDENCE,
    ) -> Certificates:
        """Return a certificate for each row; its radius is in the unit that ``unit_`` says.

        With probability at least ``confidence`` over the noise, for each row that is no abstention, the
        smoothed estimator returns the predicted class for every row within the radius. Class k of a
        certificate is ``classes_[k]``. ``y``, the true classes, is only stored, for ``accuracy``. A row that
        stands there several times gets votes of its own each time, so that the interval of ``accuracy``
        holds; ``predict`` gives equal rows equal answers.

        Raises:
            ValueError: a table of other features, or not one known class for each row.
            SettingError: a plan or a confidence that is not accepted.
        """
        points = self._points(X)
        labels = None if y is None else _places(np.asarray(y), self.classes_)
        found = self._smoothed().certify(
            points, plan, confidence=confidence, labels=labels, examples=_numbers_apart(points)
        )
        rows = [replace(one, idx=row) for row, one in enumerate(found)]
        # standard deviations are a unit by their name, also where parts of the data have slightly others
        named = self.scale is None or isinstance(self.scale, str)
        distance = (Gaussian.norm,) if named else (Gaussian.norm, *self.scale_.tolist())
        return Certificates(rows, measure=Measure(distance, self.unit_))

    def _set_scale(self, rows: Float[np.ndarray, "rows features"], names: Iterable[str] | None) -> None:
        features = rows.shape[1]
        if self.scale is None:
            self.scale_, self.unit_ = np.ones(features), "the features' own units"
        elif isinstance(self.scale, str):
            if self.scale != _STANDARD_DEVIATIONS:
                raise SettingError(f"scale must be 'std', None or numbers, got {self.scale!r}")
            deviations = rows.std(axis=0)
            # a feature that never changes has no unit of its own
            self.scale_ = np.where(deviations > 0, deviations, 1.0)
            self.unit_ = "standard deviations of each feature in the training data"
        else:
            self.scale_ = _positive_scale(self.scale, names)
            if self.scale_.shape != (features,):
                raise SettingError(_wrong_shape(features, self.scale_))
            shown = _told([""] * features if names is None else [f"{name} " for name in names], self.scale_)
            self.unit_ = f"multiples of scale ({shown})"

    def _training_noise(self, shape: tuple[int, ...], copy: int) -> Float32[np.ndarray, "rows features"]:
        drawn = torch.empty(shape)
        Stream(Use.TRAINING_NOISE, self._seed, Span(copy)).normal(drawn)
        return np.asarray(drawn)

    def _points(self, X: Any) -> Float32[np.ndarray, "rows features"]:
        """Return the rows in the unit of the noise."""
        check_is_fitted(self)
        rows = validate_data(self, X, reset=False, dtype=np.float64)
        return np.asarray(rows / self.scale_, dtype=np.float32)

    def _smoothed(self) -> SmoothedClassifier:
        classifier = from_estimator(self.estimator_, self.scale_)
        if not np.array_equal(self.estimator_.classes_, self.classes_):
            raise ModelError(
                f"the estimator knows the classes {self.estimator_.classes_}, not {self.classes_}"
            )
        return SmoothedClassifier(
            classifier,
            self.beta,
            seed=self._seed,
            batch_size=max(1, min(_LARGEST_BATCH, _MOST_VALUES // len(self.scale_))),
            device="cpu",
        )


class _Votes:
    """From a batch in units of ``scale`` to one-hot classes."""

    def __init__(self, estimator: Any, scale: Float[np.ndarray, " features"] | None) -> None:
        self._estimator, self._scale = estimator, scale
        self._names = getattr(estimator, "feature_names_in_", None)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        rows = x.flatten(1).double().cpu().numpy()
        rows = rows if self._scale is None else rows * self._scale
        # in several threads a forest adds up its trees in any order, and a near tie has any winner
        with joblib.parallel_config(backend="sequential"):
            named = self._estimator.predict(rows if self._names is None else _frame(rows, self._names))
        classes = self._estimator.classes_
        return one_hot(torch.from_numpy(_places(np.asarray(named), classes)), len(classes))


def _places(labels: np.ndarray, classes: np.ndarray) -> Int[np.ndarray, " rows"]:
    """Return the place of each label among the classes.

    Raises:
        DataError: a label that is none of them.
    """
    if not any(labels.dtype.kind in kinds and classes.dtype.kind in kinds for kinds in ("biuf", "U")):
        # numbers beside names have no order
        known = {label: place for place, label in enumerate(classes.tolist())}
        for label in labels.tolist():
            if label not in known:
                raise DataError(_unknown(label, classes))
        return np.array([known[label] for label in labels.tolist()], dtype=np.int64)
    order = np.argsort(classes)
    places = order[np.searchsorted(classes, labels, sorter=order).clip(max=len(classes) - 1)]
    if (wrong := classes[places] != labels).any():
        raise DataError(_unknown(labels[wrong].tolist()[0], classes))
    return np.asarray(places, dtype=np.int64)


def _unknown(label: object, classes: np.ndarray) -> str:
    return f"{label!r} is not one of the classes {classes.tolist()[:10]}"


def _numbers(points: Float32[np.ndarray, "rows features"]) -> list[int]:
    """Return a number for each row, by which its noise is keyed: the same for the same values."""
    return [_number(row.tobytes()) for row in _plain(points)]


def _numbers_apart(points: Float32[np.ndarray, "rows features"]) -> list[int]:
    """Return these numbers, and others where a row is repeated: its votes are then independent."""
    seen: Counter[bytes] = Counter()
    numbers = []
    for row in _plain(points):
        values = row.tobytes()
        numbers.append(_number(values + seen[values] * b"again"))
        seen[values] += 1
    return numbers


def _plain(points: Float32[np.ndarray, "rows features"]) -> Float32[np.ndarray, "rows features"]:
    return points + np.float32(0)  # -0 and 0 are the same value


def _number(values: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(values, digest_size=8).digest(), "little") >> 1


def _positive_scale(scale: _Units, names: Iterable[str] | None) -> Float[np.ndarray, " features"]:
    """Return the scale as numbers in the order of the features, whose names are given if they have some."""
    given = numbers_in_order("scale", scale, names)
    try:
        units = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise SettingError(f"scale must be positive finite numbers, got {given!r:.80}") from error
    if (wrong := ~(np.isfinite(units) & (units > 0))).any():
        raise SettingError(f"scale must be positive finite numbers, got {units[wrong][0]:g}")
    return units


def _wrong_shape(features: int, units: np.ndarray) -> str:
    return f"scale must have one number for each of {features} features, got shape {units.shape}"


def _told(names: Sequence[str], units: Float[np.ndarray, " features"]) -> str:
    shown = [f"{name}{unit:g}" for name, unit in zip(names, units, strict=True)][:_SHOWN]
    return ", ".join([*shown, *(["..."] if len(units) > _SHOWN else [])])


def _seed(random_state: Any) -> int:
    if isinstance(random_state, int | np.integer):
        return require_count("random_state", int(random_state), 0)
    return int(check_random_state(random_state).randint(2**31))


def _frame(rows: np.ndarray, names: Any) -> Any:
    return pandas_for("a model whose features have names").DataFrame(rows, columns=list(names))
