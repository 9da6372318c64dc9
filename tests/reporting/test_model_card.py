"""Model cards: what they say is what was measured, and text from files stays text."""

import json
import re
import shutil
from pathlib import Path

import markdown
import pytest
import yaml
from pydantic import ValidationError
from scipy import stats

from command_line import call
from sfumato.certification.table import read_rows
from sfumato.models import save_model
from sfumato.models.checkpoint import load_model, read_record
from sfumato.reporting.model_card import ModelCard, card_paths, model_card
from sfumato.reporting.model_card_text import card_markdown

pytestmark = pytest.mark.usefixtures("one_thread")
HEADINGS = [
    *("Model details", "Intended use", "Factors", "Metrics", "Evaluation data", "Training data"),
    *("Quantitative analyses", "Ethical considerations", "Caveats and recommendations"),
]


def read(path):
    return ModelCard.model_validate_json(path.read_text(), strict=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder for what is made once, and a function that runs a command."""
    folder = tmp_path_factory.mktemp("card")

    def run(capsys, *arguments):
        code, out, err = call(capsys, *arguments)
        assert code == 0, err
        return out

    return folder, run


@pytest.fixture
def model(made, capsys, tmp_path):
    """A trained model with its card and a table of certificates, in a folder of the test's own."""
    folder, run = made
    path = folder / "m.safetensors"
    if not path.exists():
        settings = ("--method", "consistency", "--epochs", "4", "--alpha-schedule", "ramp")
        run(capsys, "train", "--alpha", "0.3", *settings, "--out", path)
        common = ("--model", path, "--beta", "0.3", "--skip", "40", "--plan", "curve(0.1,0.25)")
        run(capsys, "certify", *common, "--out", folder / "m.tsv")
    return shutil.copytree(folder, tmp_path / "made") / path.name


def test_training_writes_a_card_of_the_record(model):
    as_json, as_markdown = card_paths(model)
    card, record = read(as_json), read_record(model)
    assert (card.name, card.record, card.certified) == ("m.safetensors", record, ())
    assert card.passes == (2, 2)  # consistency draws two copies
    text = as_markdown.read_text()
    for words in (
        f"SHA-256 of the weights {record.weights_sha256}",
        f"{record.clean_accuracy:.4f} without noise",
        "passes per image and epoch: 2 forward, 2 backward",
        "pixels in \\[0, 1]",
        "Certified accuracy was not measured yet",
    ):
        assert words in text, words
    settings = dict(re.findall(r"^\| (\S+) +\| +(.*?) \|$", text.replace("\\_", "_"), re.MULTILINE))
    for name, value in record.training.items():
        if name not in ("architecture", "mean", "std"):  # said in words above
            assert settings[name] == ("none" if value is None else str(value))
    assert (settings["method"], settings["alpha_schedule"]) == ("consistency", "ramp")
    front = yaml.safe_load(text.split("---")[1])
    assert front["metrics"] == ["accuracy"]
    assert "license" not in front
    assert [line[3:] for line in text.splitlines() if line.startswith("## ")] == HEADINGS


def test_a_table_gives_certified_accuracy_with_intervals(model, sfumato):
    table = model.with_name("m.tsv")
    code, out, err = sfumato("card", model, table)
    assert (code, out.split()) == (0, list(map(str, card_paths(model)))), err
    (found,) = read(card_paths(model)[0]).certified
    rows = read_rows(table)
    told = (found.beta, found.noise, found.norm, found.data, found.images, found.plan, found.confidence)
    assert told == (0.3, "gaussian", "L2", "digits", len(rows), "curve(0.1,0.25)", 0.999)
    assert [point.radius for point in found.accuracy] == [0.1, 0.25]
    for point in found.accuracy:
        hits = sum(row.correct and row.radius >= point.radius for row in rows)
        assert point.accuracy == hits / len(rows)
        # the lower end also pays for the error of the certificates, so that it is below the exact interval's
        exact = stats.binomtest(hits, len(rows)).proportion_ci(0.95, "exact")
        assert point.low <= exact.low + 1e-9
        assert point.low == pytest.approx(exact.low, abs=0.02)
        assert point.high == pytest.approx(exact.high, abs=0.02)
    assert found.batch_norms == "as in the checkpoint"
    assert found.votes == sum(row.votes for row in rows) / len(rows)
    text = card_paths(model)[1].read_text()
    first = found.accuracy[0]
    assert f"{first.accuracy:.4f} \\[{first.low:.4f}, {first.high:.4f}]" in text


def test_top_k_certificates_are_not_called_certified_accuracy(model, sfumato):
    table = model.with_name("top.tsv")
    common = ("--model", model, "--beta", "0.3", "--skip", "90", "--plan", "top_k(3,20,200)")
    assert sfumato("certify", *common, "--out", table)[0] == 0
    assert sfumato("card", model, table)[0] == 0
    as_json, as_markdown = card_paths(model)
    assert [one.among for one in read(as_json).certified] == [3]
    text = as_markdown.read_text()
    assert "Top-3 certified accuracy under gaussian noise" in text
    assert "among the k most probable classes" in text
    assert "| top-3 certified accuracy" in text


def test_radii_in_scales_stand_beside_the_scales(model, sfumato):
    table = model.with_name("scaled.tsv")
    common = ("--model", model, "--beta", "0.3", "--skip", "90", "--plan", "decide(0.1)")
    code, _, err = sfumato("certify", *common, "--noise", "anisotropic", "--scales", "0.75", "--out", table)
    assert code == 0, err
    assert sfumato("card", model, table)[0] == 0
    as_json, as_markdown = card_paths(model)
    assert [one.scales for one in read(as_json).certified] == [(0.75,)]
    assert "scales 0.75" in as_markdown.read_text()


def test_certificates_of_another_network_are_refused(model, digits_model, refused, tmp_path):
    table = model.with_name("m.tsv")
    sha = read_record(digits_model).weights_sha256[:12]
    refused(
        ["card", digits_model, table],
        f"m.tsv: is of a network with weights {read_record(model).weights_sha256[:12]}, not {sha}",
    )
    foreign = tmp_path / "theirs.tsv"
    foreign.write_text("idx\tlabel\tpredict\tradius\tcorrect\ttime\n0\t3\t3\t0.378\t1\t15.4\n")
    refused(["card", model, foreign], "theirs.tsv: does not say of which network it is")
    refused(["card", model, "--out", "card.txt"], "out must end in .md, got 'card.txt'")
    refused(["card", tmp_path / "none.safetensors"], "no such file")
    settings = json.loads(Path(f"{table}.json").read_text())
    (tmp_path / "bad.tsv").write_bytes(table.read_bytes())
    (tmp_path / "bad.tsv.json").write_text(json.dumps({**settings, "precision": 3}))
    refused(["card", model, tmp_path / "bad.tsv"], "bad.tsv: precision must be a valid string, got 3")


def test_another_place_for_a_folder_that_cannot_be_written(model, sfumato, tmp_path):
    code, _, err = sfumato("card", model, "--out", tmp_path / "other" / "x.md")
    assert code == 0, err
    assert sorted(path.name for path in (tmp_path / "other").iterdir()) == ["x.json", "x.md"]
    assert read(tmp_path / "other" / "x.json").name == "m.safetensors"


def test_text_of_a_record_changes_nothing_on_the_page(model):
    evil = "<script>alert(1)</script> | **x** [a](http://b) `c`\n# heading"
    record = read_record(model)
    names = (evil, *record.class_names[1:])
    changed = record.model_copy(update={"class_names": names, "data": evil, "device": evil, "unit": evil})
    page = markdown.markdown(card_markdown(model_card(evil, changed)), extensions=["tables", "fenced_code"])
    clean = markdown.markdown(card_markdown(model_card("m", record)), extensions=["tables", "fenced_code"])
    for sign in ("<script", "<strong", "<a ", "<code", "<em", "<h1", "<h2", "<table", "<td", "<li"):
        assert page.count(sign) == clean.count(sign), sign
    assert page.count("&lt;script&gt;") > 3


def test_the_record_is_strict_and_has_a_version(model):
    text = card_paths(model)[0].read_text()
    for change in ({"format": 2}, {"more": 1}, {"passes": [1.5, 1]}, {"name": None}):
        with pytest.raises(ValidationError):
            ModelCard.model_validate_json(json.dumps({**json.loads(text), **change}), strict=True)


def test_a_method_that_is_not_known_here_has_no_passes(model):
    record = read_record(model)
    changed = record.model_copy(update={"training": {**record.training, "method": "elsewhere"}})
    card = model_card("m", changed)
    assert card.passes is None
    assert "passes" not in card_markdown(card)


def test_each_network_of_a_study_gets_what_the_study_certified_of_it(tmp_path, sfumato):
    study = tmp_path / "s"
    file = tmp_path / "s.toml"
    file.write_text(
        "[data]\nimages = 30\n[model]\nepochs = 1\n[grid]\nalpha = [0.1, 0.4]\nbeta = [0.5]\n"
        "[votes]\nn = 10\n"
        "[certification]\nbeta = [0.25, 0.5]\nradii = [0.1]\nimages = 10\n"
    )
    code, _, err = sfumato("study", "run", file, "--out", study)
    assert code == 0, err
    for path in (study / "models").glob("*.safetensors"):
        card = read(card_paths(path)[0])
        assert card.record == read_record(path)
        assert [found.beta for found in card.certified] == [0.25, 0.5]
        assert [found.images for found in card.certified] == [10, 10]
        before = card_paths(path)[0].read_text()
        assert sfumato("card", path, study)[0] == 0
        assert card_paths(path)[0].read_text() == before
    # another network of the same alpha and seed: nobody can tell whose certificates they are
    model, record = load_model(path)
    save_model(model, record, path.with_name("copy.safetensors"))
    code, _, err = sfumato("card", path, study)
    assert (code, "holds no certificates that are known to be of" in err) == (2, True)


def test_batch_norms_that_were_re_estimated_are_told(digits_with_batch_norms, tmp_path, sfumato):
    model = tmp_path / "b.safetensors"
    model.write_bytes(digits_with_batch_norms[0].read_bytes())
    common = ("--beta", "0.3", "--skip", "200", "--n0", "10", "--n", "50", "--normalization", "at-beta")
    code, _, err = sfumato("certify", "--model", model, *common, "--out", tmp_path / "b.tsv")
    assert code == 0, err
    assert sfumato("card", model, tmp_path / "b.tsv")[0] == 0
    (found,) = read(card_paths(model)[0]).certified
    assert found.batch_norms == "re-estimated under gaussian noise, beta = 0.3"
    assert found.batch_norms in card_paths(model)[1].read_text()
    assert (
        sfumato("normalize", model, "--beta", "0.3", "--images", "50", "--out", tmp_path / "n.safetensors")[0]
        == 0
    )
    told = card_paths(tmp_path / "n.safetensors")[1].read_text()
    assert "statistics of 50 training images under the noise noise gaussian, beta 0.3" in told
