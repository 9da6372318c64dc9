"""``sfumato theory mixture``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import typer

from sfumato.cli import options
from sfumato.cli.terminal import OUT, print_table
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
    radius: Annotated[float, typer.Option(help="L2 radius to certify; 0 gives plain accuracy.")] = 0.0,
    figure: output.FigureFile = None,
    csv: output.CsvFile = None,
    as_json: options.Json = False,
) -> None:
    """Compute the error of Gaussian classes after two noises in closed form, and the best alpha.

    The error counts wrong labels on clean data, and labels that are not certified at the radius.

    Example: sfumato theory mixture three --separation 2 --scale 0.5 --beta 0.5,1,2 --figure three.png
    """
    import numpy as np

    from sfumato.theory.mixtures import LinearDiscriminant

    given = {"mean": mean, "scale": scale, "variances": variances, "separation": separation}
    given |= {"dim": dim, "inner": inner, "outer": outer, "prior": prior}
    output.check_files(figure, csv)
    classes = _classes(kind, {name: value for name, value in given.items() if value is not None})
    alphas, betas = options.parse_numbers("alpha", alpha), options.parse_numbers("beta", beta)
    risk = np.array([[classes.uncertified(one, other, radius) for other in betas] for one in alphas])
    plain = np.array([classes.uncertified(0.0, other, radius) for other in betas])
    found = []
    for column, other in enumerate(betas):
        if isinstance(classes, LinearDiscriminant):
            best = classes.best_alpha(other, radius)
        else:
            best = classes.best_alpha(other) if radius == 0.0 else alphas[int(np.argmin(risk[:, column]))]
        # with all noise the likelier class is named everywhere
        least_prior = min(classes.prior0, 1.0 - classes.prior0)
        found.append(
            {
                "beta": other,
                "without_augmentation": plain[column],
                "alpha_is_beta": classes.uncertified(other, other, radius),
                "best_alpha": best,
                "risk": least_prior if math.isinf(best) else classes.uncertified(best, other, radius),
                "best_alpha_over_beta": best / other if other else 0.0,
            }
        )
    what = "error" if radius == 0.0 else f"error certified at radius {radius:g}"
    bayes = classes.bayes_risk()
    # an infinite best alpha becomes null
    about = {"kind": kind, "radius": radius, "bayes_risk": bayes, "best": found}
    output.RiskGrid(alphas, betas, risk, plain).show(as_json, csv, about)
    if not as_json:
        print_table(
            f"{kind}: {what}; Bayes error {bayes:.6g}",
            ["beta", "alpha = 0", "alpha = beta", "best alpha", "its error", "best alpha / beta"],
            [[f"{value:.6g}" for value in row.values()] for row in found],
        )
        if radius > 0.0 and kind in ("three", "concentric"):
            OUT.print(f"the best alpha is the best of the {len(alphas)} given")
    if figure is not None:
        from sfumato.reporting import theory_figures
        from sfumato.reporting.static import save_picture

        picture = theory_figures.curves(
            np.array(alphas),
            betas,
            risk,
            title=f"Gaussian classes: {kind}",
            measure=what,
            best_possible=bayes if radius == 0.0 else None,
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
