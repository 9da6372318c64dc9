"""Small networks with batch norms, for tests that name a factory."""

import torch
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


def shared(input_shape, classes):
    """Return a network that uses one batch norm in two places."""
    norm = nn.BatchNorm1d(64)
    return nn.Sequential(nn.Flatten(), norm, nn.ReLU(), norm, nn.Linear(64, classes))


def without_statistics(input_shape, classes):
    """Return a network whose batch norm uses the statistics of each batch."""
    norm = nn.BatchNorm1d(64, track_running_stats=False)
    return nn.Sequential(nn.Flatten(), norm, nn.Linear(64, classes))


class FrozenBatchNorm(nn.Module):
    """Normalises by fixed statistics, as torchvision's layer of this kind."""

    def __init__(self):
        super().__init__()
        self.register_buffer("running_mean", torch.zeros(64))
        self.register_buffer("running_var", torch.ones(64))

    def forward(self, x):
        """Return the normalised batch."""
        return (x - self.running_mean) * self.running_var.rsqrt()


def frozen(input_shape, classes):
    """Return a network with a batch norm whose statistics are fixed."""
    return nn.Sequential(nn.Flatten(), FrozenBatchNorm(), nn.Linear(64, classes))
