"""Sizes that papers have, and colours that eyes tell apart."""

import pytest

from sfumato.errors import SettingError
from sfumato.reporting.style import COLOURS, figure_size, figure_width


def luminance(colour):
    """Relative luminance by WCAG 2.2."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_every_colour_stands_out_from_a_dark_page_and_has_its_own_light_twin():
    assert len({colour.light for colour in COLOURS}) == len({colour.dark for colour in COLOURS}) == 7
    assert min(contrast(colour.dark, "#1c2024") for colour in COLOURS) > 4.5
    assert min(contrast(colour.light, "#ffffff") for colour in COLOURS) > 2.1


def test_widths_are_words_or_inches():
    assert figure_width("column") < figure_width("text")
    assert figure_width("4.2") == 4.2
    for wrong in ("page", "0.2", "nan", "99"):
        with pytest.raises(SettingError, match=r"width must be column, text or inches from 1\.5 to 40"):
            figure_width(wrong)


def test_the_usual_height_is_that_of_the_golden_ratio():
    width, height = figure_size(5.5)
    assert width / height == pytest.approx((1 + 5**0.5) / 2, abs=0.01)
    with pytest.raises(SettingError, match=r"height must be inches from 1 to 40, got 0\.1"):
        figure_size(5.5, 0.1)
