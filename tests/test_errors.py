"""The checks of single values answer whatever they are given in one line."""

import numpy as np
import pytest

from sfumato.errors import (
    SettingError,
    require_count,
    require_nonnegative,
    require_open_unit,
    require_positive,
)

CHECKS = require_count, require_nonnegative, require_open_unit, require_positive


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize(
    "value", ["0.5", "all", None, [0.5], 1j, float("nan"), float("inf"), 10**400, b"1", {}]
)
def test_what_is_no_number_is_refused_in_one_line(check, value):
    with pytest.raises(SettingError, match=r"^beta must [^\n]{,150}$"):
        check("beta", value)


def test_numbers_of_numpy_are_taken():
    assert require_positive("beta", np.float32(0.5)) == 0.5
    assert require_count("n", np.int64(20)) == 20
    assert require_count("n", 20.0) == 20


def test_a_count_that_no_array_can_hold_is_refused():
    assert require_count("seed", 2**63 - 1) == 2**63 - 1
    with pytest.raises(SettingError, match=r"n must be at most 2\^63 - 1"):
        require_count("n", 10**30)
