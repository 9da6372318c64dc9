"""What verify finds: every planted change, nothing in a sound table, and it says what it could not check."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from planted_changes import IMAGES, TABLES, changes, make, reseal, setting, verified
from sfumato.certification.file import read_settings, settings_path
from sfumato.certification.table import EARLIER
from sfumato.certification.verified_claims import check_record
from sfumato.certification.verify import AtHand, Verification, verify_table
from sfumato.errors import DataError
from sfumato.models.classifier import load_classifier

ALL = len(IMAGES)


@pytest.fixture(scope="module")
def origin(digits, digits_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    make(folder, digits, digits_model)
    return folder


@pytest.fixture
def table(origin, tmp_path):
    return Path(shutil.copytree(origin, tmp_path / "copy")) / "curve.tsv"


def test_nothing_is_found_in_sound_tables_even_if_all_of_it_is_drawn_again(origin):
    for name in TABLES:
        found = verified(origin, name, lambda table: None, forged=False, redraw=ALL)
        assert (found.differences, found.unchecked) == ([], [])
        assert len(found.checked) == 10
    assert found.checked[0] == "table and settings match their checksums"
    assert found.checked[1] == "a row for each of the 12 images"
    assert found.checked[-1].startswith("votes of images 0, 2, 4, ")


@pytest.mark.slow
@pytest.mark.parametrize("forged", [False, True], ids=["plain", "forged"])
def test_each_planted_change_is_found(origin, forged):
    redraw = ALL if forged else 0
    missed = [
        f"{number}: {kind} of {name}"
        for number, (kind, name, change) in enumerate(changes())
        if not verified(origin, name, change, forged=forged, redraw=redraw).differences
    ]
    assert missed == []


@pytest.mark.parametrize("kind", dict.fromkeys(kind for kind, _, _ in changes()))
def test_one_change_of_each_kind_is_found_though_the_checksums_were_made_anew(origin, kind):
    name, change = next((name, change) for found, name, change in changes() if found == kind)
    redraw = 3 if kind in ("a seed", "a count") else 0
    # the row that was changed is among those that are drawn again
    redraw = ALL if kind == "a count" else redraw
    assert verified(origin, name, change, forged=True, redraw=redraw).differences


def test_a_table_that_was_killed_says_that_it_is_not_finished(table):
    text = table.read_text().splitlines(keepends=True)
    record = {name: value for name, value in read_settings(settings_path(table)).items() if name != "seal"}
    settings_path(table).write_text(json.dumps(record))
    table.write_text("".join(text[:6]))
    found = verify_table(table, AtHand(model="none.safetensors", redraw=0))
    assert any("there are 5 of 12 images, the first of them image 10" in line for line in found.differences)
    assert any("no checksum" in line for line in found.unchecked)


def test_a_table_of_an_earlier_version_is_checked_as_far_as_it_goes(table):
    rows = [line.split("\t")[:12] for line in table.read_text().splitlines()]
    assert tuple(rows[0]) == EARLIER
    table.write_text("\n".join("\t".join(row) for row in rows) + "\n")
    reseal(table)
    model = str(table.with_name("model.safetensors"))
    found = verify_table(table, AtHand(model=model, redraw=2, device="cpu"))
    assert found.differences == []
    assert found.unchecked == [
        "12 rows have no counts (of a version before); their radii are compared with their bounds"
    ]
    rows[1][3] = "0.9"
    table.write_text("\n".join("\t".join(row) for row in rows) + "\n")
    reseal(table)
    assert any("its bounds give at most" in line for line in verify_table(table).differences)


def test_what_is_not_here_is_said_and_nothing_is_downloaded(table):
    setting(data="mnist", model="gone.safetensors")(table)
    reseal(table)
    found = verify_table(table, AtHand(data_dir=table.parent))
    assert found.differences == []
    assert [line.split(":")[0] for line in found.unchecked] == ["unit, labels, model and votes"]
    setting(data="digits")(table)
    reseal(table)
    found = verify_table(table)
    assert found.unchecked == [
        "alpha, clean_accuracy and votes: the model gone.safetensors is not here; give --model"
    ]


def test_an_image_with_another_number_is_found(table):
    lines = table.read_text().splitlines()
    lines[2] = lines[2].replace("2\t", "3\t", 1)
    table.write_text("\n".join(lines) + "\n")
    reseal(table)
    found = verify_table(table, AtHand(model="none", data="none", redraw=0))
    assert found.differences == ["rows: they are of other images than the run was about"]


@pytest.mark.parametrize(
    "values",
    [
        {"beta": 10**400},
        {"confidence": 10**400},
        {"device": "nonsense"},
        {"seed": "x"},
        {"normalization": {"images": []}},
        {"examples": {"count": 10**9, "first": 0, "last": 10**9 - 1}},
    ],
    ids=str,
)
def test_settings_that_no_run_has_are_a_difference_and_cost_little(table, values):
    setting(**values)(table)
    reseal(table)
    model = str(table.with_name("model.safetensors"))
    found = verify_table(table, AtHand(model=model, redraw=0, device="cpu"))
    assert found.differences


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"norm": "L1"}, "settings: norm is L1, but gaussian noise certifies L2 radii"),
        ({"sound": True}, "settings: sound is True, but of gaussian noise it is False"),
        (
            {"unit": "pixels from 0 to 255"},
            "settings: unit is pixels from 0 to 255, but that of the data is ",
        ),
        ({"alpha": 0.1}, "settings: alpha is 0.1, but the record of "),
        ({"alpha": None}, "settings: alpha is None, but the record of "),
        ({"clean_accuracy": 0.999}, "settings: clean_accuracy is 0.999 (of these images), but here "),
    ],
    ids=str,
)
def test_what_the_settings_say_is_compared_with_noise_data_and_record(table, values, words):
    setting(**values)(table)
    reseal(table)
    model = str(table.with_name("model.safetensors"))
    (line,) = verify_table(table, AtHand(model=model, redraw=2, device="cpu")).differences
    assert line.startswith(words)


def test_settings_of_a_version_before_that_do_not_say_these_are_no_difference(table):
    gone = ("norm", "unit", "clean_accuracy", "clean_of")
    kept = {name: value for name, value in read_settings(settings_path(table)).items() if name not in gone}
    settings_path(table).write_text(json.dumps(kept))
    reseal(table)
    model = str(table.with_name("model.safetensors"))
    found = verify_table(table, AtHand(model=model, redraw=0, device="cpu"))
    assert (found.differences, found.unchecked) == ([], [])
    assert "alpha: as in the model's record" in found.checked


def test_a_model_without_a_record_leaves_what_is_said_of_its_training_unchecked(table, digits):
    path = str(table.with_name("model.safetensors"))
    classifier = replace(load_classifier(path, digits.input_shape, digits.num_classes), record=None)
    found = Verification()
    check_record({"alpha": 0.3, "clean_accuracy": None}, classifier, found)
    assert found.unchecked == ["alpha: the model here has no record of its training"]


def test_cells_that_say_correct_wrongly_are_a_difference(table):
    text = [line.split("\t") for line in table.read_text().splitlines()]
    for row in text[1:]:
        row[4] = str(1 - int(row[4]))
    table.write_text("\n".join("\t".join(row) for row in text) + "\n")
    reseal(table)
    found = verify_table(table, AtHand(model="none", data="none", redraw=0))
    assert found.differences == [
        "rows: 2 and 11 others: its cell correct is not what label and predict say; label and predict count"
    ]


def test_another_tools_table_is_refused(table):
    settings_path(table).unlink()
    with pytest.raises(DataError, match="no settings beside it"):
        verify_table(table)


def test_a_factory_is_imported_only_if_it_is_named(table):
    setting(model="os:abort", factory=None)(table)
    reseal(table)
    assert verify_table(table).unchecked == [
        "alpha, clean_accuracy and votes: the code os:abort is run only if it is named here; give --model "
        "os:abort"
    ]


def test_the_command_ends_with_1_where_something_differs(table, sfumato):
    model = table.with_name("model.safetensors")
    code, out, _ = sfumato("verify", table, "--model", model, "--redraw", 2, "--seed", 0, "--device", "cpu")
    assert code == 0
    assert out.splitlines()[-1].endswith("no difference found")
    table.write_text(table.read_text().replace("certified", "gave up", 1))
    code, out, _ = sfumato("verify", table, "--model", model, "--redraw", 0, "--json")
    assert code == 1
    found = json.loads(out)
    assert not found["sound"]
    assert found["differences"][0] == "checksum: the table was changed after the run"


def test_a_changed_table_is_not_continued(table, digits):
    from sfumato import SmoothedClassifier
    from sfumato.certification.run import Certification, certify_to_file
    from sfumato.errors import OutputError

    model = load_classifier(str(table.with_name("model.safetensors")), digits.input_shape, digits.num_classes)
    smoothed = SmoothedClassifier(model, 0.4, seed=3, device="cpu", batch_size=500)
    what = Certification(range(0, 28, 2), TABLES["curve"])
    table.write_text(table.read_text().replace("certified", "gave up", 1))
    with pytest.raises(OutputError, match="its table was changed after the run; choose another output"):
        certify_to_file(smoothed, digits, what, table)
