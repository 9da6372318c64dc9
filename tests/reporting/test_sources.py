"""Sources are read for what they are, named apart, and refused in one line."""

import json
import os

import pytest

from sfumato.errors import DataError
from sfumato.reporting.sources import read_sources

THEIRS = "idx\tlabel\tpredict\tradius\tcorrect\ttime\n0\t3\t3\t0.378\t1\t15.4\n20\t7\t-1\t0.0\t0\t0:00:15.6\n"
# some descendants of locuslab/smoothing append columns of their own
EXTRA = (
    "idx\tlabel\tpredict\tradius\tcorrect\ttime\tpABar\n0\t3\t3\t0.378\t1\t0:00:15.4\t0.93\n"
    "1\t5\t4\t0.1\t0\t0:00:15.1\t0.6\n"
)


@pytest.fixture
def tables(tmp_path):
    (tmp_path / "theirs.tsv").write_text(THEIRS)
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "theirs.tsv").write_text(EXTRA)
    return tmp_path


def test_tables_of_other_tools_are_read_with_and_without_columns_of_their_own(tables):
    found = read_sources([str(tables / "theirs.tsv"), str(tables / "more" / "theirs.tsv")]).tables
    assert [one.name for one in found] == ["theirs", "theirs (2)"]
    assert [(c.idx, c.predict, c.radius, c.seconds) for c in found[0].certificates] == [
        (0, 3, 0.378, 15.4),
        (20, -1, 0.0, 15.6),
    ]
    assert [(c.idx, c.correct, c.radius) for c in found[1].certificates] == [
        (0, True, 0.378),
        (1, False, 0.1),
    ]
    assert all(one.settings is None for one in found)


def test_the_user_names_a_source_and_a_path_may_hold_an_equals_sign(tables):
    (tables / "a=b.tsv").write_text(THEIRS)
    found = read_sources([f"Cohen et al.={tables / 'theirs.tsv'}", str(tables / "a=b.tsv")]).tables
    assert [one.name for one in found] == ["Cohen et al.", "a=b"]


def test_the_settings_beside_a_table_of_ours_give_its_name_and_unit(tables):
    settings = {"model": 'it\'s "mine"', "beta": 0.5, "unit": "pixels in [0, 1]"}
    (tables / "theirs.tsv.json").write_text(json.dumps(settings))
    (one,) = read_sources([str(tables / "theirs.tsv")]).tables
    assert (one.name, one.unit, one.settings) == ('it\'s "mine", β 0.5', "pixels in [0, 1]", settings)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("gone.tsv", None, "gone.tsv: cannot be read"),
        ("empty.tsv", THEIRS.splitlines()[0] + "\n", "empty.tsv: holds no certificates yet"),
        ("other.tsv", "a\tb\n", "its first line must begin with idx label"),
        ("risks.csv", "a,b\n", "its first line must be alpha,beta,errors,risk"),
        (".", None, "holds no results.sqlite; give a folder written by sfumato study run"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message):
        read_sources([str(tmp_path / name)])


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("sigma_0.25", "sigma_0.25"),
        ("sigma_0.25.tsv", "sigma_0.25"),
        ("sigma_0.25.TXT", "sigma_0.25"),
        ("table", "table"),
        ("v1.2.final", "v1.2.final"),
    ],
)
def test_a_table_is_called_by_its_name_with_all_its_dots(tmp_path, name, label):
    (tmp_path / name).write_text(THEIRS)
    assert [one.name for one in read_sources([str(tmp_path / name)]).tables] == [label]


def test_a_name_that_is_no_text_has_a_label_that_is(tmp_path):
    path = os.fsencode(tmp_path) + b"/caf\xe9.tsv"
    with open(path, "w") as file:  # noqa: PTH123 (bytes)
        file.write(THEIRS)
    (one,) = read_sources([os.fsdecode(path)]).tables
    assert one.name == "caf\ufffd"


def test_repeated_rows_are_told_once_per_table(tables):
    with (tables / "theirs.tsv").open("a") as table:
        table.write(THEIRS)
    notes = []
    (one,) = read_sources([str(tables / "theirs.tsv")], on_note=notes.append).tables
    assert len(one.certificates) == 2
    assert len(notes) == 1


@pytest.mark.parametrize("text", ["a" * 300, "name=" + "b" * 300, "c/" * 3000])
def test_a_path_that_is_too_long_is_refused(text):
    with pytest.raises(DataError, match="cannot be read"):
        read_sources([text])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ('{"beta": []}', "beta must be of type int or float, got '\\[\\]'"),
        ('{"beta": true}', "beta must be of type int or float"),
        ('{"beta": NaN}', "beta must be a positive finite number, got 'nan'"),
        ('{"beta": -1}', "beta must be a positive finite number"),
        ('{"beta": 1e300}', "beta must be a positive finite number"),
        ('{"confidence": 5}', "confidence must be strictly between 0 and 1"),
        ('{"alpha": "x"}', "alpha must be a finite number of at least 0"),
        ('{"clean_accuracy": 7}', "clean_accuracy must be a number from 0 to 1"),
        ('{"unit": 1}', "unit must be of type str"),
        ('{"examples": {"count": "x"}}', "examples count must be of type int"),
        ('{"seed": ' + "9" * 5000 + "}", "cannot be read"),
        ("[" * 100_000, "cannot be read"),
        ("\0", "cannot be read"),
        ("[1]", "must hold a JSON object"),
    ],
)
def test_settings_of_other_kinds_are_refused(tables, settings, words):
    (tables / "theirs.tsv.json").write_text(settings)
    with pytest.raises(DataError, match=rf"theirs\.tsv\.json: {words}"):
        read_sources([str(tables / "theirs.tsv")])
