"""Attacks beside certificates: robust accuracy lies between certified and attacked accuracy.

Attacks measure distances in L2 and look for another most probable class. So they are compared only with
certificates in L2 that are about the most probable class.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sfumato.attacks.file import read_attack
from sfumato.attacks.smoothed_attack import AttackedImage
from sfumato.certification.accuracy import certified_radii
from sfumato.certification.certificate import Certificate
from sfumato.errors import DataError, SettingError
from sfumato.noise import noise_of
from sfumato.reporting.certified_sets import most_among, spread
from sfumato.reporting.sources import CertifiedSet

_SHOWN = 12  # hexadecimal digits of a checksum in a message


@dataclass(frozen=True)
class AttackedSet:
    """What an attack found: a file of ``sfumato attack``."""

    origin: Path
    settings: dict[str, Any]
    images: Sequence[AttackedImage]

    @property
    def reach(self) -> float:
        """The largest distance that was attacked within."""
        return float(max(self.settings["radii"]))


@dataclass(frozen=True)
class RobustBand:
    """Bounds of robust accuracy on the images that were both certified and attacked.

    Attributes:
        radii: increasing from 0 to the attack's reach. A value is of the stretch that ends at its radius.
        certified: share of images that are correct and certified at the radius.
        attacked: share of images for which no wrong answer was found within the stretch.
        images: their number.
    """

    radii: Sequence[float]
    certified: Sequence[float]
    attacked: Sequence[float]
    images: int


def read_attacks(paths: Sequence[Path], sets: Sequence[CertifiedSet]) -> list[AttackedSet]:
    """Return the attacks in these files, each on the classifier of one of the sets.

    Raises:
        DataError: a file that cannot be read, or an attack on no classifier of the sets, on one that another
            file attacks, or on other images than were certified; certificates that say something else than
            that there is no wrong answer within an L2 distance.
    """
    found: list[AttackedSet] = []
    if paths and not sets:
        raise DataError(f"{paths[0]}: nothing here is certified by the classifier that it attacks")
    for path in paths:
        attack = _read(path)
        own = [one for one in sets if _difference(one, attack) is None]
        if not own:
            more = f" and {len(sets) - 1} other sets" if len(sets) > 1 else ""
            differs = _difference(sets[0], attack)
            raise DataError(f"{path}: attacks another classifier than {sets[0].name}{more}: {differs}")
        for one in [one for one in own if _not_compared(one) is None] or own:
            if (other := attack_on(one, found)) is not None:
                raise DataError(f"{path}: attacks the same classifier as {other.origin}; give one of them")
            robust_band(one, attack)
        found.append(attack)
    return found


def _read(path: Path) -> AttackedSet:
    settings, images = read_attack(path)
    radii = settings.get("radii")
    if not isinstance(radii, list) or not radii or not all(isinstance(r, int | float) for r in radii):
        raise DataError(f"{path}: no result of sfumato attack (radii must be a list of numbers)")
    return AttackedSet(path, settings, images)


def attack_on(found: CertifiedSet, attacks: Sequence[AttackedSet]) -> AttackedSet | None:
    """Return the attack that the certificates of the set are compared with; None if there is none."""
    if _not_compared(found) is not None:
        return None
    return _of_classifier(found, attacks)


def _of_classifier(found: CertifiedSet, attacks: Sequence[AttackedSet]) -> AttackedSet | None:
    return next((attack for attack in attacks if _difference(found, attack) is None), None)


def _not_compared(found: CertifiedSet) -> str | None:
    """Return why an attack cannot contradict these certificates; None if it can."""
    if found.norm != "L2":
        return f"it measures distances in L2, and the radii of {found.name} are {found.norm} radii"
    if (most := most_among(found.certificates)) > 1:
        return (
            f"it looks for another most probable class, and {found.name} certifies one of the {most} most "
            "probable classes"
        )
    return None


def _difference(found: CertifiedSet, attack: AttackedSet) -> str | None:
    """Return in what the classifier attacked differs from the certified one; None if in nothing."""
    certified, attacked = found.settings or {}, attack.settings
    noise = {"noise": certified.get("noise", "gaussian"), "beta": certified.get("beta")}
    with contextlib.suppress(SettingError):  # of no noise that is known here, of which these two are compared
        noise = noise_of(certified).identity()
    for what, one, other in (
        ("weights", attacked.get("model"), certified.get("weights_sha256")),
        ("fingerprint", attacked.get("fingerprint"), certified.get("fingerprint")),
        *((name, attacked.get(name), value) for name, value in noise.items()),
        ("precision", "float32", certified.get("precision", "float32")),
        ("data", attacked.get("data_sha256"), certified.get("data_sha256")),
    ):
        if one != other:
            shown = [str(value)[:_SHOWN] for value in (one, other or "not stated")]
            return f"{what} {shown[0]} and {shown[1]}"
    return None


def robust_band(found: CertifiedSet, attack: AttackedSet) -> RobustBand:
    """Return the bounds of robust accuracy, on the images that both have.

    Raises:
        DataError: there is none, or certificates that the attack cannot contradict.
    """
    both = _both(found, attack)
    if not both:
        raise DataError(f"{attack.origin}: no image that it attacked is certified in {found.name}")
    held = certified_radii(row for row, _ in both if row.correct)
    broken = [image.distance for _, image in both]
    steps = {step for step in (*held, *broken) if 0 < step < attack.reach}
    radii = [0.0, *spread(sorted(steps)), attack.reach]
    # an image counts as broken from its distance on, so that after the last step before a radius decides
    before = [0.0, *radii[:-1]]
    return RobustBand(
        radii,
        [sum(reach >= radius for reach in held) / len(both) for radius in radii],
        [sum(distance > radius for distance in broken) / len(both) for radius in before],
        len(both),
    )


def violations(found: CertifiedSet, attack: AttackedSet) -> list[int]:
    """Return the images for which a wrong answer was found within their certified radius.

    There should be none, up to the error that certificates and confirmations of wrong answers state.

    Raises:
        DataError: certificates that the attack cannot contradict.
    """
    return [row.idx for row, image in _both(found, attack) if row.correct and image.distance < row.radius]


def told_of(sets: Sequence[CertifiedSet], attacks: Sequence[AttackedSet]) -> list[tuple[str, bool]]:
    """Return what each comparison says, and whether certificates and attack contradict each other."""
    return [_told(found, attack) for found in sets if (attack := _of_classifier(found, attacks)) is not None]


def _told(found: CertifiedSet, attack: AttackedSet) -> tuple[str, bool]:
    if (reason := _not_compared(found)) is not None:
        return f"{attack.origin}: is not compared with {found.name}: {reason}", False
    images, wrong = len(_both(found, attack)), violations(found, attack)
    said = (
        "no wrong answer was found within a certified radius"
        if not wrong
        else f"for {len(wrong)} a wrong answer was found within the certified radius, so either is in error: "
        f"image {', '.join(map(str, wrong[:5]))}{' and others' if len(wrong) > 5 else ''}"
    )
    return f"{attack.origin}: of {images:,} images of {found.name}, {said}", bool(wrong)


def _both(found: CertifiedSet, attack: AttackedSet) -> list[tuple[Certificate, AttackedImage]]:
    if (reason := _not_compared(found)) is not None:
        raise DataError(f"{attack.origin}: cannot be compared with {found.name}: {reason}")
    attacked = {image.idx: image for image in attack.images}
    return [(row, attacked[row.idx]) for row in found.certificates if row.idx in attacked]
