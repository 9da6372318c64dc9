"""Noise with a scale for each feature: what is drawn, and its ellipsoids around a linear classifier."""

import json

import numpy as np
import pytest
import torch
from scipy import stats

from sfumato import SmoothedClassifier
from sfumato.errors import SettingError
from sfumato.noise import AnisotropicGaussian, Gaussian, Span, Stream, Use, make_noise


def drawn(noise, *shape, seed=0):
    out = torch.empty(*shape)
    noise.draw(out, Stream(Use.VOTES, seed, Span(3)))
    return out


def test_each_feature_has_its_own_deviation():
    found = drawn(AnisotropicGaussian(0.5, (10.0, 0.1)), 40_000, 2)
    np.testing.assert_allclose(found.std(dim=0), [5.0, 0.05], rtol=0.02)
    assert stats.kstest(found[:, 0] / 5.0, "norm").pvalue > 0.01


def test_it_is_the_isotropic_noise_in_units_of_the_scales():
    scaled = drawn(AnisotropicGaussian(0.5, (2.0, 4.0, 0.5)), 7, 3, 4, 4)
    plain = drawn(Gaussian(0.5), 7, 3, 4, 4)
    # powers of two are exact; one scale for each channel
    assert torch.equal(scaled, plain * torch.tensor([2.0, 4.0, 0.5])[:, None, None])
    assert torch.equal(drawn(AnisotropicGaussian(0.5, (1.0,)), 7, 3), drawn(Gaussian(0.5), 7, 3))
    every = AnisotropicGaussian(0.5, tuple(2.0**i for i in range(6)))
    assert torch.equal(
        drawn(every, 5, 2, 3), drawn(Gaussian(0.5), 5, 2, 3) * 2.0 ** torch.arange(6.0).reshape(2, 3)
    )


def test_a_linear_classifier_is_certified_up_to_its_hyperplane_and_not_beyond():
    # "w x > 0" at x: the nearest point of the hyperplane, measured in scales, is w x / |s w| away
    scales, w, x = np.array([10.0, 0.1]), np.array([0.05, 4.0]), np.array([3.0, 0.02])
    noise = AnisotropicGaussian(0.5, tuple(scales))
    distance = w @ x / np.linalg.norm(scales * w)
    q = stats.norm.cdf(-w @ x / (0.5 * np.linalg.norm(scales * w)))
    assert noise.radius(q) == pytest.approx(distance)
    model = torch.nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor(np.array([[0.0, 0.0], w])))
    smoothed = SmoothedClassifier(model, noise=noise, device="cpu", batch_size=1000)
    (found,) = smoothed.certify(torch.tensor(x[None]).float(), "fixed(100,20000)")
    assert found.prediction == 1
    assert 0.9 * distance < found.radius <= distance
    np.testing.assert_allclose(noise.half_axes(found.radius), found.radius * scales)


def test_its_identity_is_written_and_read_and_its_radii_are_not_those_of_another_norm():
    noise = make_noise("anisotropic", 0.5, scales=[10, 0.1])
    assert noise == AnisotropicGaussian(0.5, (10.0, 0.1))
    written = json.loads(json.dumps(noise.identity()))
    assert written == noise.identity() == {"noise": "anisotropic", "beta": 0.5, "scales": [10.0, 0.1]}
    assert noise.norm != Gaussian(0.5).norm
    assert "0.5 times scales (10, 0.1)" in str(noise)


def test_wrong_scales_are_refused():
    for scales in ((0.0,), (-1.0, 1.0), (float("nan"),)):
        with pytest.raises(SettingError, match="each scale must be a positive finite number"):
            AnisotropicGaussian(0.5, scales)
    with pytest.raises(SettingError, match="scales must name"):
        make_noise("anisotropic", 0.5)
    with pytest.raises(SettingError, match="one for each of 4 features or 4 channels, got 3"):
        drawn(AnisotropicGaussian(0.5, (1.0, 2.0, 3.0)), 2, 4)
    with pytest.raises(SettingError, match="gaussian noise has no scales"):
        make_noise("gaussian", 0.5, scales=(1.0,))


def test_scales_by_name_are_refused_as_features_of_an_array_have_none():
    with pytest.raises(
        SettingError, match=r"scales has names .'income', 'age'., but what it is for has none"
    ):
        AnisotropicGaussian(0.5, {"income": 1e4, "age": 10.0})
    assert AnisotropicGaussian(0.5, np.array([10.0, 0.1])).scales == (10.0, 0.1)
    for wrong in (3.0, [None]):
        with pytest.raises(SettingError, match="scales must be a sequence of positive numbers"):
            AnisotropicGaussian(0.5, wrong)
