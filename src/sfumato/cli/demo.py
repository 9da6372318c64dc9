"""``sfumato demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sfumato.cli import options
from sfumato.cli.terminal import OUT, print_table, progress_bar, tell


def command(
    out: Annotated[Path, typer.Option("--out", help="Folder for models, certificates and figures.")] = Path(
        "sfumato-demo"
    ),
    seed: options.Seed = 0,
    device: options.Device = "auto",
) -> None:
    """Show on real digits how the best training noise alpha depends on the smoothing noise beta.

    Trains nine networks, measures Delta(alpha, beta), certifies 100 images, draws two figures.

    Example: sfumato demo --out sfumato-demo
    """
    with progress_bar("loading", 1) as bar:
        from sfumato.certification.summary import summarise
        from sfumato.noise import Gaussian
        from sfumato.reporting.certified_figures import certified_accuracy
        from sfumato.reporting.picture import Picture
        from sfumato.reporting.sources import CertifiedSet
        from sfumato.reporting.static import save_picture
        from sfumato.reporting.study_figures import RiskLine, risk_panel
        from sfumato.studies import demo

        def announce(stage: str, steps: int) -> None:
            tell(f"{stage} ({steps} steps)")
            bar.restart(stage, steps)

        result = demo.run_demo(out, seed=seed, device=device, on_stage=announce, on_step=bar.advance)

    unit = result.data.unit
    rows = []
    for beta in demo.BETAS:
        best = result.best_alpha(beta)
        low, high = result.risks[best, beta].interval()
        marked = [
            f"{100 * result.risks[alpha, beta].value:.2f}"
            + ("*" if alpha == best else "")
            + ("=" if alpha == beta else "")
            for alpha in demo.ALPHAS
        ]
        rows.append([f"{beta:g}", *marked, f"{best:g}", f"{100 * low:.1f}-{100 * high:.1f}"])
    print_table(
        f"Risk Delta(alpha, beta) in % of {len(result.data.test)} test images of digits; noise in {unit}",
        ["beta", *(f"{alpha:g}" for alpha in demo.ALPHAS), "best", "95 %"],
        rows,
    )
    OUT.print(
        "columns: alpha;  * lowest of its row (picked on these images, so a little flattered), "
        "with its 95 % interval;  = alpha is beta\n"
    )

    beta = demo.CERTIFIED_BETA
    best = result.best_alpha(beta)
    names = {
        alpha: f"alpha = {alpha:g}"
        + (" (best)" if alpha == best else "")
        + (" (= beta)" if alpha == beta else "")
        for alpha in result.certificates
    }
    summaries = {
        alpha: summarise(certificates, demo.PLAN, noise=Gaussian(beta), confidence=demo.CONFIDENCE)
        for alpha, certificates in result.certificates.items()
    }
    radii = [point.radius for point in next(iter(summaries.values())).curve]
    print_table(
        f"Certified accuracy of {demo.CERTIFIED_IMAGES} test images at beta = {beta:g}, by L2 "
        f"radius, and mean radius",
        ["trained with", *(f"{radius:g}" for radius in radii), "mean"],
        [
            [names[alpha], *(f"{p.share:.2f}" for p in summary.curve), f"{summary.average_radius:.3f}"]
            for alpha, summary in summaries.items()
        ],
    )
    risk_figure, certified_figure = out / "risk.png", out / "certified-accuracy.png"
    lines = []
    for beta in demo.BETAS:
        risks = [result.risks[alpha, beta] for alpha in demo.ALPHAS]
        lows, highs = zip(*(risk.interval() for risk in risks), strict=True)
        nearest = min(demo.ALPHAS, key=lambda alpha: abs(alpha - beta))
        values, images = tuple(risk.value for risk in risks), risks[0].examples
        best = result.best_alpha(beta)
        lines.append(RiskLine(beta, demo.ALPHAS, values, lows, highs, None, best, nearest, images))
    panel = risk_panel(lines, unit, "Digits: risk of the smoothed classifier")
    save_picture(Picture(((panel,),)), risk_figure)
    sets = [CertifiedSet(names[alpha], rows, unit, out) for alpha, rows in result.certificates.items()]
    title = f"Digits: certified accuracy at β = {demo.CERTIFIED_BETA:g}"
    save_picture(certified_accuracy(sets, title=title), certified_figure)
    OUT.print(
        f"\nfigures: {risk_figure} and {certified_figure}\nmodels and certificates: {out}", markup=False
    )
