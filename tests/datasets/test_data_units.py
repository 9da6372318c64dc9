"""Units are decided from all arrays together; the expected factor is 1/255 or 1, known beforehand."""

import numpy as np
import pytest

from sfumato.datasets.units import OWN_UNIT, PIXELS, in_one_unit
from sfumato.errors import DataError

RNG = np.random.default_rng(0)
FLOATS = RNG.random((40, 1, 8, 8)).astype(np.float32)
BYTES = RNG.integers(0, 256, (40, 1, 8, 8), dtype=np.uint8)
ROWS = RNG.normal(size=(40, 5)) * [1, 10, 100, 1000, 0.1]


@pytest.mark.parametrize(
    ("x", "factor", "unit"),
    [
        (BYTES, 255, PIXELS),
        (BYTES.reshape(40, 64), 255, PIXELS),
        (FLOATS, 1, PIXELS),
        (FLOATS.astype(np.float16), 1, PIXELS),
        (FLOATS.astype(np.longdouble), 1, PIXELS),
        (FLOATS.astype(">f8"), 1, PIXELS),
        (FLOATS[::-1, :, ::-1], 1, PIXELS),
        (FLOATS > 0.5, 1, PIXELS),
        (4 * FLOATS - 2, 1, OWN_UNIT),
        (255 * FLOATS, 1, OWN_UNIT),
        (BYTES.astype(np.int64), 1, OWN_UNIT),
        (ROWS, 1, OWN_UNIT),
    ],
)
def test_one_array_is_scaled_by_its_type_only(x, factor, unit):
    found = in_one_unit({"x": x, "x_test": x[:5]})
    assert found.unit == unit
    for values, given in zip(found.arrays, (x, x[:5]), strict=True):
        assert values.dtype == np.dtype("=f4")
        assert values.flags["C_CONTIGUOUS"]
        assert np.allclose(values, np.asarray(given, np.float64) / factor, rtol=1e-6)


@pytest.mark.parametrize(
    ("x", "x_test"),
    [
        (BYTES, 255 * FLOATS),
        (BYTES, FLOATS),
        (BYTES, BYTES.astype(np.int32)),
        (BYTES, BYTES > 9),
        (FLOATS, 255 * FLOATS),
        (FLOATS, FLOATS / 255),
        (FLOATS, 2 * FLOATS - 1),
        (FLOATS, 4 * FLOATS - 2),
        (FLOATS, 16 * FLOATS),
        (255 * FLOATS, 255 * FLOATS - 127),
        (255 * FLOATS, 2 * FLOATS - 1),
        (65535 * FLOATS, 255 * FLOATS),
        (4 * FLOATS - 2, 255 * FLOATS),
        (ROWS, 50 * ROWS),
        (BYTES, BYTES // 128),
    ],
)
def test_two_units_are_refused_whichever_comes_first(x, x_test):
    for arrays in ({"x": x, "x_test": x_test}, {"x": x_test, "x_test": x}):
        with pytest.raises(DataError, match="unit") as error:
            in_one_unit(arrays, "d.npz")
        assert str(error.value).startswith("d.npz: ")


@pytest.mark.parametrize(
    ("x", "x_test"),
    [
        (FLOATS, FLOATS[:1] * 0.3),  # a dark image
        (FLOATS, np.zeros_like(FLOATS[:2])),
        (FLOATS * 1.1 - 0.05, FLOATS),  # resized with an overshoot
        (4 * FLOATS - 2, 4 * FLOATS[:3] - 1.9),
        (BYTES, BYTES[:1] // 4),
        (ROWS, ROWS[:1]),
        (ROWS[:, :1], ROWS[1:2, :1]),
        (RNG.standard_cauchy((40, 3)), RNG.standard_cauchy((40, 3))),
    ],
)
def test_what_one_unit_may_hold_is_accepted(x, x_test):
    in_one_unit({"x": x, "x_test": x_test})


@pytest.mark.parametrize(
    ("x", "words"), [(255 * FLOATS, "pixels from 0 to 25"), (BYTES // 16, "bytes reach only 15 of 255")]
)
def test_a_doubtful_scale_is_noted(x, words):
    (line,) = in_one_unit({"x": x}).notes
    assert words in line


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (FLOATS.astype(complex), "real numbers, got complex128"),
        (np.array([["a"]]), "real numbers"),
        (np.zeros((2, 2), object), "real numbers"),
        (np.zeros((2, 2), "m8[s]"), "real numbers"),
        (np.float32(3), r"one row per example, got shape \(\)"),
        (np.zeros(3), r"one row per example, got shape \(3,\)"),
        (np.zeros((0, 3)), "no examples"),
        (np.zeros((3, 0)), "without values"),
        (np.array([[1.0], [np.inf]]), "example 1 holds NaN or infinite"),
        (np.array([[1e300]]), r"holds 1e\+300, more than float32"),
        ((BYTES > 9).astype(np.uint8), "all 0 or 1"),
    ],
)
def test_numbers_without_a_meaning_are_refused(x, words):
    with pytest.raises(DataError, match=words):
        in_one_unit({"x": x})
