"""``sfumato report``, ``plot`` and ``table`` as a user meets them, on a small study of real networks."""

import csv
import io
import json
import re
import sys
from pathlib import Path

import pytest
from PIL import Image

from sfumato.certification.file import settings_path
from sfumato.cli import report
from sfumato.datasets import locate
from sfumato.studies.design import make_design
from sfumato.studies.run import run_study
from sfumato.studies.store import load_results

DESIGN = {
    "data": {"images": 80},
    "model": {"epochs": 1},
    "grid": {"alpha": [0.1, 0.4], "beta": [0.5]},
    "votes": {"n": 20},
    "certification": {"beta": [0.5], "radii": [0.1, 0.2], "images": 20},
}
THEIRS = (
    "idx\tlabel\tpredict\tradius\tcorrect\ttime\textra\n"
    "0\t3\t3\t0.378\t1\t15.4\tx\n1\t7\t-1\t0.0\t0\t15.6\ty\n"
)


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("report") / "study"
    run_study(make_design(DESIGN), folder, device="cpu")
    return folder


@pytest.fixture
def theirs(tmp_path) -> Path:
    path = tmp_path / "theirs.tsv"
    path.write_text(THEIRS)
    return path


def data_of(html):
    """Return the traces of every figure in the file by its key."""
    blocks = re.findall(r'<script type="application/json" data-figure="([a-z0-9-]+)">(.*?)</script>', html)
    return {key: json.loads(block)["data"] for key, block in blocks}


def test_a_study_and_another_tools_table_become_one_file(study, theirs, tmp_path, sfumato):
    out = tmp_path / "r.html"
    code, printed, errors = sfumato(
        "report", study, f"Them={theirs}", "--out", out, "--gallery", 4, "--draws", 20
    )
    assert (code, printed.strip()) == (0, str(out)), errors
    html = out.read_text()
    lines = [trace["name"] for trace in data_of(html)["certified-accuracy-figure"] if trace.get("name")]
    assert lines == ["α 0.1, β 0.5", "α 0.4, β 0.5", "Them"]
    assert html.count("<li data-example=") == 4
    assert f"sfumato report {study}" in html
    assert "sfumato study run study.toml --out study" in html
    assert 'data-reload="0"' in html
    assert out.stat().st_size < 8_000_000


def test_tables_alone_show_the_test_images_of_the_data_set_that_is_named(tmp_path, sfumato, digits):
    out = tmp_path / "r.html"
    paths = []
    for name, radius in (("a", 0.5), ("b", 0.1)):
        rows = [
            f"{i}\t{digits.test.y[i]}\t{digits.test.y[i]}\t{radius + i / 100}\t1\t0:00:01" for i in range(20)
        ]
        paths.append(tmp_path / f"{name}.tsv")
        paths[-1].write_text("idx\tlabel\tpredict\tradius\tcorrect\ttime\n" + "\n".join(rows) + "\n")
    code, _, errors = sfumato("report", *paths, "--out", out, "--gallery", 6)
    assert (code, errors) == (0, "")
    assert "<li data-example=" not in out.read_text()
    options = ("--out", out, "--gallery", 6, "--data", "digits", "--beta", 0.25)
    code, _, errors = sfumato("report", *paths, *options)
    assert (code, errors) == (0, "")
    html = out.read_text()
    assert html.count("<li data-example=") == 6
    assert len(re.findall(r'<figure><img alt="[^"]*" src="data:image/png;base64,', html)) == 12
    assert "Largest radius, b" in html
    assert html.count('data-disagreement="0.400000"') == 6
    code, _, errors = sfumato("report", paths[0], "--out", out, "--data", "nothing")
    assert code == 0
    assert "warning: no test images are shown for the tables: " in errors


def test_data_that_tables_merely_name_are_not_fetched_for_them(tmp_path, sfumato, monkeypatch):
    """Nor is it tried again and again while a study is followed."""
    monkeypatch.setattr(locate, "download", None)
    monkeypatch.setattr(locate, "data_roots", lambda data_dir: [])
    path, out = tmp_path / "t.tsv", tmp_path / "r.html"
    path.write_text("idx\tlabel\tpredict\tradius\tcorrect\ttime\n0\t7\t7\t0.5\t1\t0:00:01\n")
    settings_path(path).write_text('{"data": "mnist", "beta": 0.5}')
    code, _, errors = sfumato("report", path, "--out", out)
    assert code == 0
    assert errors.count("\n") == 1
    assert "mnist: not found locally; name its folder by --data-dir or SFUMATO_DATA" in errors
    assert "Test images" not in out.read_text()


def test_following_writes_the_file_anew_until_the_study_is_finished(study, tmp_path, sfumato, monkeypatch):
    """The study file first asks for another alpha, as while it is computed."""
    folder, out = tmp_path / "study", tmp_path / "r.html"
    folder.mkdir()
    (folder / "results.sqlite").write_bytes((study / "results.sqlite").read_bytes())
    whole = (study / "study.toml").read_text()
    (folder / "study.toml").write_text(whole.replace("alpha = [0.1, 0.4]", "alpha = [0.1, 0.2, 0.4]"))
    seen = []

    def meanwhile(seconds):
        seen.append((seconds, out.read_text()))
        (folder / "study.toml").write_text(whole)

    monkeypatch.setattr(report.time, "sleep", meanwhile)
    code, _, errors = sfumato(
        "report", folder, "--out", out, "--gallery", 0, "--draws", 20, "--follow", "--every", 7
    )
    assert code == 0, errors
    ((seconds, first),) = seen
    assert seconds == 7
    assert 'data-reload="7"' in first
    assert "4 of 6 cells are finished so far" in first
    assert 'data-reload="0"' in out.read_text()


def test_following_waits_for_a_study_without_any_finished_cell(study, tmp_path, sfumato, monkeypatch):
    from sfumato.studies.store import Current, Store

    folder, out = tmp_path / "study", tmp_path / "r.html"
    (folder / "models").mkdir(parents=True)
    (folder / "study.toml").write_text((study / "study.toml").read_text())
    with Store(folder / "results.sqlite") as store:
        store.begin(Current("s", "digits", "pixels in [0, 1]", 20, 80))
    code, _, errors = sfumato("report", folder, "--out", out)
    assert code == 2
    assert "has no finished cell yet" in errors

    def meanwhile(_):
        assert "none of its 4 cells is finished yet" in out.read_text()
        (folder / "results.sqlite").write_bytes((study / "results.sqlite").read_bytes())

    monkeypatch.setattr(report.time, "sleep", meanwhile)
    code, _, errors = sfumato("report", folder, "--out", out, "--gallery", 0, "--follow", "--draws", 20)
    assert code == 0, errors


def test_following_a_damaged_study_ends_with_the_reason(study, tmp_path, sfumato, monkeypatch):
    folder = tmp_path / "study"
    folder.mkdir()
    (folder / "study.toml").write_text((study / "study.toml").read_text())
    content = bytearray((study / "results.sqlite").read_bytes())
    content[100:108] = b"damaged!"
    (folder / "results.sqlite").write_bytes(content)

    def waits(_):
        raise AssertionError("nothing is to be waited for")

    monkeypatch.setattr(report.time, "sleep", waits)
    code, _, errors = sfumato("report", folder, "--out", tmp_path / "r.html", "--gallery", 0, "--follow")
    assert code == 2
    assert "results.sqlite: " in errors


def test_data_that_are_gone_leave_out_the_images_and_say_why(study, tmp_path, sfumato):
    folder = tmp_path / "study"
    folder.mkdir()
    (folder / "results.sqlite").write_bytes((study / "results.sqlite").read_bytes())
    text = (study / "study.toml").read_text().replace('name = "digits"', 'name = "gone.npz"')
    (folder / "study.toml").write_text(text)
    code, _, errors = sfumato("report", folder, "--out", tmp_path / "r.html", "--draws", 20)
    assert code == 0
    assert "no test images are shown: gone.npz: no such file" in errors
    assert "No test images are shown: gone.npz" in (tmp_path / "r.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["report", "nowhere"], "nowhere: cannot be read"),
        (["report", "STUDY", "--out", "r.txt"], "out must end in .html, got 'r.txt'"),
        (["report", "STUDY", "--compare", "0.1"], "compare must be two training noises"),
        (["report", "STUDY", "--draws", "0"], "draws must be at least 1, got 0"),
        (["report", "STUDY", "--confidence", "1"], "confidence must lie strictly between 0 and 1"),
        (["report", "STUDY", "--gallery", "-1"], "gallery must be at least 0, got -1"),
        (["plot", "risk", "STUDY", "--out", "a.jpg"], "must end in one of .png, .svg, .pdf"),
        (["plot", "risk", "STUDY", "--out", "a.png", "--width", "page"], "width must be column, text or"),
        (["plot", "risk", "THEIRS", "--out", "a.png"], "risk draws one study"),
        (["plot", "votes", "THEIRS", "--out", "a.png"], "none of these tables states its votes"),
        (["plot", "hist", "STUDY", "--out", "a.png"], "'hist' is not one of"),
        (["plot", "pairs", "STUDY", "--out", "a.png"], "pairs draws certified accuracy at a radius; give"),
        (
            ["plot", "pairs", "STUDY", "--radius", "0.5,1", "--out", "a.png"],
            "pairs draws one radius, got 0.5,1",
        ),
        (
            ["plot", "radius", "STUDY", "--radius", "-1", "--out", "a.png"],
            "radius must be a finite number of at",
        ),
        (["plot", "map", "STUDY", "--radius", "1", "--out", "a.png"], "the figures pairs and radius take"),
        (
            ["plot", "pairs", "STUDY", "THEIRS", "--radius", "1", "--out", "a.png"],
            "only certification tables, got",
        ),
        (["plot", "radius", "THEIRS", "--radius", "1", "--out", "a.png"], "ALPHA,BETA="),
        (["table", "risk", "STUDY", "--format", "word"], "format must be one of markdown, csv, latex"),
        (["table", "best", "THEIRS"], "best is a table of one study, got 0"),
        (["table", "certified", "STUDY", "--radii", "-1"], "radius must be a finite number of at least 0"),
        (["table", "certified", "STUDY", "--radii", "0.15"], "the certificates are for radius 0.1, 0.2"),
        (["table", "certified", "THEIRS", "--radii", "0.5,9"], "the largest radius certified is 0.378, of"),
        (["study", "show", "STUDY", "--radii", "0.3"], "the certificates are for radius 0.1, 0.2"),
        (["report", "STUDY", "--gallery", "0", "--radii", "0.3"], "certificates are for radius 0.1, 0.2"),
        (["report", "STUDY", "--radii", "-1"], "radii must be at least 0, got -1"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(arguments, message, study, theirs, refused):
    refused([{"STUDY": study, "THEIRS": theirs}.get(part, part) for part in arguments], message)


@pytest.mark.parametrize("figure", ["risk", "best", "map", "certified", "radii", "outcomes", "votes"])
def test_every_figure_is_drawn_in_the_width_of_a_column(figure, study, tmp_path, sfumato):
    out = tmp_path / f"{figure}.png"
    code, printed, errors = sfumato("plot", figure, study, "--out", out, "--width", "column", "--draws", 20)
    assert (code, printed.strip()) == (0, str(out)), errors
    with Image.open(out) as image:
        assert image.width == round(3.25 * 300)


@pytest.mark.parametrize("tables", [False, True])
@pytest.mark.parametrize("arguments", [("pairs", "--radius", "0.1"), ("radius", "--radius", "0.1,0.2")])
def test_the_best_pair_is_drawn_of_studies_and_of_tables(arguments, tables, study, theirs, tmp_path, sfumato):
    out = tmp_path / "pairs.png"
    given = [f"0.1,0.5={theirs}", f"0.5,0.5={theirs}"] if tables else [study]
    code, printed, errors = sfumato("plot", *arguments, *given, "--out", out, "--width", "column")
    assert (code, printed.strip()) == (0, str(out)), errors
    with Image.open(out) as image:
        assert image.width == round(3.25 * 300)


def test_tables_are_written_in_every_format(study, theirs, tmp_path, sfumato):
    code, printed, errors = sfumato("table", "risk", study, "--format", "csv")
    assert code == 0, errors
    rows = list(csv.reader(io.StringIO(printed)))
    results = load_results(study)
    assert rows[0] == ["alpha", "beta 0.5"]
    for (alpha, cells), measured in zip(rows[1:], (0.1, 0.4), strict=True):
        assert float(alpha) == measured
        assert cells.lstrip("*").startswith(f"{results.cells[measured, 0.5, 0].risk:.4f} [")
    code, printed, _ = sfumato(
        "table", "certified", f"a_b={theirs}", "--radii", "0.25,0.5", "--format", "latex"
    )
    assert code == 0
    assert r"a\_b & 2 & 0.5000 [" in printed
    assert r"\toprule" in printed
    for kind in ("best", "soft", "outcomes", "votes"):
        out = tmp_path / f"{kind}.md"
        assert sfumato("table", kind, study, "--out", out)[0] == 0
        assert out.read_text().count("\n|") >= 3


def test_a_table_of_methods_side_by_side_fits_a_column_of_a_paper(study, theirs, sfumato):
    ours = theirs.with_name("ours_50%.tsv")
    ours.write_text(THEIRS)
    code, printed, errors = sfumato(
        *("table", "certified", theirs, ours, "--radii", "0.25", "--format", "latex", "--transpose"),
        *("--width", "column", "--percent", "--no-intervals", "--bold", "--decimals", 1),
        *("--caption", "Two & the same", "--label", "tab:same"),
    )
    assert code == 0, errors
    assert r" & theirs & ours\_50\% \\" in printed
    assert r"0.25 & \textbf{50.0} & \textbf{50.0} \\" in printed
    assert r"\caption{Two \& the same}" in printed
    assert r"\label{tab:same}" in printed
    assert r"\columnwidth" in printed
    code, printed, errors = sfumato("table", "risk", study, "--bold", "--percent")
    assert (code, printed.count("**")) == (0, 2), errors
    assert "in %" in printed.splitlines()[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["risk", "--format", "csv", "--bold"],
            "csv has no bold; leave out --bold, or give --format markdown or latex",
        ),
        (["risk", "--format", "csv", "--caption", "x"], "csv has no caption"),
        (["risk", "--label", "tab:x"], "markdown has no label; leave out --label, or give --format latex"),
        (["risk", "--format", "latex", "--width", "page"], "width must be one of column, text, got 'page'"),
        (["risk", "--format", "latex", "--label", "a}b"], "label must be letters, digits and"),
        (["risk", "--decimals", "9"], "decimals must be at most 8, got 9"),
        (["risk", "--radii", "0.1"], "the table risk takes no --radii"),
        (["best", "--bold"], "the table best takes no --bold"),
        (["votes", "--percent"], "the table votes takes no --percent"),
        (["outcomes", "--no-intervals"], "the table outcomes takes no --no-intervals"),
    ],
)
def test_what_a_table_cannot_show_is_refused_in_one_line(arguments, words, study, sfumato):
    kind, *options = arguments
    code, printed, errors = sfumato("table", kind, study, *options)
    assert (code, printed) == (2, "")
    assert words in errors
    assert errors.count("\n") == 1


def test_json_is_all_that_is_printed_and_holds_the_measured_numbers(study, sfumato):
    code, printed, _ = sfumato("study", "show", study, "--json", "--radii", "0.1")
    found = json.loads(printed)
    assert code == 0
    results = load_results(study)
    points = found["risks"][0]["points"]
    assert [p["errors"] for p in points] == [results.cells[alpha, 0.5, 0].errors for alpha in (0.1, 0.4)]
    assert [line["alpha"] for line in found["certified"]] == [0.1, 0.4]
    code, printed, _ = sfumato("data", "digits", "--json")
    assert json.loads(printed)["test"] == 797
    model = next((study / "models").glob("alpha-0.4*.safetensors"))
    code, printed, _ = sfumato("risk", model, "--beta", "0.5", "--n", 20, "--first", 80, "--json")
    (risk,) = json.loads(printed)["risks"]
    assert risk["errors"] == results.cells[0.4, 0.5, 0].errors


def test_certify_prints_its_summary_as_json(study, tmp_path, sfumato):
    model, out = next((study / "models").glob("alpha-0.4*.safetensors")), tmp_path / "c.tsv"
    code, printed, errors = sfumato(
        "certify",
        "--model",
        model,
        "--beta",
        0.5,
        "--plan",
        "decide(0.1)",
        "--first",
        5,
        "--out",
        out,
        "--json",
    )
    found = json.loads(printed)
    assert code == 0, errors
    assert found["images"] == 5
    rows = [line.split("\t") for line in out.read_text().splitlines()[1:]]
    certified = sum(row[4] == "1" and float(row[3]) >= 0.1 for row in rows)
    assert found["summary"]["curve"][0]["certified"] == certified
    assert found["summary"]["mean_votes"] == sum(int(row[6]) for row in rows) / 5


def test_quiet_leaves_out_warnings_and_progress_wherever_it_stands(study, tmp_path, sfumato):
    folder = tmp_path / "study"
    folder.mkdir()
    (folder / "results.sqlite").write_bytes((study / "results.sqlite").read_bytes())
    text = (study / "study.toml").read_text().replace('name = "digits"', 'name = "gone.npz"')
    (folder / "study.toml").write_text(text)
    given = ["report", folder, "--out", tmp_path / "r.html", "--draws", 20]
    for arguments in (["--quiet", *given], [*given, "-q"]):
        assert sfumato(*arguments)[2] == ""
    assert "warning: " in sfumato(*given)[2], "the level is that of one call"
    code, _, errors = sfumato("-q", "report", tmp_path / "nowhere")
    assert code == 2
    assert errors.startswith("error: ")


def test_verbose_shows_the_traceback_of_an_error(tmp_path, sfumato):
    code, _, errors = sfumato("report", tmp_path / "nowhere", "--verbose")
    assert code == 2
    assert "Traceback" in errors
    assert errors.splitlines()[-1].startswith("error: ")


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are POSIX")
def test_no_color_takes_the_colours_of_a_terminal_away():
    """In a real pseudo-terminal, where the same command has colours or styles without it."""
    import os
    import pty
    import subprocess

    def shown(**environment):
        ours, theirs = pty.openpty()
        clean = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
        command = [sys.executable, "-m", "sfumato", "study", "--help"]
        done = subprocess.Popen(
            command, stdout=theirs, stderr=theirs, env={**clean, "TERM": "xterm-256color", **environment}
        )
        os.close(theirs)
        text = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # Linux says so that the other end is closed
                break
            if not part:
                break
            text += part
        done.wait()
        os.close(ours)
        return text.decode()

    coloured = re.compile(r"\x1b\[([0-9]+;)*(3[0-9]|9[0-9])m")
    assert coloured.search(shown())
    assert not coloured.search(shown(NO_COLOR="1"))
