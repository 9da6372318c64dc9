"""What the report says first of certificates: counted by hand."""

from dataclasses import replace
from pathlib import Path

from sfumato.certification.certificate import Certificate
from sfumato.reporting.report.certificate_panels import certified_lead
from sfumato.reporting.sources import CertifiedSet


def made(name, radii, votes):
    rows = [Certificate(i, 1, 1, radius, 1.0, votes=votes) for i, radius in enumerate(radii)]
    return CertifiedSet(name, rows, "", Path(name))


def test_the_lead_says_of_top_k_that_it_is_no_certified_accuracy():
    first = made("first", [0.1, 0.1, 0.6, 0.6], 1000)
    rows = [replace(row, radius=0.6, plan="top_k(5,100,1000)") for row in first.certificates]
    lead = certified_lead([first, replace(first, name="five", certificates=rows)], [0.5])
    assert "at L2 radius 0.5 five certifies 1.0000 (as one of the 5 most probable classes)" in lead


def test_the_lead_names_the_best_at_each_radius_and_the_average_radius_last():
    wide, near = made("wide", [0.1, 0.1, 1.9, 1.9], 1000), made("near", [0.6, 0.6, 0.6, 0.6], None)
    lead = certified_lead([wide, near])
    assert "at L2 radius 0.5 near certifies 1.0000" in lead
    assert "at L2 radius 1.5 wide certifies 0.5000" in lead
    assert lead.endswith(
        "; the largest average certified L2 radius, 1.0000 (1,000 votes per example), is of wide."
    )
