"""``sfumato theory mixture``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import typer

from sfumato.cli import options
from sfumato.cli.theory import output
from sfumato.errors import SettingError, require_positive

if TYPE_CHECKING:
    from sfumato.theory.mixtures import Mixture

# The options of each kind, with their default values.
KINDS: dict[str, dict[str, str]] = {
    "two": {"mean": "1", "scale": "1", "prior": "0.5"},
    "lda": {"mean": "1,1", "variances": "1,0.04"},
    "three": {"separation": "2", "scale": "0.5", "prior": "0.5"},
    "concentric": {"dim": "10", "inner": "1", "outer": "2", "prior": "0.5"},
}


def command(
    kind: Annotated[
        str,
        typer.Argument(
            help="two: N(-mean, scale^2) and N(mean, scale^2); lda: N(-mean, S) and N(mean, S), S diagonal; "
            "three: N(0, scale^2) between N(+-separation, scale^2); concentric: N(0, inner^2 I) within "
            "N(0, outer^2 I)."
        ),
    ],
    mean: Annotated[str | None, typer.Option(help="two: a number; lda: a vector, 1,1.")] = None,
    scale: Annotated[str | None, typer.Option(help="two, three: standard deviation.")] = None,
    variances: Annotated[str | None, typer.Option(help="lda: diagonal of S.")] = None,
    separation: Annotated[str | None, typer.Option(help="three: distance of the outer means.")] = None,
    dim: Annotated[str | None, typer.Option(help="concentric: dimension.")] = None,
    inner: Annotated[str | None, typer.Option(help="concentric: standard deviation of class 0.")] = None,
    outer: Annotated[str | None, typer.Option(help="concentric: standard deviation of class 1.")] = None,
    prior: Annotated[str | None, typer.Option(help="two, three, concentric: probability of class 0.")] = None,
    alpha: output.Alpha = "0:2:81",
    beta: output.Beta = "0.5,1,2",
    radius: output.Radius = "0",
    figure: output.FigureFile = None,
    csv: output.CsvFile = None,
    as_json: options.Json = False,
) -> None:
    """Compute the error of Gaussian classes after two noises in closed form, and the best alpha.

    The error counts wrong labels on clean data, and labels that are not certified at the radius.

    Example: sfumato theory mixture three --separation 2 --scale 0.5 --beta 0.5,1,2 --figure three.png
    """
    import numpy as np

    given = {"mean": mean, "scale": scale, "variances": variances, "separation": separation}
    given |= {"dim": dim, "inner": inner, "outer": outer, "prior": prior}
    output.check_files(figure, csv)
    classes = _classes(kind, {name: value for name, value in given.items() if value is not None})
    alphas, betas = options.parse_numbers("alpha", alpha), options.parse_numbers("beta", beta)
    radii, bayes = options.parse_numbers("radius", radius), classes.bayes_risk()
    least_prior = min(classes.prior0, 1.0 - classes.prior0)
    found = output.best_noises(classes.uncertified, classes.best_alpha, radii, betas, least_prior)
    if classes.prior0 == 0.5:  # otherwise the likelier class is an answer
        output.require_certifiable(found)
    # an infinite best alpha becomes null
    about = {"kind": kind, "radius": radii[0], "bayes_risk": bayes}
    if len(radii) > 1:
        title = f"Gaussian classes: {kind}"
        output.show_best(found, as_json, csv, figure, {**about, "radius": radii}, title)
        return
    (at,) = radii
    risk = np.array([[classes.uncertified(one, other, at) for other in betas] for one in alphas])
    plain = np.array([classes.uncertified(0.0, other, at) for other in betas])
    what = "error" if at == 0.0 else f"error certified at radius {at:g}"
    about["best"] = [{name: row[name] for name in row if name != "radius"} for row in found]
    grid = output.RiskGrid(alphas, betas, risk, plain, math.inf if at == 0.0 else least_prior)
    grid.show(as_json, csv, about)
    if not as_json:
        output.print_best(found, f"{kind}: {what}; Bayes error {bayes:.6g}")
    if figure is not None:
        from sfumato.reporting import theory_figures
        from sfumato.reporting.static import save_picture

        picture = theory_figures.curves(
            np.array(alphas),
            betas,
            risk,
            title=f"Gaussian classes: {kind}",
            measure=what,
            best_possible=bayes if at == 0.0 else None,
            trivial=grid.trivial,
        )
        save_picture(picture, figure)
        output.note_figure(figure)


def _classes(kind: str, given: dict[str, str]) -> Mixture:
    import numpy as np

    from sfumato.theory.mixtures import ConcentricGaussians, LinearDiscriminant, ThreeGaussians

    if kind not in KINDS:
        raise SettingError(f"mixture must be one of {', '.join(KINDS)}, got {kind!r}")
    for name in given:
        if name not in KINDS[kind]:
            accepted = ", ".join(f"--{option}" for option in KINDS[kind])
            raise SettingError(f"{kind} has {accepted}, not --{name}")
    texts = {**KINDS[kind], **given}
    values = {name: options.parse_numbers(name, text) for name, text in texts.items()}
    if kind == "lda":
        return LinearDiscriminant(np.array(values["mean"]), np.diag(values["variances"]))
    for name, found in values.items():
        if len(found) != 1:
            raise SettingError(f"{name} must be one number for {kind}, got {texts[name]!r}")
    one = {name: found[0] for name, found in values.items()}
    if kind == "two":
        mean, scale = require_positive("mean", one["mean"]), require_positive("scale", one["scale"])
        return LinearDiscriminant(np.array([mean]), np.array([[scale**2]]), one["prior"])
    if kind == "three":
        return ThreeGaussians(one["separation"], one["scale"], one["prior"])
    if not one["dim"].is_integer():
        raise SettingError(f"dim must be a whole number, got {texts['dim']}")
    return ConcentricGaussians(int(one["dim"]), one["inner"], one["outer"], one["prior"])
