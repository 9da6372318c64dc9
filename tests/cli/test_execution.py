"""The options of workers, as a user gives them."""

import pytest

from study_rows import rows_of


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--executor", "dask"], "executor must be one of local, ray, got 'dask'"),
        (["--workers", 0], "workers must be a whole number of at least 1, got 0"),
        (["--threads", 0], "threads must be a whole number of at least 1, got 0"),
        (["--ray-address", "auto"], "ray-address auto is for the executor ray; add --executor ray"),
        (["--executor", "ray", "--ray-address", "x"], "ray-address must be host:port or auto, got 'x'"),
    ],
)
def test_bad_options_are_refused_in_one_line(refused, options, message):
    refused(["study", "run", "--out", "s", *options], message)


@pytest.mark.parametrize("option", [["--batch-size", 9], ["--profile"]])
def test_certify_refuses_what_is_of_one_process(refused, digits_model, option):
    words = " ".join(map(str, option)) + " is for one process"
    refused(["certify", "--model", digits_model, "--beta", 0.5, "--workers", 1, *option], words)


@pytest.mark.slow
def test_a_study_with_workers_has_the_rows_of_one_without(sfumato, tmp_path):
    study = ["study", "run", "--alpha", "0,0.4", "--beta", "0.3", "--epochs", 2]
    study += ["--threads", 1, "--images", 300]
    tables = []
    for name, options in (("one", []), ("two", ["--workers", 2])):
        code, out, err = sfumato(*study, "--out", tmp_path / name, *options)
        assert code == 0, err
        tables.append([line for line in out.splitlines() if "[" in line])
    assert rows_of(tmp_path / "two") == rows_of(tmp_path / "one")
    assert tables[0] == tables[1]
