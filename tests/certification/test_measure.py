"""Radii of different norms, scales or units are not put side by side, wherever they come from."""

import json

import pytest
import torch

from sfumato import (
    AnisotropicGaussian,
    Certificates,
    DiscretisedGaussian,
    Gaussian,
    Laplace,
    SmoothedClassifier,
    Uniform,
)
from sfumato.certification.certificate import Certificate
from sfumato.certification.later_radii import at_radii
from sfumato.certification.measure import Measure, common_measure
from sfumato.certification.routed import largest_radius
from sfumato.errors import DataError
from sfumato.reporting.on_axes import plot_certified_accuracy, plot_radii

ROWS = [Certificate(0, 1, 1, 0.5, 0.1, confidence=0.999)]
PIXELS, OWN = "pixels in [0, 1]", "the data's own unit"
GAUSSIAN = Measure(unit=PIXELS)
SCALED, OTHER_SCALES = (Measure.under(AnisotropicGaussian(0.5, (1.0, s))) for s in (2.0, 3.0))


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (Measure.under(Uniform(0.5), PIXELS), "a has L2 radii and b L1 radii, which .*of one norm"),
        (SCALED, "a has L2 radii and b L2 in scales radii"),
        (Measure(unit=OWN), "a has radii in 'pixels in .0, 1.' and b in 'the data's own unit'.*of one unit"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(other, words):
    with pytest.raises(DataError, match=words) as error:
        common_measure([("a", GAUSSIAN), ("b", other)])
    assert "\n" not in str(error.value)
    with pytest.raises(DataError, match=r"the left side of \+ has .* the right side"):
        Certificates(ROWS, measure=GAUSSIAN) + Certificates(ROWS, measure=other)
    named = {"a": Certificates(ROWS, measure=GAUSSIAN), "b": Certificates(ROWS, measure=other)}
    for draw in (plot_certified_accuracy, plot_radii):
        with pytest.raises(DataError, match=words):
            draw(named)
    with pytest.raises(DataError, match=r"expert 0 has .* expert 1"):
        largest_radius(list(named.values()))


def test_other_scales_are_refused_and_a_unit_that_is_not_said_goes_with_every_one():
    with pytest.raises(DataError, match="a and b have L2 in scales radii of different scales"):
        common_measure([("a", SCALED), ("b", OTHER_SCALES)])
    assert common_measure([("a", Measure()), ("b", GAUSSIAN)]) == GAUSSIAN
    with pytest.raises(DataError, match=r"b has radii in 'pixels in .0, 1.' and c in"):
        common_measure([("a", Measure()), ("b", GAUSSIAN), ("c", Measure(unit=OWN))])


def test_noises_of_one_distance_can_be_compared_whatever_their_form():
    assert Measure.under(Uniform(0.1)).goes_with(Measure.under(Laplace(0.5)))
    # sound radii are the same distances, of images on the grid
    assert Measure.under(Gaussian(0.1)).goes_with(Measure.under(DiscretisedGaussian(0.5)))
    both = Certificates(ROWS, measure=GAUSSIAN) + Certificates(ROWS, measure=Measure())
    assert (len(both), both.measure) == (2, GAUSSIAN)
    assert (Certificates(ROWS) + ROWS).measure is None
    assert (Certificates(ROWS) + both).measure == GAUSSIAN


def test_settings_say_the_measure_as_far_as_they_go():
    assert Measure.of(None) == Measure() == Measure.of({"beta": 0.5})
    assert Measure.of({"norm": "L1"}).norm == "L1"
    assert Measure.of({"noise": "of a plug-in", "beta": 1.0, "norm": "L7"}).distance == ("L7",)
    found = Measure.of({**AnisotropicGaussian(0.5, (1.0, 2.0)).identity(), "norm": "L2 in scales"})
    assert found == SCALED


def test_certificates_know_their_measure_wherever_they_come_from(digits, tmp_path):
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    smoothed = SmoothedClassifier(model, noise=Uniform(0.5), device="cpu")
    of_tensor = smoothed.certify(torch.from_numpy(digits.test.x[:2]), "curve(0.1,n_max=100)")
    assert of_tensor.measure == of_tensor[:1].measure == Measure(("L1",))
    assert at_radii(of_tensor, [0.05], noise=Uniform(0.5)).measure == Measure(("L1",))
    with pytest.raises(DataError, match="L1 radii and the right side L2 radii"):
        of_tensor + SmoothedClassifier(model, 0.5, device="cpu").certify(
            torch.from_numpy(digits.test.x[:1]), "fixed(10,20)"
        )
    table = tmp_path / "t.tsv"
    of_tensor.to_tsv(table)
    assert Certificates.from_tsv(table).measure is None
    (tmp_path / "t.tsv.json").write_text(json.dumps({"noise": "uniform", "beta": 0.5, "unit": PIXELS}))
    assert Certificates.from_tsv(table).measure == Measure(("L1",), PIXELS)


def test_figures_of_certificates_have_their_norm_and_unit():
    l1 = Certificates(ROWS, measure=Measure(("L1",), PIXELS))
    assert plot_certified_accuracy(l1).get_xlabel() == "L1 radius (pixels in [0, 1])"
    assert plot_certified_accuracy(ROWS).get_xlabel() == "L2 radius (unit of the input)"
