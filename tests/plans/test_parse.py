"""Plans as they are written on the command line."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfumato.errors import SettingError
from sfumato.plans import Curve, Decide, Fixed, Precision, Predict, Vote, parse_plan

RADII = st.lists(st.floats(0.0, 10.0), min_size=1, max_size=6, unique=True).map(sorted).map(tuple)
CAPS = st.integers(1000, 10**7)


@given(RADII, CAPS, st.integers(1, 1000), st.floats(1.0, 1e9))
def test_a_curve_is_read_back_bit_for_bit(radii, n_max, chunk, cost):
    plan = Curve(radii, n_max, chunk, cost)
    assert parse_plan(plan.name) == plan


@pytest.mark.parametrize(
    ("text", "plan"),
    [
        ("fixed", Fixed()),
        ("fixed(100,1000)", Fixed(100, 1000)),
        ("fixed(n0=10)", Fixed(n0=10)),
        ("decide(0.5)", Decide(0.5)),
        (" decide( 0.5 , chunk = 128 ) ", Decide(0.5, chunk=128)),
        ("decide(radius=.5)", Decide(0.5)),
        ("curve(0.25,0.5,0.75)", Curve((0.25, 0.5, 0.75))),
        ("curve(0.25,0.5,n_max=10000,cost=1e6)", Curve((0.25, 0.5), n_max=10_000, cost=1e6)),
        ("precision(0.05)", Precision(0.05)),
        ("predict", Predict()),
        ("predict()", Predict()),
        ("predict(n_max=1000)", Predict(n_max=1000)),
        ("vote(100)", Vote(100)),
    ],
)
def test_a_plan_is_what_its_text_says(text, plan):
    assert parse_plan(text) == plan


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "plan must be one of fixed"),
        ("cohen(100)", r"plan must be one of fixed\(n0,n\)"),
        ("decide(0.5", "plan must be one of"),
        ("decide(0.5))", "plan must be one of"),
        ("decide", r"lacks a setting; write it as decide\(radius\)"),
        ("decide(0.5,0.7)", "takes 1 unnamed settings, got 2"),
        ("decide(half)", "radius must be a number, got 'half'"),
        ("decide(nan)", "must be a number"),
        ("decide(1_0)", "must be a number"),
        ("decide(0.5,chunk=1.5)", "chunk must be a whole number"),
        ("decide(0.5,chunk=-1)", "chunk must be a whole number"),
        ("decide(0.5,growth=2)", "takes each of .* got 'growth'"),
        ("decide(0.5,chunk=1,chunk=2)", "once by name"),
        ("decide(0.5,radius=0.5)", "takes each of|once"),
        ("decide(chunk=32,0.5)", "named settings last"),
        ("curve()", "at least one radius"),
        ("curve(0.5,0.25)", "strictly increasing"),
        ("curve(radii=0.5)", "got 'radii'"),
        ("vote(100,,)", "must be|takes"),
        ("vote(1e2)", "whole number"),
        ("fixed(0,10)", "n0 must be a whole number of at least 1"),
        ("decide(0.5,n_max=10)", "first look of 32"),
        ("__import__('os')", "plan must be one of"),
        (f"vote({'9' * 5000})", "n must be a whole number of at most 15 digits, got '999"),
        (f"decide({'9' * 5000})", "radius must be a finite number of at least 0, got inf"),
        (f"curve({','.join(['0.5'] * 10**6)})", "a plan has at most 20000 characters, got 4000006"),
        (f"fixed({',' * 10_000})", "takes 2 unnamed settings, got 10001"),
        ("(" * 20_000, "plan must be one of"),
        (" " * 20_000, "plan must be one of"),
        ("a" * 20_000, "plan must be one of"),
        ("decide(\u0661)", "radius must be a number"),
    ],
)
def test_anything_else_is_refused_at_once_in_one_short_line(text, message):
    began = time.perf_counter()
    with pytest.raises(SettingError, match=message) as refused:
        parse_plan(text)
    assert time.perf_counter() - began < 1
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 400


PIECES = st.one_of(
    st.sampled_from(["0", "1", "-1", "0.5", "1e308", "1e309", "5e-324", "nan", "inf", "9" * 15, "9" * 5000]),
    st.sampled_from(
        ["\u0663", "1_0", "0x1", "n", "n0=1", "chunk=0", "cost=1e400", "eps", "=", "", "curve(1)"]
    ),
    st.text(max_size=5),
)
NAMES = st.sampled_from(
    ["fixed", "two_class", "decide", "curve", "precision", "predict", "vote", "", "Fixed"]
)


@given(NAMES, st.lists(PIECES, max_size=5))
def test_any_text_is_a_plan_or_one_short_line(name, pieces):
    said = ""
    try:
        plan = parse_plan(f"{name}({','.join(pieces)})")
        assert parse_plan(plan.name) == plan
    except SettingError as error:
        said = str(error)
    assert len(said) < 400
    assert len(said.splitlines()) <= 1
