"""From a base classifier to votes, predictions and certificates."""

from sfumato.smoothing.certificate import Certificate
from sfumato.smoothing.smoothed import SmoothedClassifier

__all__ = ["Certificate", "SmoothedClassifier"]
