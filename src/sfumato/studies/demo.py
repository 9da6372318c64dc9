"""The demonstration: the paper's question answered on the bundled digits in about a minute.

Trains one small network per alpha, measures Delta(alpha, beta), and certifies with the best alpha and
with alpha = beta at one beta that is fixed beforehand. Everything is measured; nothing is assumed
about which alpha wins.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sfumato.certification.certificates import Certificates
from sfumato.certification.run import Certification, certify_to_file
from sfumato.certification.smoothed_classifier import SmoothedClassifier
from sfumato.datasets import Dataset, load_dataset
from sfumato.errors import OutputError
from sfumato.files import require_writable
from sfumato.models.classifier import Classifier, load_classifier
from sfumato.plans import Fixed
from sfumato.smoothing.risk import Risk, measure_risk
from sfumato.training.loop import train
from sfumato.training.settings import TrainingSettings

ALPHAS = tuple(round(0.1 * step, 1) for step in range(9))
BETAS = tuple(round(0.2 * step, 1) for step in range(5))
CERTIFIED_BETA = 0.6
CERTIFIED_IMAGES = 100
PLAN = Fixed(n0=100, n=10_000)
CONFIDENCE = 0.999
VOTES = 100
_BATCH_SIZE = 1000
_EPOCHS = 60

OnStage = Callable[[str, int], None]
OnStep = Callable[[], None]


@dataclass(frozen=True)
class DemoResult:
    """What the demonstration measured.

    Attributes:
        data: the data set.
        risks: Delta per (alpha, beta).
        certificates: per alpha, those at ``CERTIFIED_BETA``: the best alpha's and alpha = beta's.
    """

    data: Dataset
    risks: dict[tuple[float, float], Risk]
    certificates: dict[float, Certificates]

    def best_alpha(self, beta: float) -> float:
        """Return the alpha of the lowest measured risk, the smallest such in a tie."""
        return min(ALPHAS, key=lambda alpha: (self.risks[alpha, beta].errors, alpha))


def run_demo(
    output: Path,
    *,
    seed: int = 0,
    device: str = "auto",
    on_stage: OnStage = lambda stage, steps: None,
    on_step: OnStep = lambda: None,
) -> DemoResult:
    """Train, measure and certify, keeping models and certificates in the folder ``output``.

    What an earlier call with the same seed has finished is used again. ``on_stage`` is told each
    stage's name and number of steps, ``on_step`` is called after each.

    Raises:
        OutputError: ``output`` cannot be written or holds another run's files.
    """
    require_writable(output / "models" / "any")
    data = load_dataset("digits")
    on_stage("training", len(ALPHAS))
    classifiers = {}
    for alpha in ALPHAS:
        classifiers[alpha] = _trained(data, alpha, output / "models", seed, device)
        on_step()
    on_stage("measuring risk", len(ALPHAS) * len(BETAS))
    risks = {}
    for alpha in ALPHAS:
        for beta in BETAS:
            risks[alpha, beta] = measure_risk(
                classifiers[alpha].model,
                data.test,
                beta,
                n=VOTES,
                seed=seed,
                batch_size=_BATCH_SIZE,
                device=device,
            )
            on_step()
    result = DemoResult(data, risks, {})
    compared = sorted({result.best_alpha(CERTIFIED_BETA), CERTIFIED_BETA})
    on_stage("certifying", len(compared) * CERTIFIED_IMAGES)
    for alpha in compared:
        smoothed = SmoothedClassifier(
            classifiers[alpha], CERTIFIED_BETA, seed=seed, batch_size=_BATCH_SIZE, device=device
        )
        result.certificates[alpha] = certify_to_file(
            smoothed,
            data,
            Certification(range(CERTIFIED_IMAGES), PLAN, CONFIDENCE),
            output / f"certificates-alpha-{alpha:.1f}-beta-{CERTIFIED_BETA:.1f}.tsv",
            on_certificate=lambda _: on_step(),
        )
    return result


def _trained(data: Dataset, alpha: float, folder: Path, seed: int, device: str) -> Classifier:
    settings = TrainingSettings(alpha=alpha, seed=seed, epochs=_EPOCHS, batch_size=64)
    path = folder / f"alpha-{alpha:.1f}.safetensors"
    if not path.exists():
        train(data, settings, path, device=device)
    classifier = load_classifier(str(path), data.input_shape, data.num_classes)
    record = classifier.record
    if record is None or (record.alpha, record.seed) != (alpha, seed):
        raise OutputError(
            f"{path}: is another run's model, not alpha {alpha} with seed {seed}; choose another output"
        )
    return classifier
