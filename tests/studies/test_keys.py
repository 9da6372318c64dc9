"""Names by content: what determines a model or a cell changes its name, and nothing else does."""

import pytest
import torch

from sfumato.errors import OutputError
from sfumato.studies.design import make_design
from sfumato.studies.keys import Keys
from sfumato.studies.run import run_study
from sfumato.studies.store import FILE, Member, Store

MEMBER = Member("risk", 0.2, 0.4, 0)
CERTIFIED = Member("certificates", 0.2, 0.5, 0)
TABLES = {"certification": {"beta": [0.5], "radii": [0.1]}}


def names(digits, changes=None, device="cpu"):
    keys = Keys.of(make_design(TABLES, changes), digits, torch.device(device))
    return {
        "model": keys.model(0.2, 0),
        "cell": keys.cell(MEMBER, "weights"),
        "certified cell": keys.cell(CERTIFIED, "weights"),
        "chain": keys.chain,
        "settings": keys.settings,
        "certification": keys.certification,
    }


EVERYTHING = {"model", "cell", "certified cell", "chain", "settings", "certification"}
VOTED = {"cell", "settings", "certification"}


@pytest.mark.parametrize(
    ("changes", "changed"),
    [
        ({"grid": {"alpha": [0.2], "beta": [0.4], "seeds": [0, 1]}, "data": {"images": 5}}, set()),
        ({"certification": {"images": 9, "beta": [0.7]}}, set()),
        ({"model": {"epochs": 7}}, EVERYTHING - {"cell", "certified cell"}),
        ({"votes": {"n": 7}}, VOTED),
        ({"votes": {"rule": "all"}}, VOTED),
        ({"votes": {"error": 0.5}}, set()),  # of the sequential rule alone
        ({"votes": {"seed": 1}}, VOTED | {"certified cell"}),
        ({"votes": {"precision": "bf16"}}, VOTED | {"certified cell"}),
        ({"votes": {"normalization": "at-beta"}}, VOTED | {"certified cell"}),
        ({"certification": {"confidence": 0.9}}, {"certified cell", "certification"}),
        ({"certification": {"radii": [0.2]}}, {"certified cell", "certification"}),
        ({"certification": {"label_known": True}}, {"certified cell", "certification"}),
    ],
)
def test_a_setting_changes_the_names_of_what_it_determines(digits, changes, changed):
    before, after = names(digits), names(digits, changes)
    assert {name for name in before if before[name] != after[name]} == changed


def test_another_kind_of_device_changes_everything_and_another_one_of_a_kind_nothing(digits):
    cpu, cuda = names(digits), names(digits, device="cuda:0")
    assert {name for name in cpu if cpu[name] != cuda[name]} == EVERYTHING
    assert names(digits, device="cuda:1") == cuda


def test_without_noise_the_rule_of_the_votes_does_not_matter(digits):
    keys = [Keys.of(make_design(TABLES, {"votes": {"n": n}}), digits, torch.device("cpu")) for n in (5, 50)]
    plain = Member("risk", 0.2, 0.0, 0)
    assert keys[0].cell(plain, "weights") == keys[1].cell(plain, "weights")


def test_a_study_under_the_former_noise_is_not_continued(digits, tmp_path):
    design = make_design(TABLES)
    with Store(tmp_path / FILE) as store:
        store.keep_path(Keys.of(design, digits, torch.device("cpu")).earlier_chain, {0.0: None})
    with pytest.raises(OutputError, match=r": was begun by a version of Sfumato that draws other noise"):
        run_study(design, tmp_path, device="cpu")
