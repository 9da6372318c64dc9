"""Training base classifiers: one file per method over one loop."""

from sfumato.training.loop import EpochReport, TrainingSettings, train

__all__ = ["EpochReport", "TrainingSettings", "train"]
