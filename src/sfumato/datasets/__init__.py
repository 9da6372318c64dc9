"""Data sets: official formats read strictly, and the user's own arrays and folders.

Pixels are float32 in [0, 1], NCHW; labels are int64 from 0. Nothing here normalises: that is a
layer of the model, so that alpha, beta and radii keep one unit everywhere.
"""

from sfumato.datasets.base import Dataset, Split
from sfumato.datasets.given import dataset_of
from sfumato.datasets.registry import dataset_names, load_dataset, register_dataset
from sfumato.errors import DataNote

__all__ = ["DataNote", "Dataset", "Split", "dataset_names", "dataset_of", "load_dataset", "register_dataset"]
