"""What ``certify`` takes and gives: arrays, data sets and loaders in; a collection that answers out."""

import hashlib
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import sfumato as sf
from sfumato.certification.certificate import Certificate
from sfumato.certification.certificates import Certificates
from sfumato.errors import DataError, ModelError, OutputError, SettingError

PLAN = "fixed(20,100)"


def smoother(model, **options):
    return sf.SmoothedClassifier(model, 0.5, device="cpu", **options)


def halves(x):
    return torch.stack([x.flatten(1).sum(1), torch.zeros(len(x))], dim=1)


X = torch.linspace(-0.4, 0.4, 10)[:, None].repeat(1, 4)
Y = (X[:, 0] < 0).long()


class Stream(IterableDataset):
    def __iter__(self):
        return iter(zip(X, Y, strict=True))


def told(certificates):
    return [(c.index, c.label, c.prediction, c.radius, c.votes) for c in certificates]


@pytest.mark.parametrize(
    "data",
    [
        TensorDataset(X, Y),
        DataLoader(TensorDataset(X, Y), batch_size=3),
        DataLoader(Stream(), batch_size=4),
        Stream(),
        sf.Split(X.numpy(), Y.numpy()),
    ],
    ids=["dataset", "loader", "stream loader", "stream", "split"],
)
def test_every_kind_of_data_has_the_certificates_of_its_images_and_its_labels(data):
    expected = smoother(halves).certify(X, PLAN, labels=Y)
    found = smoother(halves).certify(data, PLAN)
    assert told(found) == told(expected)
    assert [c.label for c in found] == Y.tolist()
    assert [c.index for c in found] == list(range(10))


def test_a_loader_is_read_batch_by_batch():
    class Endless(IterableDataset):
        def __iter__(self):
            while True:
                yield X[0]

    with pytest.raises(DataError, match="3 example indices for 4 or more images; give one for each"):
        smoother(halves).certify(DataLoader(Endless(), batch_size=2), PLAN, examples=[0, 1, 2])


def test_two_batches_never_share_noise_unless_examples_fix_it():
    same = torch.full((6, 4), 0.2)
    smoothed = smoother(halves)
    parts = [smoothed(same[:3]), smoothed(same[3:])]
    counts = smoother(halves).votes(same, 100)
    assert torch.equal(torch.cat(parts), torch.from_numpy(counts).float() / 100)
    assert not torch.equal(*parts)
    loader = DataLoader(TensorDataset(same), batch_size=2)
    first, second = smoothed.certify(loader, PLAN), smoothed.certify(loader, PLAN)
    assert [one.counts for one in first] != [one.counts for one in second]
    assert [one.index for one in first + second] == list(range(6, 18))  # after the first 6
    again = [told(smoothed.certify(loader, PLAN, examples=range(6))) for _ in "ab"]
    assert again[0] == again[1] == told(smoother(halves).certify(same, PLAN))


def test_vote_shares_are_a_tensor_like_the_input():
    shares = smoother(halves)(X, n=50)
    assert shares.shape == (10, 2)
    assert (shares.device, shares.dtype) == (X.device, torch.float32)
    assert torch.allclose(shares.sum(1), torch.ones(10))


def test_known_labels_change_the_question_and_labels_the_record_only():
    plan, wrong = "decide(0.1)", 1 - Y
    blind = smoother(halves).certify(X, plan)
    recorded = smoother(halves).certify(X, plan, labels=wrong)
    assert [c.prediction for c in recorded] == [c.prediction for c in blind]
    assert [c.label for c in recorded] == wrong.tolist()
    assert {c.label for c in blind} == {-1}
    known = smoother(halves).certify(X, plan, known_labels=wrong)
    assert all(c.prediction in (-1, c.label) for c in known)
    assert [c.prediction for c in known] != [c.prediction for c in blind]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"labels": [0]}, "1 labels for 10 or more images"),
        ({"labels": np.zeros(11, dtype=int)}, "11 labels for 10 images"),
        ({"labels": np.zeros((10, 2))}, "one whole number for each image, got float64 of shape"),
        ({"known_labels": np.zeros(3, dtype=int)}, "3 labels for 10 or more images"),
        ({"examples": range(12)}, "12 example indices for 10 images"),
        ({"plan": 3}, "plan must be a plan or its text"),
        ({"plan": "nonsense"}, "plan must be one of"),
    ],
)
def test_what_is_not_one_for_each_image_is_refused(given, words):
    with pytest.raises((DataError, SettingError), match=words):
        smoother(halves).certify(X, **({"plan": PLAN} | given))


def test_labels_beyond_the_outputs_of_the_model_are_refused():
    with pytest.raises(ModelError, match="class"):
        smoother(halves).certify(X, PLAN, labels=[7] * 10)


def test_batches_of_another_form_are_refused():
    loader = DataLoader([{"image": row} for row in X], batch_size=5)
    with pytest.raises(DataError, match=r"a batch must be images or \(images, labels\), got dict"):
        smoother(halves).certify(loader, PLAN)


@pytest.mark.parametrize("used", [False, True], ids=["fresh", "used"])
@pytest.mark.parametrize(
    "body",
    [
        torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3)),
        torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.Flatten(), torch.nn.Linear(72, 3)),
    ],
    ids=["dense", "convolution"],
)
def test_one_image_without_a_batch_axis_is_told_how_to_get_one(body, used):
    x, smoothed = torch.rand(3, 1, 8, 8), smoother(body)
    if used:
        smoothed.predict(x, 10)
    with pytest.raises((DataError, ModelError), match=r"one image needs a batch axis.*x\[None\]"):
        smoothed.predict(x[0])
    assert smoothed.predict(x[0][None], 10).shape == (1,)


def test_images_without_channels_are_no_single_image():
    body = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3))
    assert smoother(body).predict(torch.rand(4, 8, 8), 10).shape == (4,)


ROWS = Certificates(
    [
        Certificate(0, 3, 3, 0.4000007, 1.0, 120, "votes", 0.9, 0.1, 0.999, PLAN),
        Certificate(1, 5, -1, 0.0, 1.0, 120, "votes", math.nan, math.nan, 0.999, PLAN),
        Certificate(2, 4, 4, 0.2, 1.0, 120, "votes", 0.9, 0.1, 0.999, PLAN),
        Certificate(3, 4, 3, 0.9, 1.0, 120, "votes", 0.9, 0.1, 0.999, PLAN),
    ]
)


def test_accuracy_counts_what_is_right_and_certified(tmp_path):
    found = ROWS.accuracy([0.0, 0.2, 0.3, 0.5])
    assert found.shares == (0.5, 0.5, 0.25, 0.0)
    assert all(point.low <= point.share <= point.high for point in found)
    assert str(found).splitlines()[2].startswith("radius 0.3: 0.2500 (")
    assert ROWS.accuracy(0.2).shares == (0.5,)
    with pytest.raises(SettingError, match="radius"):
        ROWS.accuracy([-1.0])
    with pytest.raises(DataError, match=r"10 of 10 examples have no label; give certify labels="):
        smoother(halves).certify(X, PLAN).accuracy([0.0])


def test_accuracy_at_a_radius_that_was_not_asked_for_is_refused():
    asked = Certificates(replace(row, plan="curve(0.2,0.4)") for row in ROWS)
    assert asked.accuracy([0.2, 0.4]).shares == (0.5, 0.25)
    assert [point.radius for point in asked.accuracy()] == [0.2, 0.4]
    assert [point.radius for point in ROWS.accuracy()] == [0.0]
    for other in (0.0, 0.3, 0.5):
        with pytest.raises(DataError, match=f"radius {other:g} was not certified: .* for radius 0.2, 0.4"):
            asked.accuracy([0.2, other])


def test_the_table_is_read_back_with_radii_rounded_down(tmp_path):
    ROWS.to_tsv(tmp_path / "folder" / "t.tsv")
    back = Certificates.from_tsv(str(tmp_path / "folder" / "t.tsv"))
    assert [c.radius for c in back] == [0.4, 0.0, 0.2, 0.9]
    assert [(c.idx, c.label, c.predict, c.votes, c.plan) for c in back] == [
        (c.idx, c.label, c.predict, c.votes, c.plan) for c in ROWS
    ]


def test_several_calls_make_one_table_that_is_read_whole(tmp_path):
    """Every call numbered its certificates from 0, and a reader takes the first row of each number alone."""
    smoothed = smoother(halves)
    found = smoothed.certify(X, PLAN, labels=Y) + smoothed.certify(-X, PLAN, labels=Y)
    assert [one.index for one in found] == list(range(20))
    found.to_tsv(tmp_path / "t.tsv")
    back = Certificates.from_tsv(tmp_path / "t.tsv")
    assert told(back) == told(Certificates(one.as_written() for one in found))
    assert back.accuracy(0.0) == found.accuracy(0.0)


def test_numbers_are_those_of_the_noise_and_are_not_spent_on_a_refused_confidence():
    smoothed = smoother(halves)
    with pytest.raises(SettingError, match="confidence"):
        smoothed.certify(X, PLAN, confidence=2.0)
    first = smoothed.certify(X, PLAN)
    assert [one.index for one in first] == list(range(10))
    again = smoothed.certify(X[3:5], PLAN, examples=[first[3].index, first[4].index])
    assert told(again) == told(first[3:5])


def test_a_table_of_two_certificates_of_one_number_is_refused(tmp_path):
    twice = Certificates([*ROWS, replace(ROWS[2], radius=0.9), replace(ROWS[3], radius=0.1)])
    with pytest.raises(DataError, match=r"t\.tsv: .* 2 of the numbers are those of .* \(the first is 2\)"):
        twice.to_tsv(tmp_path / "t.tsv")
    assert not (tmp_path / "t.tsv").exists()


def test_published_rows_and_ours_make_a_table_that_keeps_what_each_states(tmp_path):
    levels = (0.99, math.nan)
    published = [Certificate(100 + i, 0, 0, 0.25, 1.0, confidence=one) for i, one in enumerate(levels)]
    mixed = Certificates([*published, *smoother(halves).certify(X[:2], PLAN), *votes_alone()])
    mixed.to_tsv(tmp_path / "t.tsv")
    back = Certificates.from_tsv(tmp_path / "t.tsv")
    assert told(back) == told(Certificates(one.as_written() for one in mixed))
    assert [one.plan for one in back] == [one.plan for one in mixed]
    assert [str(one.confidence) for one in back] == [str(one.confidence) for one in mixed]
    Certificates(published).to_tsv(tmp_path / "theirs.tsv")
    assert (tmp_path / "theirs.tsv").read_text().splitlines()[0].split("\t")[-1] == "time"


def votes_alone():
    """Return a row that guarantees nothing: read back it must not pass for one that states nothing."""
    return [Certificate(200, 0, 0, 0.0, 1.0, votes=9, plan="vote(9)")]


def test_a_collection_is_a_sequence_with_a_telling_repr():
    assert len(ROWS) == 4
    assert ROWS[1:3] == [ROWS[1], ROWS[2]]
    assert ROWS[:1] + ROWS[1:] == ROWS
    assert repr(ROWS) == "Certificates(4 examples, 1 abstained, median radius 0.3, fixed(20,100))"
    assert repr(Certificates()) == "Certificates(0 examples, 0 abstained)"


def test_json_has_null_for_numbers_that_there_are_not():
    found = json.loads(ROWS.to_json(), parse_constant=lambda name: pytest.fail(name))
    assert found[1]["p_lower"] is None
    assert [row["correct"] for row in found] == [True, False, True, False]


def test_a_fingerprint_is_text_and_a_model_can_be_called():
    with pytest.raises(ModelError, match="fingerprint of a model must be a text, got int"):
        smoother(type("Box", (torch.nn.Identity,), {"fingerprint": 3})())
    with pytest.raises(ModelError, match=r"a torch\.nn\.Module or a callable, got str"):
        smoother("digits.safetensors")


def test_a_table_is_not_written_beside_the_settings_of_another_run(tmp_path):
    (tmp_path / "t.tsv.json").write_text('{"beta": 0.5}')
    with pytest.raises(OutputError, match=r"t\.tsv\.json beside it holds the settings of another run"):
        ROWS.to_tsv(tmp_path / "t.tsv")
    assert not (tmp_path / "t.tsv").exists()


def test_a_table_that_is_not_the_one_of_the_settings_beside_it_is_noted(tmp_path):
    table, notes = tmp_path / "t.tsv", []
    ROWS.to_tsv(table)
    sha256 = hashlib.sha256(table.read_bytes()).hexdigest()
    seal = {"bytes": table.stat().st_size, "table_sha256": sha256}
    (tmp_path / "t.tsv.json").write_text(json.dumps({"beta": 0.5, "seal": seal}))
    sf.read_certificates(table, notes.append)
    assert not notes
    table.write_text(table.read_text().replace("\t1\t", "\t2\t"))
    sf.read_certificates(table, lambda note: notes.append(note) if "verify" in note else None)
    assert len(notes) == 1
    assert "its table was changed after the run" in notes[0]


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.full(10, 2**64 - 1, dtype=np.uint64), "labels must be classes from 0, or -1"),
        (Y.numpy() - 7, "labels must be classes from 0, or -1 where unknown, got -7 to -6"),
    ],
)
def test_labels_that_are_no_classes_do_not_become_unknown(labels, words):
    with pytest.raises(DataError, match=words):
        smoother(halves).certify(X, PLAN, labels=labels)


@pytest.mark.parametrize(
    "examples",
    [
        [k / 2 for k in range(10)],
        [2**70] * 10,
        [2**63] * 10,
        "abcdefghij",
        [None] * 10,
        5,
        np.ones((10, 1)),
        [True] * 10,
    ],
)
def test_numbers_of_images_that_are_no_whole_numbers_are_refused_in_one_line(examples):
    # halves were rounded down, so that two images had the same noise
    with pytest.raises(DataError, match="example indices must be"):
        smoother(halves).certify(X, PLAN, examples=examples)


@pytest.mark.parametrize("radius", [np.float32(0.25), np.array(0.25), torch.tensor(0.25), [np.float64(0.25)]])
def test_a_radius_of_any_kind_of_number_is_taken(radius):
    found = smoother(halves).certify(X, PLAN, labels=Y, examples=range(10))
    assert found.accuracy(radius) == found.accuracy(0.25)


@pytest.mark.parametrize("radius", ["0.25", ["0.25"], [[0.25]]])
def test_a_radius_that_is_no_number_is_refused_in_one_line(radius):
    with pytest.raises(SettingError, match="radius must be a finite number"):
        ROWS.accuracy(radius)


class OfSeveralMachines(torch.utils.data.Sampler):
    """As DistributedSampler, which needs a process group."""

    shuffle = True

    def __iter__(self):
        return iter(range(len(X))[::-1])

    def __len__(self):
        return len(X)


def test_loaders_that_shuffle_by_other_means_are_refused():
    data = TensorDataset(X, Y)
    batches = torch.utils.data.BatchSampler(torch.utils.data.RandomSampler(data), 5, False)
    for loader in (DataLoader(data, batch_sampler=batches), DataLoader(data, sampler=OfSeveralMachines())):
        with pytest.raises(DataError, match="the loader shuffles"):
            smoother(halves).certify(loader, PLAN)


def test_sparse_and_masked_images_are_refused_in_one_line():
    csr = type("csr_matrix", (), {"shape": (10, 4), "toarray": lambda self: X.numpy()})()
    with pytest.raises(DataError, match=r"images are a sparse csr_matrix; give x\.toarray\(\)"):
        smoother(halves).certify(csr, PLAN)
    with pytest.raises(DataError, match=r"images are a sparse tensor; give x\.to_dense\(\)"):
        smoother(halves).certify(X.to_sparse(), PLAN)
    with pytest.raises(DataError, match="images have masked values"):
        smoother(halves).certify(np.ma.masked_array(X.numpy(), mask=X.numpy() > 0), PLAN)
