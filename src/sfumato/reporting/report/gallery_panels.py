"""The gallery as HTML: images as PNG in the page, what each model made of them, buttons that sort."""

from __future__ import annotations

import base64
import io

import numpy as np
from jaxtyping import Float
from PIL import Image

from sfumato.answers.gallery import Gallery, GalleryImage, View
from sfumato.plans import ABSTAIN
from sfumato.reporting.report.page import Panel, text

MOST_PIXELS = 96
"""Larger images are reduced to so many pixels on their longer side, to keep the page small."""

_SHOWN_CLASSES = 3
_RADII = ("radius", "other")  # sorting keys of the models


def gallery_panel(gallery: Gallery, key: str) -> Panel:
    """Return the gallery as a panel of the report."""
    side = max(gallery.images[0].clean.shape[1:])
    drawn = sum(image.at_random for image in gallery.images)
    noise = (
        ""
        if gallery.beta is None
        else f", clean and under one draw of the smoothing noise β = {gallery.beta:g}"
    )
    explanation = f"{len(gallery.images)} test images{noise}, {gallery.seen}: "
    if drawn < len(gallery.images):
        explanation += (
            f"{drawn} drawn at random, the others picked because the two differ most on them, so their "
            "errors are no estimate of the risk. "
        )
    else:
        explanation += "all drawn at random. "
    explanation += gallery.radii
    if gallery.beta is not None:
        explanation += " Noisy pixels are clipped to [0, 1] for display."
    if gallery.why_not:
        explanation += f" Votes by class are not shown: {gallery.why_not}."
    if side > MOST_PIXELS:
        explanation += f" Images are reduced from {side} to {MOST_PIXELS} pixels after the noise was added."
    orders = [("example", "up", "By number")]
    orders += [
        (name, "down", f"Largest radius, {model}") for name, model in zip(_RADII, gallery.names, strict=False)
    ]
    if len(gallery.names) > 1:
        orders.append(("disagreement", "down", "Most disagreement"))
    buttons = "".join(
        f'<button type="button" data-sorts="{key}-list" data-key="{name}" data-order="{order}" '
        f'aria-pressed="{str(name == "example").lower()}">{text(label)}</button>'
        for name, order, label in orders
    )
    items = "".join(_item(image, gallery) for image in gallery.images)
    body = (
        f'<div class="sorting" role="group" aria-label="Sort the images">{buttons}'
        f'<span id="{key}-list-said" role="status" class="note"></span></div>'
        f'<ul class="gallery" id="{key}-list">{items}</ul>'
    )
    return Panel(key, "Test images", explanation, body=body)


def _item(image: GalleryImage, gallery: Gallery) -> str:
    label = _class_name(image.label, gallery)
    shown = [(image.clean, f"test image {image.example}, class {label}", "clean")]
    if image.noisy is not None:
        shown.append(
            (image.noisy, f"the same image under noise of {gallery.beta:g}", f"β = {gallery.beta:g}")
        )
    pictures = "".join(
        f'<figure><img alt="{text(what)}" src="data:image/png;base64,{png_base64(pixels)}">'
        f"<figcaption>{caption}</figcaption></figure>"
        for pixels, what, caption in shown
    )
    views = "".join(
        _view(view, name, image, gallery) for view, name in zip(image.views, gallery.names, strict=True)
    )
    data = "".join(
        f' data-{key}="{view.signed_radius(image.label):.9g}"'
        for key, view in zip(_RADII, image.views, strict=False)
    )
    disagreement = ""
    if len(image.views) > 1:
        data += f' data-disagreement="{image.disagreement:.6f}"'
        picked = "" if image.at_random else ", picked for it"
        disagreement = f"<p>disagreement {image.disagreement:.2f}{picked}</p>"
    return (
        f'<li data-example="{image.example}"{data}>'
        f"<h4>{text(f'Image {image.example}, class {label}')}</h4>"
        f'<div class="pictures">{pictures}</div>{views}{disagreement}</li>'
    )


def _view(view: View, name: str, image: GalleryImage, gallery: Gallery) -> str:
    right = view.predicted == image.label
    predicted = "no class" if view.predicted == ABSTAIN else _class_name(view.predicted, gallery)
    votes = f"{_bar(view, image)}<p>{text(_votes(view, gallery))}</p>" if view.votes else ""
    return (
        f'<div class="view">{text(name)}: <strong class="{"right" if right else "wrong"}">{text(predicted)}'
        f"</strong>, {_radius(view, gallery)}{votes}</div>"
    )


def _radius(view: View, gallery: Gallery) -> str:
    found = view.certificate
    if found is None:
        return f"radius {view.radius:.3f} from votes" if view.radius else "no radius shown by the votes"
    if found.predict == ABSTAIN:
        return "abstained"
    if found.plan.startswith("vote("):
        return "the majority of its votes, nothing is guaranteed"
    if found.plan.startswith("predict("):
        return "no radius was asked for"
    return text(f"radius {found.radius:.3f} certified for {_class_name(found.predict, gallery)}")


def _votes(view: View, gallery: Gallery) -> str:
    if view.counts is None:
        return f"{view.label_votes} of the first {view.votes} votes for the true class"
    order = np.argsort(-view.counts, kind="stable")[:_SHOWN_CLASSES]
    named = [f"{_class_name(int(c), gallery)}: {view.counts[c]}" for c in order if view.counts[c]]
    rest = view.votes - int(view.counts[order].sum())
    return f"votes: {', '.join(named)}" + (f", others: {rest}" if rest else "")


def _bar(view: View, image: GalleryImage) -> str:
    """Return a bar of the votes: the true class, the strongest other, the rest. The text says it too."""
    total = max(1, view.votes)
    parts = [("label", view.label_votes / total)]
    if view.counts is not None:
        others = np.delete(view.counts, image.label)
        parts += [("other", int(others.max()) / total), ("rest", int(others.sum() - others.max()) / total)]
    spans = "".join(f'<span class="{name}" style="width:{100 * share:.1f}%"></span>' for name, share in parts)
    return f'<div class="bar" aria-hidden="true">{spans}</div>'


def _class_name(index: int, gallery: Gallery) -> str:
    return gallery.class_names[index] if 0 <= index < len(gallery.class_names) else f"class {index}"


def png_base64(pixels: Float[np.ndarray, "channels height width"]) -> str:
    """Return pixels in [0, 1], others clipped, as a PNG in base64."""
    values = np.round(255 * np.clip(pixels, 0.0, 1.0)).astype(np.uint8)
    picture = Image.fromarray(values[0] if len(values) == 1 else values.transpose(1, 2, 0))
    if max(picture.size) > MOST_PIXELS:
        picture.thumbnail((MOST_PIXELS, MOST_PIXELS))
    file = io.BytesIO()
    picture.save(file, format="PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()
