"""Each method's loss against a computation in NumPy of its paper's formula, and its gradient."""

import numpy as np
import pytest
import torch
from scipy.special import ndtri, softmax

from sfumato.noise import Gaussian, Span, Stream, Use
from sfumato.training.methods.base import noise_copies
from sfumato.training.methods.cat_rs import CatRs
from sfumato.training.methods.consistency import Consistency
from sfumato.training.methods.macer import Macer
from sfumato.training.methods.smoothadv import SmoothAdv
from sfumato.training.methods.smoothmix import SmoothMix
from sfumato.training.methods.stability import Stability

ALPHA = 0.4
WEIGHT = np.array([[1.0, -0.5], [0.2, 0.8], [-0.9, 0.1]])
BIAS = np.array([0.1, -0.2, 0.05])
X = np.array([[0.9, -0.3], [0.1, 0.7], [-0.6, 0.2], [0.4, 0.4], [-0.2, -0.8]])
Y = np.array([0, 1, 2, 0, 1])


def network():
    layer = torch.nn.Linear(2, 3)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(WEIGHT))
        layer.bias.copy_(torch.from_numpy(BIAS))
    return layer


def stream():
    return Stream(Use.TRAINING_NOISE, 3, Span(0))


def loss_of(method, model=None):
    x = torch.from_numpy(X).float()
    return method.loss(model or network(), x, torch.from_numpy(Y), Gaussian(ALPHA), stream())


def noises(draws):
    return noise_copies(torch.from_numpy(X).float(), draws, Gaussian(ALPHA), stream()).double().numpy()


def uniforms(part, width):
    found = torch.empty(len(X), width, dtype=torch.float64)
    stream().part(part).uniform(found)
    return found.numpy()


def probabilities(x, temperature=1.0):
    return softmax(temperature * (x @ WEIGHT.T + BIAS), axis=-1)


def cross_entropy(probability, labels=Y):
    return -np.log(np.take_along_axis(probability, labels[..., None], axis=-1)[..., 0])


def test_stability():
    clean, noisy = probabilities(X), probabilities(X + noises(1)[0])
    by_hand = cross_entropy(clean).mean() - 3.0 * (clean * np.log(noisy)).sum(1).mean()
    assert loss_of(Stability(lbd=3.0)).item() == pytest.approx(by_hand, rel=1e-5)


def test_consistency():
    each = probabilities(X + noises(3))
    mean = each.mean(0)
    divergence = (mean * np.log(mean / each)).sum(2).mean()
    entropy = -(mean * np.log(mean)).sum(1).mean()
    by_hand = cross_entropy(each, np.tile(Y, (3, 1))).mean() + 7.0 * divergence + 0.5 * entropy
    assert loss_of(Consistency(draws=3, lbd=7.0, eta=0.5)).item() == pytest.approx(by_hand, rel=1e-5)


@pytest.mark.parametrize("gamma", [1.5, 8.0])
def test_macer(gamma):
    copies = X + noises(4)
    sharp = probabilities(copies, temperature=2.0).mean(0)
    hinge = 0.0
    for row, label in zip(sharp, Y, strict=True):
        second, first = np.sort(row)[-2:]
        if row.argmax() == label:
            hinge += max(0.0, gamma - ndtri(first) + ndtri(second))
    by_hand = cross_entropy(probabilities(copies).mean(0)).mean() + 6.0 * ALPHA / 2 * hinge / len(X)
    method = Macer(draws=4, lbd=6.0, gamma=gamma, inverse_temperature=2.0)
    assert loss_of(method).item() == pytest.approx(by_hand, rel=1e-5)
    assert hinge > 0


def mean_loss_gradient(x, noise):
    """Return the gradient in x of -log of the mean probability of the label, of length 1."""
    each = probabilities(x + noise)
    right = np.take_along_axis(each, np.tile(Y, (len(noise), 1))[..., None], axis=-1)[..., 0]
    inner = WEIGHT[Y] - each @ WEIGHT
    gradient = -(right[..., None] * inner).mean(0) / right.mean(0)[:, None]
    return gradient / np.linalg.norm(gradient, axis=1, keepdims=True)


def test_smoothadv_moves_within_its_ball_along_the_gradient_of_the_mean_prediction():
    noise = noises(2)
    delta = np.zeros_like(X)
    for _ in range(3):
        delta = delta + 2 * 0.3 / 3 * mean_loss_gradient(X + delta, noise)
        length = np.linalg.norm(delta, axis=1, keepdims=True)
        delta = delta * np.minimum(1.0, 0.3 / np.maximum(length, 1e-12))
    by_hand = cross_entropy(probabilities(X + delta + noise), np.tile(Y, (2, 1))).mean()
    method = SmoothAdv(draws=2, epsilon=0.3, steps=3, warmup=1)
    assert loss_of(method).item() == pytest.approx(by_hand, rel=1e-4)


def test_smoothmix():
    noise, weight = noises(2), uniforms(2, 1) / 2
    near = X + 0.4 * mean_loss_gradient(X, noise)
    far = near + 0.4 * mean_loss_gradient(near, noise)
    mean = probabilities(near + noise).mean(0)
    target = (1 - weight) * mean + weight / 3
    mixed = probabilities((1 - weight) * near + weight * far + noise)
    divergence = (target * np.log(target / mixed)).sum(2).mean(0) * (mean.argmax(1) == Y)
    both = np.tile(Y, (2, 1))
    by_hand = cross_entropy(probabilities(near + noise), both).mean() + 5.0 * divergence.mean()
    method = SmoothMix(draws=2, steps=2, step_size=0.4, eta=5.0)
    assert loss_of(method).item() == pytest.approx(by_hand, rel=1e-4)


def test_cat_rs_counts_the_copies_that_are_right():
    each = probabilities(X + noises(4))
    right = (each.argmax(2) == Y).mean(0)
    kept = np.maximum(1, (uniforms(2, 4) < right[:, None]).sum(1))
    losses = np.sort(cross_entropy(each, np.tile(Y, (4, 1))), axis=0)
    by_hand = np.mean([losses[:k, i].sum() / 4 for i, k in enumerate(kept)])
    assert loss_of(CatRs(lbd=0.0)).item() == pytest.approx(by_hand, rel=1e-5)
    # with an attack of no size, the second part is the largest cross-entropy where all copies count
    worst = np.where(kept == 4, losses[-1], 0.0).mean()
    assert loss_of(CatRs(lbd=2.0, epsilon=1e-9)).item() == pytest.approx(by_hand + 2.0 * worst, rel=1e-5)
    assert 4 in kept
    assert kept.min() < 4


@pytest.mark.parametrize(
    "method",
    [
        Stability(),
        Consistency(),
        Macer(inverse_temperature=2.0),
        SmoothAdv(draws=2, epsilon=1e-6),
        SmoothMix(step_size=1e-6),
        CatRs(epsilon=1e-6),
    ],
    ids=lambda method: method.name,
)
def test_the_gradient_is_that_of_finite_differences(method):
    model = network()
    loss_of(method, model).backward()
    direction = [torch.full_like(p, 0.3) * torch.sign(p.grad) for p in model.parameters()]
    slope = sum((d * p.grad).sum().item() for d, p in zip(direction, model.parameters(), strict=True))
    values, step = [], 3e-3
    for sign in (1, -1):
        moved = network()
        with torch.no_grad():
            for p, d in zip(moved.parameters(), direction, strict=True):
                p.add_(sign * step * d)
        values.append(loss_of(method, moved).item())
    assert (values[0] - values[1]) / (2 * step) == pytest.approx(slope, rel=0.02)
