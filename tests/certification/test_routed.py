"""A routed classifier: radii against known distances, how often certificates fail, what is refused."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from sfumato import (
    AnisotropicGaussian,
    Certificates,
    DiscretisedGaussian,
    Laplace,
    RoutedClassifier,
    SmoothedClassifier,
)
from sfumato.certification.certificate import Certificate
from sfumato.certification.routed import NO_CHOICE, largest_radius
from sfumato.errors import DataError, SettingError


def along(axis, beta, **others):
    """The side of a hyperplane through 0: its smoothed form is itself, at distance |x[axis]|."""
    return SmoothedClassifier(
        lambda x: torch.stack([-x[:, axis], x[:, axis]], dim=1), beta=beta, device="cpu", **others
    )


def two_planes():
    """x0 < 0 is decided by x1, x0 > 0 by x2."""
    return RoutedClassifier(along(0, 0.3), [along(1, 0.2), along(2, 0.6)])


def test_radii_are_the_distance_to_where_the_choice_or_the_class_changes():
    x = torch.tensor([[-0.5, 0.3, 9.0], [-0.2, -0.4, 9.0], [0.7, 9.0, -0.5], [0.4, 9.0, 1.0]])
    found = two_planes().certify(x, "fixed(100,100000)", labels=[1, 0, 0, 0])
    assert [row.predict for row in found.router] == [0, 0, 1, 1]
    assert [row.predict for row in found.routed] == [1, 0, 0, 1]
    radii = np.array([row.radius for row in found.routed])
    true = np.array([0.3, 0.2, 0.5, 0.4])
    assert (radii <= true).all()
    np.testing.assert_allclose(radii, true, rtol=0.03)
    assert [row.correct for row in found.routed] == [True, True, True, False]
    for routed, router, chosen in zip(found.routed, found.router, found.chosen, strict=True):
        assert routed.votes == router.votes + chosen.votes
        assert routed.confidence == 0.999
        assert router.confidence == chosen.confidence == pytest.approx(0.9995)
        assert routed.plan == "routed(fixed(100,100000); fixed(100,100000))"


@pytest.mark.parametrize("point", [(-0.2, 2.0), (-2.0, 0.2), (-0.2, 0.2)], ids=["router", "expert", "both"])
def test_a_radius_beyond_the_true_one_is_certified_as_seldom_as_promised(point):
    """A certificate at 0.2000001 would be false wherever it is given: to the choice, the class, or both."""
    times, confidence = 2000, 0.8
    x = torch.tensor([[*point, 0.0]]).repeat(times, 1)
    found = two_planes().certify(x, "decide(0.2000001,n_max=1000)", confidence=confidence)
    false = sum(row.radius >= 0.2000001 for row in found.routed)
    assert stats.binomtest(false, times, 1 - confidence, alternative="greater").pvalue > 1e-3
    assert false > 0 or point == (-0.2, 0.2)


def test_without_a_choice_no_expert_votes():
    x = torch.tensor([[0.0, 1.0, 1.0], [-1.0, 1.0, 1.0]])
    found = two_planes().certify(x, "fixed(10,200)")
    assert [row.predict for row in found.routed] == [-1, 1]
    assert (found.routed[0].stopped_by, found.routed[0].radius, found.chosen[0].votes) == (NO_CHOICE, 0.0, 0)
    assert list(two_planes().predict(x, 200, confidence=0.999, examples=[0, 1])) == [-1, 1]


def test_sound_parts_make_a_sound_whole():
    def sound(axis, beta):
        return along(axis, None, noise=DiscretisedGaussian(beta, steps=10))

    routed = RoutedClassifier(sound(0, 0.3), [sound(1, 0.2), sound(2, 0.6)])
    found = routed.certify(torch.tensor([[-1.0, 1.0, 9.0], [0.0, 1.0, 1.0]]), "fixed(10,30)").routed
    assert found[0].squared_steps == math.ceil((10 * found[0].radius) ** 2) - 1 > 0
    assert (found[1].predict, found[1].squared_steps) == (-1, -1)


def test_plans_may_differ_and_known_labels_reach_the_experts():
    x = torch.tensor([[-1.0, 1.0, 0.0], [-1.0, 1.0, 0.0]])
    found = two_planes().certify(x, "decide(0.1)", router_plan="fixed(10,1000)", known_labels=[1, 0])
    assert [row.predict for row in found.routed] == [1, -1]
    assert found.routed[0].radius == pytest.approx(0.1)
    assert found.router[0].plan == "fixed(10,1000)"


def test_results_depend_on_the_numbers_of_the_images_only():
    x = torch.randn(12, 3, generator=torch.Generator().manual_seed(0))
    whole = two_planes().certify(x, "curve(0.1,0.2)", examples=range(12)).routed
    split = two_planes()
    parts = split.certify(x[:5], "curve(0.1,0.2)").routed + split.certify(x[5:], "curve(0.1,0.2)").routed
    assert [(r.predict, r.radius, r.votes) for r in whole] == [(r.predict, r.radius, r.votes) for r in parts]


def test_what_cannot_be_routed_is_refused_in_one_line():
    with pytest.raises(SettingError, match="at least 2 experts to choose from, got 1"):
        RoutedClassifier(along(0, 0.3), [along(1, 0.2)])
    other = SmoothedClassifier(lambda x: x, noise=Laplace(0.3), device="cpu")
    with pytest.raises(SettingError, match="expert 1 are in the L1 norm, those of the router in L2"):
        RoutedClassifier(along(0, 0.3), [along(1, 0.2), other])
    sound = SmoothedClassifier(lambda x: x, noise=DiscretisedGaussian(0.3), device="cpu")
    with pytest.raises(SettingError, match="not in one unit; give the same scales to all, and a pixel grid"):
        RoutedClassifier(along(0, 0.3), [along(1, 0.2), sound])
    scaled = [
        SmoothedClassifier(lambda x: x, noise=AnisotropicGaussian(0.5, scales), device="cpu")
        for scales in ((1.0, 1.0), (0.01, 1.0))
    ]
    with pytest.raises(SettingError, match=r"scales \(0.01, 1\)\) and of the router .* not in one unit"):
        RoutedClassifier(scaled[0], [scaled[1], scaled[1]])
    assert RoutedClassifier(scaled[1], [scaled[1], scaled[1]]).experts
    for plan in ("top_k(2,50,2000)", "vote(3)"):
        with pytest.raises(SettingError, match="does not say which class is the most probable"):
            two_planes().certify(torch.zeros(2, 3), "fixed(10,100)", router_plan=plan)
        with pytest.raises(SettingError, match="a choice rests on; accepted are fixed"):
            two_planes().certify(torch.zeros(2, 3), plan, router_plan="fixed(10,100)")
    with pytest.raises(DataError, match=r"images must be an array .* got list; of a data set"):
        two_planes().predict([[0.0, 0.0, 0.0]])
    three = RoutedClassifier(along(0, 0.3), [along(1, 0.2), along(2, 0.2), along(1, 0.5)])
    with pytest.raises(DataError, match="the router has 2 classes for 3 experts"):
        three.certify(torch.zeros(2, 3), "decide(0.1)")
    with pytest.raises(DataError, match="3 labels for 2 images"):
        two_planes().certify(torch.zeros(2, 3), "decide(0.1)", labels=[0, 1, 1])
    with pytest.raises(DataError, match="1 example indices for 2 images"):
        two_planes().predict(torch.zeros(2, 3), examples=[4])
    with pytest.raises(SettingError, match="confidence"):
        two_planes().certify(torch.zeros(2, 3), "decide(0.1)", confidence=1.5)


@pytest.mark.parametrize("beta", [torch.full((4, 1), 0.5), np.array([0.2, 0.4]), lambda x: 0.5])
def test_noise_that_follows_the_input_is_refused_with_the_reason(beta):
    with pytest.raises(SettingError, match=r"void .*arXiv 2110\.05365.*RoutedClassifier"):
        SmoothedClassifier(lambda x: x, beta=beta)


def rows(*radii, label=3):
    return Certificates(
        Certificate(i, label, label if r >= 0 else -1, max(r, 0.0), 0.0) for i, r in enumerate(radii)
    )


def test_an_images_expert_is_the_one_of_the_largest_radius():
    found = largest_radius([rows(0.1, 0.4, -1, -1), rows(0.3, 0.2, 0.1, -1), rows(0.2, 0.4, 0.0, -1)])
    # the second and third certify three images each, the first two; ties go to the earlier of these
    assert found.tolist() == [1, 2, 1, 1]
    with pytest.raises(DataError, match="of the same images, all with labels"):
        largest_radius([rows(0.1), rows(0.1, label=4)])
    with pytest.raises(DataError, match="of the same images, all with labels"):
        largest_radius([rows(0.1, label=-1), rows(0.1, label=-1)])
    with pytest.raises(DataError, match="there are no certificates"):
        largest_radius([])
