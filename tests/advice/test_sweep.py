import numpy as np
import pytest
import torch

from sfumato.advice.sweep import sweep, sweep_betas
from sfumato.datasets import Split
from sfumato.errors import SettingError


def interval_model(x):
    """Class 1 within 1 of the origin."""
    inside = 1.0 - x[:, 0].abs()
    return torch.stack([torch.zeros_like(inside), inside], dim=1)


SPLIT = Split(np.zeros((40, 1), np.float32), np.ones(40, np.int64))


def test_the_interval_is_lost_where_theory_says():
    # P(|beta Z| < 1) >= 1/2 if and only if beta <= 1 / Phi^-1(3/4) = 1.4826
    found = sweep(interval_model, SPLIT, 0.5, [0.0, 0.5, 1.1, 1.2, 2.2, 3.0])
    assert found.betas == (0.0, 0.5, 1.1, 1.2, 2.2)  # all is lost at 2.2: no more votes
    assert found.wrong.mean(axis=0)[[0, 1, 2]].tolist() == [0.0, 0.0, 0.0]
    assert found.risk(2.2) == 1.0
    assert found.kappa().alpha0 == 0.5


def test_the_risk_between_two_betas_is_interpolated_and_never_beyond():
    found = sweep(interval_model, SPLIT, 0.5, [0.0, 0.5, 3.0])
    assert found.risk(1.75) == pytest.approx(0.5 * found.risk(0.5) + 0.5 * found.risk(3.0))
    with pytest.raises(SettingError, match="got 4"):
        found.risk(4.0)


def test_betas_are_tenths_of_alpha_past_the_beta_asked_for():
    betas = sweep_betas(0.4, 0.9)
    assert betas[:3] == (0.0, 0.2, 0.24)
    assert betas[-1] >= 0.9
    assert len(sweep_betas(0.01, 1.0)) < 45
    assert sweep_betas(0.0, 0.5)[1] == 0.05


@pytest.mark.parametrize("betas", [[0.1, 0.2], [0.0], [0.0, 0.3, 0.2]])
def test_betas_begin_with_zero_and_increase(betas):
    with pytest.raises(SettingError, match="0 and larger ones"):
        sweep(interval_model, SPLIT, 0.5, betas)
