"""The panels of a study, and of published risks: best alpha, risk lines, risk map, votes."""

from __future__ import annotations

from collections.abc import Sequence

from sfumato.answers.best import StudyAnswer
from sfumato.answers.published import PublishedResults
from sfumato.reporting.answer_tables import best_table, risk_table, risk_votes_table
from sfumato.reporting.picture import Picture
from sfumato.reporting.report.page import Panel
from sfumato.reporting.study_figures import (
    RiskLine,
    published_lines,
    risk_map,
    risk_panel,
    risk_votes,
    study_lines,
)
from sfumato.reporting.tables import Table
from sfumato.studies.results import StudyResults


def study_lead(answer: StudyAnswer) -> str:
    """Return the answer that matters first: alpha* at the beta where it gains most over alpha = beta."""
    told = [found for found in answer.betas if found.beta > 0] or list(answer.betas)
    best = max(told, key=lambda found: found.gain.risk - found.best.risk)
    gain = best.gain
    words = (
        f"smoothed with β = {best.beta:g}, training noise α* = {best.alpha:g} has the lowest risk, "
        f"{best.best.risk:.4f}"
    )
    if gain.alpha == best.alpha:
        return f"{words}; it is the measured α nearest to β."
    return (
        f"{words}, against {gain.risk:.4f} at α = {gain.alpha:g}, the measured one nearest to β "
        f"(gain {gain.gain:.4f}, {gain.low:.4f} to {gain.high:.4f}, p = {gain.p_value:.2g})."
    )


def study_panels(results: StudyResults, answer: StudyAnswer, key: str) -> tuple[Panel, ...]:
    """Return the panels of a study."""
    confidence, images = answer.betas[0].confidence, max(found.images for found in answer.betas)
    left_out = sum(found.left_out for found in answer.betas)
    best = Panel(
        f"{key}-best",
        "The best training noise",
        f"For each β the α of lowest risk on {images:,} test images of {answer.data}, {answer.votes} votes "
        f"each; the set of alphas that no other beats significantly (confidence {confidence:.4g}, Holm's "
        "correction); and the gain over the measured alpha nearest to β, in brackets: both are picked on one "
        "half of the images and compared on the other."
        + (f" {left_out} finished cells wait for the other alphas of their seed." if left_out else ""),
        table=best_table(answer),
        open_table=True,
    )
    about = f"on {images:,} test images, {100 * confidence:.4g} % intervals"
    table = risk_table({found.beta: found.points for found in answer.betas}, about)
    panels = [best, *_risk_panels(study_lines(answer), answer.unit, key, confidence, table)]
    if any(beta > 0 for beta in results.betas):
        panels.append(
            Panel(
                f"{key}-votes",
                "Votes spent on the risk",
                f"Mean votes per test image of each cell, over all its {images:,} images, beside "
                f"{results.votes} for every image: voting stops once the majority is decided.",
                risk_votes(results),
                risk_votes_table(results),
            )
        )
    return tuple(panels)


def published_panels(published: PublishedResults, key: str, confidence: float) -> tuple[Panel, ...]:
    """Return the panels of published risks."""
    lines = published_lines(published)
    rows = [
        [f"{alpha:g}", f"{line.beta:g}", f"{risk:.4f}", f"{round(risk * line.images)}"]
        for line in lines
        for alpha, risk in zip(line.alphas, line.risks, strict=True)
    ]
    table = Table.of(
        f"{published.name}, {published.images:,} test images", ["alpha", "beta", "risk", "errors"], rows
    )
    return tuple(_risk_panels(lines, "unit as published", key, confidence, table))


def _risk_panels(
    lines: Sequence[RiskLine], unit: str, key: str, confidence: float, table: Table
) -> list[Panel]:
    bounds = "as published" if lines[0].low is None else "with exact intervals on hovering"
    marks = "the ring is the measured α nearest to β."
    words = (
        f"Points are measured, {bounds}; line and band are the smoothed curve and its "
        f"{100 * confidence:.4g} % band. The star is where the line is lowest, {marks}"
        if any(line.curve is not None for line in lines)
        else f"Measured values, {bounds}; bands are exact intervals. The star is the lowest, {marks}"
    )
    return [
        Panel(
            f"{key}-risk",
            "Risk against training noise",
            "Share of test images that the smoothed classifier gets wrong, on a logarithmic axis. " + words,
            Picture(((risk_panel(lines, unit),),)),
            table,
        ),
        Panel(
            f"{key}-map",
            "The map of the risk",
            "Risk over training noise α and smoothing noise β; darker is lower. The ridge connects the "
            "lowest measured risk of every β; the dashed diagonal is α = β.",
            risk_map(lines, unit),
            table,
        ),
    ]
