"""The command line as a user meets it: real processes, their output, exit codes and files."""

import errno
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from sfumato.cli.options import parse_numbers
from sfumato.datasets import dataset_names
from sfumato.errors import SettingError
from sfumato.models import model_names
from sfumato.noise import NOISES
from sfumato.plans import PLANS
from sfumato.smoothing import smoothed

COMMANDS = [
    *(["train"], ["risk"], ["certify"], ["report"], ["plot"], ["table"], ["demo"], ["data"], ["inspect"]),
    *(["attack"], ["card"], ["normalize"], ["verify"]),
    *(["study", name] for name in ("init", "run", "race", "search", "show", "drop", "best", "plot")),
]


def process(*arguments, **options):
    """Run a command in a process of its own."""
    command = [sys.executable, "-m", "sfumato", *arguments]
    return subprocess.run(command, **{"capture_output": True, "text": True, **options})


def words_of(text):
    return " ".join(text.replace("│", " ").split())


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_has_an_example(command, sfumato):
    code, printed, _ = sfumato(*command, "--help")
    assert code == 0
    assert f"Example: sfumato {' '.join(command)}" in words_of(printed)


def test_help_of_numbers_for_each_channel_is_not_that_of_a_grid(sfumato):
    text = words_of(sfumato("train", "--help")[1])
    assert "Mean of each channel, subtracted from inputs (default: training set's). Give a number for" in text


def test_ctrl_c_says_how_to_go_on(sfumato, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("sfumato.datasets.load_dataset", interrupt)
    code, _, errors = sfumato("certify", "--model", "none", "--beta", "1")
    line = "error: interrupted; what was finished is kept: give the same command again to go on"
    assert (code, errors.splitlines()[-1]) == (130, line)


def test_help_names_what_is_registered(sfumato):
    text = words_of(sfumato("train", "--help")[1])
    for name in (*dataset_names(), *model_names()):
        assert name in text
    text = words_of(sfumato("certify", "--help")[1])
    for usage in (
        *(f"{name} ({noise.norm} radii)" for name, noise in NOISES.items()),
        *(plan.usage for plan in PLANS.values()),
    ):
        assert usage in text


def test_help_wraps_to_the_terminal_not_to_the_source():
    done = process("certify", "--help", env={**os.environ, "COLUMNS": "300"})
    words = "radius correct time), then votes, bounds and plan. If the command is killed, give it again"
    assert words in done.stdout


@pytest.mark.parametrize("group", [[], ["study"], ["theory"]])
def test_without_a_command_the_help_is_printed_and_no_empty_error(group, sfumato):
    code, out, err = sfumato(*group)
    assert code == 2
    assert "Usage" in out + err
    assert "error" not in err


def test_a_list_of_numbers_may_have_ranges():
    assert parse_numbers("alpha", None) == ()
    assert parse_numbers("alpha", "0, 0.1, 1:2:3") == (0.0, 0.1, 1.0, 1.5, 2.0)
    assert parse_numbers("alpha", "0:0.3:4")[-1] == 0.3, "a range ends exactly where it should"
    seeds = parse_numbers("seeds", f"{2**62 + 1},0:6:3", int)
    assert seeds == (2**62 + 1, 0, 3, 6)
    assert all(type(seed) is int for seed in seeds)


@pytest.mark.parametrize(
    "text", ["", "1,,2", "0:1", "0:1:1", "0:1:2:3", "0:1:1e9", "0:1:20000", "x", "0:1:-1"]
)
@pytest.mark.parametrize("kind", [int, float])
def test_a_list_that_is_none_is_refused(text, kind):
    with pytest.raises(SettingError, match="alpha must be"):
        parse_numbers("alpha", text, kind)


def test_what_a_method_has_on_by_default_can_be_turned_off(tmp_path, sfumato, monkeypatch):
    monkeypatch.chdir(tmp_path)
    smoothmix = "--method", "smoothmix", "--steps", "1", "--no-one-step-adversary"
    code, _, err = sfumato("train", "--alpha", "0.3", "--epochs", "1", *smoothmix, "--out", "m.safetensors")
    assert code == 0, err
    assert json.loads(sfumato("inspect", "m.safetensors")[1])["training"]["one_step_adversary"] is False


def test_train_certify_and_inspect_work_together(tmp_path, sfumato, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = sfumato("train", "--alpha", "0.3", "--epochs", "8", "--out", "m.safetensors")
    assert code == 0, err
    assert "alpha = 0.3 (pixels in [0, 1])" in out
    assert json.loads(sfumato("inspect", "m.safetensors")[1])["training"]["alpha"] == 0.3
    certify = ["certify", "--model", "m.safetensors", "--beta", "0.4"]
    done = process(*certify, "--n", "500", "--skip", "200", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout + done.stderr, "no colour and no bar where there is no terminal"
    rows = (tmp_path / "certificates.tsv").read_text().splitlines()
    assert rows[0].startswith("idx\tlabel\tpredict\tradius\tcorrect\ttime\tvotes\t")
    assert [row.split("\t")[0] for row in rows[1:]] == ["0", "200", "400", "600"]
    assert "at 600 votes per image, 166.8 times fewer than 100,100" in done.stdout
    assert "each certificate holds with probability at least 0.999" in done.stdout
    settings = json.loads((tmp_path / "certificates.tsv.json").read_text())
    assert (settings["beta"], settings["confidence"], settings["unit"]) == (0.4, 0.999, "pixels in [0, 1]")


def test_certify_warns_of_too_little_noise_at_the_radius_asked_for(tmp_path, sfumato, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert sfumato("train", "--alpha", "0", "--epochs", "2", "--out", "m.safetensors")[0] == 0
    certify = ["certify", "--model", "m.safetensors", "--beta", "0.6", "--first", "8", "--label-known"]
    code, _, err = sfumato(*certify, "--plan", "decide(0.5)", "--out", "decide.tsv")
    assert code == 0
    assert "of the images are certified at radius 0.5, against" in err
    assert "sfumato advise --radius 0.5 --model" in err
    assert "0.75" not in err
    uniform = ["--noise", "uniform", "--plan", "curve(0.5,1)", "--out", "uniform.tsv"]
    code, _, err = sfumato(*certify, *uniform)
    assert (code, "advise" in err) == (0, False), "nothing was measured of other noises"


def test_risk_and_certify_say_of_which_precision_they_speak(tmp_path, sfumato, monkeypatch, digits_model):
    monkeypatch.chdir(tmp_path)
    code, out, err = sfumato("risk", digits_model, "--beta", "0,0.4", "--first", "20", "--n", "20")
    assert code == 0, err
    assert "95 % interval" in out
    bf16 = ["--precision", "bf16", "--first", "4"]
    code, out, err = sfumato("risk", digits_model, "--beta", "0.4", "--n", "20", *bf16)
    assert "of the bf16 networks, not the float32 ones" in out, err
    certify = ["certify", "--model", digits_model, "--beta", "0.4", "--plan", "curve(0.1, 0.2)", *bf16]
    code, out, err = sfumato(*certify, "--profile")
    assert code == 0, err
    assert "what is certified is the bf16 network" in out
    for part in (
        "curve(0.1,0.2): ",
        "votes, ",
        "noise",
        "forward",
        "reduction",
        "idle",
        "planning and files",
    ):
        assert part in out
    assert json.loads((tmp_path / "certificates.tsv.json").read_text())["precision"] == "bf16"
    code, _, err = sfumato(*certify, "--label-known")
    assert code == 2
    assert err.splitlines()[-1].startswith(
        "error: certificates.tsv: belongs to another run, with label_known False instead of True"
    )


def test_another_runs_file_is_refused_before_what_is_fast_is_measured(
    tmp_path, digits_model, monkeypatch, sfumato
):
    command = [
        "certify",
        "--model",
        digits_model,
        "--out",
        tmp_path / "t.tsv",
        "--n",
        "200",
        "--device",
        "cpu",
    ]
    assert sfumato(*command, "--first", "3", "--beta", "0.5")[::2] == (0, "")
    asked = []
    plain = smoothed.tuned_configuration

    def measured(*arguments, votes, **options):
        asked.append(votes)
        return plain(*arguments, votes=votes, **options)

    monkeypatch.setattr(smoothed, "tuned_configuration", measured)
    code, _, error = sfumato(*command, "--first", "3", "--beta", "0.6")
    assert (code, asked) == (2, [])
    assert "beta 0.5 instead of 0.6" in error
    code, _, error = sfumato(*command, "--first", "5", "--beta", "0.5")
    assert (code, error.endswith("holds 3 of the 5 images; the others are added\n")) == (0, True)
    assert asked == [2 * 300], "for the two images that are new"


def test_measuring_that_takes_a_while_is_said_before(tmp_path, digits_model, monkeypatch, sfumato):
    plain = smoothed.tuned_configuration

    def announced(*arguments, on_measuring, **options):
        on_measuring(29.6)
        return plain(*arguments, on_measuring=on_measuring, **options)

    monkeypatch.setattr(smoothed, "tuned_configuration", announced)
    command = ["certify", "--model", digits_model, "--beta", "0.5", "--n", "200", "--first", "2"]
    code, _, error = sfumato(*command, "--device", "cpu", "--out", tmp_path / "t.tsv")
    assert (code, error) == (0, "note: measuring what is fastest, for at most about 30 s\n")


BAD = [
    (
        ["risk", "MODEL", "--beta", "0.1", "--precision", "fp8"],
        "must be one of auto, float32, bf16, got 'fp8'",
    ),
    (["train", "--alpha", "-0.1"], "alpha must be at least 0, got -0.1"),
    (["train", "--alpha", "0.1", "--model", "cnm"], "'cnm' is not known; accepted are mlp"),
    (["train", "--alpha", "0.1", "--data", "minst"], "'minst' is not known; accepted are digits"),
    (
        ["train", "--alpha", "0.1", "--data", "gone/photos"],
        "gone/photos: no such file or folder; give an existing one",
    ),
    (["train", "--alpha", "0.1", "--device", "tpu9"], "device 'tpu9' is not known"),
    (["train", "--alpha", "0.1", "--out", "file/m.safetensors"], "is not a folder"),
    (["train", "--alpha", "x"], "got 'x'"),
    (["train", "--alpha", "0.1", "--epochs", "2.5"], "got '2.5'"),
    (["train"], "--alpha"),
    (["certify", "--model", "MODEL", "--beta", "nan"], "beta must be a positive finite number, got nan"),
    (["certify", "--model", "MODEL", "--beta", "inf"], "beta must be a positive finite number, got inf"),
    (
        ["certify", "--model", "MODEL", "--beta", "0.5", "--n", "0"],
        "n must be a whole number of at least 1, got 0",
    ),
    (
        ["certify", "--model", "MODEL", "--beta", "0.5", "--confidence", "1"],
        "strictly between 0 and 1, got 1.0",
    ),
    (["certify", "--model", "MODEL", "--beta", "0.5", "--out", "file/t.tsv"], "is not a folder"),
    (
        ["certify", "--model", "MODEL", "--beta", "0.5", "--out", "file"],
        "exists, but no run with these settings wrote it",
    ),
    (["certify", "--model", "MODEL", "--beta", "0.5", "--data", "wide.npz"], "is for inputs (1, 8, 8)"),
    (["certify", "--model", "mine:nan_model", "--beta", "0.5"], "NaN"),
    (["certify", "--model", "mine:flat_model", "--beta", "0.5"], "must return (batch, classes)"),
    (["certify", "--model", "missing.safetensors", "--beta", "0.5"], "no such file"),
    (
        ["certify", "--model", "MODEL", "--beta", "0.5", "--precision", "fp8"],
        "precision must be one of auto, float32, bf16, got 'fp8'",
    ),
    (
        ["certify", "--model", "MODEL", "--beta", "0.5", "--plan", "curves(1)"],
        "plan must be one of fixed(n0,n), two_class(n0,n), decide(radius)",
    ),
    (
        ["certify", "--model", "MODEL", "--beta", "0.5", "--plan", "curve(0.5,0.25)"],
        "radii must be strictly increasing, got 0.5, 0.25",
    ),
    (
        ["certify", "--model", "MODEL", "--beta", "0.5", "--plan", "decide(0.5,n_max=10)"],
        "n_max must be at least the first look of 32 votes, got 10",
    ),
    (
        ["certify", "--model", "MODEL", "--beta", "0.5", "--confidence", "0.9999999", "--n", "20"],
        "n must be at least 24 votes",
    ),
    (
        ["certify", "--model", "MODEL", "--beta", "0.1", "--plan", "decide(1)"],
        "votes to certify radius 1 at beta 0.1",
    ),
    (
        ["certify", "--model", "MODEL", "--beta", "0.5", "--plan", "decide(0.5)", "--n", "20"],
        "n0 and n belong to the plan fixed(n0,n)",
    ),
    (["risk", "MODEL", "--beta", "0.1,x"], "beta must be numbers separated by commas, or first:last:count"),
    (["risk", "MODEL", "--beta", "-1"], "beta must be a finite number of at least 0, got -1.0"),
    (["data", "bad.npz"], "x has 4 examples but y has 3"),
    (["inspect", "bad.npz"], "has no Sfumato record"),
    (["demo", "--out", "file/demo"], "is not a folder"),
    (["paint"], "paint"),
    (["certify", "--model", "MODEL", "--beta", "0.5", "--out", "a" * 300], "at most 255 are possible"),
    (["certify", "--model", "MODEL", "--beta", "0.5", "--out", "."], "is a folder"),
    (["certify", "--model", "MODEL", "--beta", "0.5", "--plan", f"vote({'9' * 5000})"], "15 digits"),
    (["train", "--alpha", "0.1", "--out", "a" * 300], "aaaa"),
    (["study", "run", "a" * 300, "--out", "s"], "ile name too long"),
    (["inspect", "a" * 300], "no such file"),
    (["table", "certified", "a" * 300], "ile name too long"),
    (["plot", "certified", "x.tsv", "--out", f"{'a' * 300}.pdf"], "at most 255 are possible"),
    (["report", "x.tsv", "--out", f"{'a' * 300}.html"], "at most 255 are possible"),
]

MINE = """
import torch
class NaN(torch.nn.Module):
    def forward(self, x):
        return torch.full((len(x), 10), float("nan"))
class Flat(torch.nn.Module):
    def forward(self, x):
        return x.flatten(1).sum(1)
def nan_model(shape, classes):
    return NaN()
def flat_model(shape, classes):
    return Flat()
"""


@pytest.mark.parametrize(("arguments", "words"), BAD, ids=[" ".join(a)[:80] for a, _ in BAD])
def test_bad_input_is_one_line_and_exit_code_2_and_changes_nothing(
    arguments, words, digits_model, tmp_path, monkeypatch, refused
):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "mine.py").write_text(MINE)
    np.savez(tmp_path / "bad.npz", x=np.zeros((4, 2)), y=np.arange(3) % 2)
    np.savez(tmp_path / "wide.npz", x=np.zeros((20, 9, 9)), y=np.arange(20) % 10)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    refused([digits_model if part == "MODEL" else part for part in arguments], words)


@pytest.mark.parametrize(
    ("command", "times"),
    [
        (["data"], 1),
        (["data", "--json"], 1),
        (["--quiet", "data"], 0),
        (["train", "--alpha", "9", "--epochs", "1", "--data"], 1),
    ],
)
def test_what_is_to_be_known_about_data_is_said_once_on_standard_error(
    command, times, tmp_path, monkeypatch, sfumato
):
    path = tmp_path / "d.npz"
    np.savez(path, x=255 * np.linspace(0, 1, 640).reshape(10, 8, 8), y=np.arange(10) % 2)
    monkeypatch.chdir(tmp_path)
    code, _, err = sfumato(*command, path)
    assert code == 0
    assert err.count(f"note: {path}: pixels from 0 to 255 are taken as they are") == times
    assert err.count("\n") == times


TABLE = "idx\tlabel\tpredict\tradius\tcorrect\ttime\n0\t3\t3\t0.5\t1\t1.0\n0\t3\t3\t0.7\t1\t1.0\n"
WRITING = [
    ["train", "--alpha", "0.1", "--epochs", "1", "--out", "n.safetensors", "--device", "cpu"],
    ["table", "certified", "t.tsv", "--out", "t.md"],
    ["plot", "certified", "t.tsv", "--out", "t.pdf"],
    ["report", "t.tsv", "--out", "t.html", "--gallery", "0"],
    ["study", "init", "s.toml"],
    ["theory", "ball", "--csv", "b.csv"],
    ["certify", "--model", "MODEL", "--beta", "0.5", "--plan", "vote(9)", "--first", "2", "--device", "cpu"],
]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
@pytest.mark.parametrize("arguments", WRITING, ids=[a[0] for a in WRITING])
def test_a_full_or_broken_disk_is_a_failure_in_every_command(
    arguments, number, digits_model, tmp_path, monkeypatch, sfumato
):
    (tmp_path / "t.tsv").write_text(TABLE)
    monkeypatch.chdir(tmp_path)

    def broken(descriptor):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", broken)
    code, _, error = sfumato(*(digits_model if part == "MODEL" else part for part in arguments))
    assert code == 1, error
    assert error.splitlines()[-1].startswith("error: ")
    assert error.splitlines()[-1].endswith(f": cannot be written ({os.strerror(number)})")
    assert "Traceback" not in error


@pytest.mark.parametrize("arguments", [["--version"], ["table", "certified", "t.tsv"]])
def test_standard_output_on_a_full_disk_is_a_failure(arguments, tmp_path):
    (tmp_path / "t.tsv").write_text(TABLE)
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = process(*arguments, capture_output=False, stdout=full, stderr=subprocess.PIPE, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("No space left on device")
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


def test_repeated_rows_of_a_table_are_a_note(tmp_path, monkeypatch, sfumato):
    (tmp_path / "t.tsv").write_text(TABLE)
    monkeypatch.chdir(tmp_path)
    for arguments in (
        ["table", "certified", "t.tsv"],
        ["plot", "radii", "t.tsv", "--out", "t.svg"],
        ["report", "t.tsv", "--gallery", "0"],
    ):
        code, _, error = sfumato(*arguments)
        words = "a further row about an image; the first row about each image counts"
        assert (code, error) == (0, f"note: t.tsv:3: {words}\n")


def test_a_name_that_is_no_text_can_be_written_and_shown(tmp_path, monkeypatch, sfumato):
    (tmp_path / "t.tsv").write_text(TABLE)
    monkeypatch.chdir(tmp_path)
    out = os.fsdecode(b"caf\xe9.csv")
    assert sfumato("table", "certified", "t.tsv", "--format", "csv", "--out", out)[0] == 0
    assert (tmp_path / out).exists()


def test_an_unreachable_download_is_a_failure_not_bad_input(tmp_path):
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "http_proxy": "http://127.0.0.1:9"}
    environment |= {"https_proxy": "http://127.0.0.1:9", "SFUMATO_DATA": str(tmp_path)}
    done = process("data", "mnist", env=environment)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: train-images-idx3-ubyte.gz: not found locally")
    assert last.endswith(
        "cannot be fetched (the proxy: Connection refused); put the file into --data-dir or SFUMATO_DATA"
    )
    assert "Traceback" not in done.stderr
