"""The gallery's images are the study's, its votes are the votes that were cast, its radii are bounds."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from sfumato.answers.best import answer_study
from sfumato.answers.gallery import sample_gallery, usual_pair
from sfumato.certification.certificate import Certificate
from sfumato.errors import DataError, SettingError
from sfumato.studies.design import make_design
from sfumato.studies.provenance import study_progress, study_provenance
from sfumato.studies.run import run_study

DESIGN = {
    "data": {"images": 120},
    "model": {"epochs": 2},
    "grid": {"alpha": [0.1, 0.4], "beta": [0.0, 0.5]},
    "votes": {"n": 60},
    "certification": {"beta": [0.5], "radii": [0.1, 0.2], "images": 30},
}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gallery") / "study"
    design = make_design(DESIGN)
    return folder, design, run_study(design, folder, device="cpu")


def sampled(study, count=16, **changes):
    folder, design, results = study
    return sample_gallery(
        folder,
        design,
        results,
        **({"beta": 0.5, "alphas": (0.1, 0.4), "count": count, "device": "cpu"} | changes),
    )


def test_votes_counted_again_have_the_majority_that_the_study_kept(study, digits):
    gallery = sampled(study)
    assert gallery.why_not == ""
    assert len(gallery.images) == 16
    for image in gallery.images:
        assert np.array_equal(image.clean, digits.test.x[image.example])
        assert image.label == digits.test.y[image.example]
        for view in image.views:
            assert view.counts.sum() == view.votes == 60
            assert view.counts.argmax() == view.predicted or (
                np.sort(view.counts)[-1] == np.sort(view.counts)[-2]
            )
            assert view.label_votes == view.counts[image.label]


def test_the_noise_has_the_size_of_beta(study):
    noise = np.concatenate([(i.noisy - i.clean).ravel() for i in sampled(study, 100).images])
    assert noise.std() == pytest.approx(0.5, rel=0.05)
    assert abs(noise.mean()) < 0.05


def test_one_half_is_drawn_and_the_other_has_the_largest_differences(study):
    gallery = sampled(study, 20)
    drawn = {i.example for i in gallery.images if i.at_random}
    assert len(drawn) == 10
    first, second = (study[2].cells[alpha, 0.5, 0] for alpha in (0.1, 0.4))
    gap = np.abs(first.first_hits / first.first_votes - second.first_hits / second.first_votes)
    picked = [i.example for i in gallery.images if not i.at_random]
    left = sorted(set(range(120)) - drawn, key=lambda e: -gap[e])
    assert min(gap[picked]) >= gap[left[10]]
    assert [i.example for i in sampled(study, 20, seed=5).images] != [i.example for i in gallery.images]


def test_a_radius_is_the_studys_certificate_or_else_cohens_bound_for_the_label(study):
    for image in sampled(study, 60).images:
        for view, alpha in zip(image.views, (0.1, 0.4), strict=True):
            rows = {c.idx: c for c in study[2].certificates[alpha, 0.5, 0]}
            if image.example in rows:
                assert view.certificate == rows[image.example]
                assert view.radius == rows[image.example].radius
                continue
            hits = view.label_votes
            lower = stats.beta.ppf(0.001, hits, view.votes - hits + 1) if hits else 0.0
            assert view.radius == pytest.approx(max(0.0, 0.5 * stats.norm.ppf(lower)), abs=1e-6)


def test_disagreement_is_the_total_variation_of_the_votes(study):
    image = max(sampled(study).images, key=lambda i: i.disagreement)
    first, second = (view.counts / 60 for view in image.views)
    assert image.disagreement == pytest.approx(1 - np.minimum(first, second).sum())


def test_without_the_models_the_kept_votes_are_shown_and_the_reason_is_said(study, tmp_path):
    folder, design, results = study
    (tmp_path / "results.sqlite").write_bytes((folder / "results.sqlite").read_bytes())
    gallery = sampled((tmp_path, design, results))
    assert "the model of alpha 0.1 is not in" in gallery.why_not
    cell = results.cells[0.1, 0.5, 0]
    for image in gallery.images:
        assert image.views[0].counts is None
        assert image.views[0].label_votes == cell.first_hits[image.example]


def test_other_data_under_the_same_name_are_refused(study):
    folder, design, results = study
    cells = {key: replace(cell, labels=cell.labels[::-1]) for key, cell in results.cells.items()}
    with pytest.raises(DataError, match="its test labels differ from those of the study"):
        sampled((folder, design, replace(results, cells=cells)))


def test_alphas_that_were_not_measured_are_named(study):
    with pytest.raises(SettingError, match=r"alpha 0.1 and 0.9 were not both measured"):
        sampled(study, alphas=(0.1, 0.9))


def test_the_usual_pair_is_alpha_star_and_a_rule(study):
    answers = answer_study(study[2], draws=20).betas
    beta, best, other = usual_pair(answers)
    assert beta == 0.5
    assert {best, other} == {0.1, 0.4}
    with pytest.raises(SettingError, match="two models smoothed with the same positive beta"):
        usual_pair([found for found in answers if found.beta == 0])


def test_the_provenance_of_a_study_is_its_file_its_models_and_its_command(study, digits):
    folder, design, results = study
    found = study_provenance(folder)
    assert found.design == design
    assert found.command == "sfumato study run study.toml --out study"
    assert [record.alpha for _, record in found.models] == [0.1, 0.4]
    assert found.data_sha256 == (digits.checksum(),)
    assert study_progress(design, results) == (6, 6)
    assert study_progress(design, None) == (0, 6)
    more = make_design(DESIGN | {"grid": {"alpha": [0.1, 0.2, 0.4], "beta": [0.0, 0.5]}})
    assert study_progress(more, results) == (6, 9)


def test_a_certificate_for_another_class_is_shown_with_its_own_radius(study):
    folder, design, results = study
    wrong = [Certificate(i, 0, 9, 0.2, 1.0, 60) for i in range(120)]
    changed = replace(results, certificates={(0.1, 0.5, 0): wrong})
    assert {image.views[0].radius for image in sampled((folder, design, changed)).images} == {0.2}
