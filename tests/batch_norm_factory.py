"""A small network with batch norms, for tests that name a factory."""

from torch import nn


def network(input_shape, classes):
    """Return a dense network of one batch norm behind another."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(64, 16),
        nn.BatchNorm1d(16),
        nn.ReLU(),
        nn.BatchNorm1d(16),
        nn.Linear(16, classes),
    )
