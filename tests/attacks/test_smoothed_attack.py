import math

import numpy as np
import pytest
import torch

from sfumato.attacks.smoothed_attack import Attack, AttackedImage, attacked_accuracy
from sfumato.certification.smoothed_classifier import SmoothedClassifier
from sfumato.errors import DataError, ModelError, SettingError
from sfumato.noise import DiscretisedGaussian, Gaussian


def linear():
    """Return a linear classifier, images, their labels and their exact distances to its boundary."""
    generator = torch.Generator().manual_seed(0)
    layer = torch.nn.Linear(12, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(2, 12, generator=generator))
        layer.bias.copy_(torch.tensor([0.1, -0.1]))
    x = torch.randn(8, 12, generator=generator)
    score = (x @ (layer.weight[0] - layer.weight[1]) + 0.2).detach()
    return (
        layer,
        x,
        (score < 0).long().tolist(),
        score.abs() / (layer.weight[0] - layer.weight[1]).norm().detach(),
    )


def test_on_a_linear_classifier_the_distance_is_the_true_one():
    model, x, labels, true = linear()
    attack = Attack(radii=(0.25, 0.5, 1.0, 2.0, 4.0), steps=8, restarts=1, draws=8, n_max=30_000)
    found = np.array([image.distance for image in attack.run(model, x, labels, Gaussian(0.1))])
    assert (found >= 0.999 * true.numpy()).all()
    far = true.numpy() > 0.15  # closer ones are told from the boundary to 30,000 votes
    assert far.sum() >= 5
    assert found[far] == pytest.approx(true.numpy()[far], rel=0.02)


def test_what_is_found_lies_beyond_each_certified_radius():
    model, x, labels, _ = linear()
    certificates = SmoothedClassifier(model, beta=0.3).certify(x, "fixed(100,10000)", labels=labels)
    attacked = Attack(radii=(0.5, 1.0, 2.0), steps=6, draws=8).run(model, x, labels, Gaussian(0.3))
    for row, image in zip(certificates, attacked, strict=True):
        assert image.distance > row.radius or not row.correct
    assert any(math.isfinite(image.distance) for image in attacked)


def test_an_image_that_is_answered_wrongly_has_distance_0_and_a_safe_one_none():
    model, x, labels, true = linear()
    labels[0] = 1 - labels[0]
    radius = float(true[1:].min()) / 2
    found = Attack(radii=(radius,), steps=3, draws=4).run(model, x, labels, Gaussian(0.05))
    assert (found[0].distance, found[0].prediction) == (0.0, 1 - labels[0])
    assert all(math.isinf(image.distance) for image in found[1:])
    assert attacked_accuracy(found, 0.0) == 7 / 8


def test_the_result_does_not_depend_on_which_images_are_attacked_together():
    model, x, labels, _ = linear()
    attack = Attack(radii=(0.5, 1.5), steps=4, draws=4, n_max=1000)
    together = attack.run(model, x, labels, Gaussian(0.2), seed=3)
    alone = attack.run(model, x[4:5], labels[4:5], Gaussian(0.2), examples=[4], seed=3)
    assert alone[0] == together[4]
    assert attack.run(model, x, labels, Gaussian(0.2), seed=4) != together


def test_straight_through_finds_what_softmax_finds():
    model, x, labels, true = linear()
    attack = Attack(radii=(4.0,), steps=8, restarts=1, surrogate="straight-through")
    found = np.array([image.distance for image in attack.run(model, x, labels, Gaussian(0.3))])
    assert np.isfinite(found[true.numpy() < 3.5]).all()


class Detached(torch.nn.Linear):
    def forward(self, x):
        return super().forward(x).detach()


def test_bad_input_is_told_in_one_line():
    model, x, labels, _ = linear()
    with pytest.raises(ModelError, match="<lambda>: an attack needs gradients"):
        Attack(radii=(1.0,)).run(lambda x: x[:, :2], x, labels, Gaussian(0.3))
    with pytest.raises(ModelError, match="Detached: the gradient of the attack failed"):
        Attack(radii=(1.0,)).run(Detached(12, 2), x, labels, Gaussian(0.3))
    with pytest.raises(DataError, match="2 labels for 8 images"):
        Attack(radii=(1.0,)).run(model, x, [0, 1], Gaussian(0.3))
    for settings, words in (
        ({"radii": ()}, "radii must be increasing and above 0, got none"),
        ({"radii": (-1.0,)}, "got -1"),
        ({"radii": (1.0,), "steps": 0}, "steps must be a whole number of at least 1"),
        (
            {"radii": (1.0,), "surrogate": "hinge"},
            "surrogate must be softmax or straight-through, got 'hinge'",
        ),
    ):
        with pytest.raises(SettingError, match=words):
            Attack(**settings)
    with pytest.raises(DataError, match="no attacked image"):
        attacked_accuracy([], 0.5)


def test_accuracy_counts_what_is_broken_within_the_radius():
    images = [AttackedImage(i, 0, 0, d) for i, d in enumerate((0.0, 0.5, 1.0, math.inf))]
    assert [attacked_accuracy(images, r) for r in (0.0, 0.4, 0.5, 9.0)] == [0.75, 0.75, 0.5, 0.25]


def test_a_classifier_on_a_pixel_grid_is_refused_before_anything_is_attacked():
    model, x, labels, _ = linear()
    with pytest.raises(SettingError, match="moves images off the pixel grid, and discretised noise"):
        Attack(radii=(0.5,)).run(model, x, labels, DiscretisedGaussian(0.3))


@pytest.mark.parametrize(("label", "error"), [(-1, DataError), (2, ModelError)])
def test_an_image_without_a_class_is_not_broken_but_refused(label, error):
    model, x, _, _ = linear()
    attack = Attack(radii=(0.5,), steps=2, draws=2, n_max=1000)
    with pytest.raises(error, match="got label -1" if label < 0 else "2 classes, but the data has 3"):
        attack.run(model, 9.0 * x[:1], [label], Gaussian(0.05), device="cpu")


def test_arrays_and_doubles_are_attacked_as_they_are_certified():
    model, x, labels, _ = linear()
    attack = Attack(radii=(1.0,), steps=2, restarts=1, draws=2, n_max=1000)
    found = attack.run(model, x[:2], labels[:2], Gaussian(0.2), device="cpu")
    for other in (x[:2].numpy(), x[:2].double()):
        assert attack.run(model, other, labels[:2], Gaussian(0.2), device="cpu") == found


def test_pixels_of_bytes_are_told_once(recwarn):
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 2)).eval()
    x = 255.0 * torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    attack = Attack(radii=(0.5,), steps=1, restarts=1, draws=1, n_max=100)
    attack.run(model, x, [0, 1], Gaussian(0.5), device="cpu")
    assert sum("almost no noise" in str(said.message) for said in recwarn) == 1
