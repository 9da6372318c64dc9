"""Image classifiers of transformers, made from a configuration: logits found, mean and std taken over."""

import numpy as np
import pytest
import torch

import sfumato as sf
from sfumato.datasets.units import PIXELS
from sfumato.errors import ModelError
from sfumato.models.classifier import as_classifier

MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]
PROCESSOR = {
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": MEAN,
    "image_std": STD,
}


@pytest.fixture(scope="module")
def vit():
    from transformers import ViTConfig, ViTForImageClassification

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    return ViTForImageClassification(
        ViTConfig(**sizes, image_size=8, patch_size=4, num_labels=3, initializer_range=0.5)
    ).eval()


X = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def test_pixels_pass_what_the_processor_does(vit):
    expected = vit((X - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]).logits
    classifier = sf.from_hugging_face(vit, PROCESSOR)
    assert torch.allclose(classifier.model(X), expected, atol=1e-6)
    assert classifier.checksum() == sf.from_hugging_face(vit, PROCESSOR).weights_sha256
    for changed in ({"image_mean": [0.5] * 3}, {"do_normalize": False}, {"rescale_factor": 1 / 127.5}):
        other = sf.from_hugging_face(vit, PROCESSOR | changed)
        assert other.weights_sha256 != classifier.weights_sha256
    # other scales, in bytes: (255 x / 127.5 - mean) / std
    doubled = sf.from_hugging_face(vit, PROCESSOR | {"rescale_factor": 1 / 127.5}).model(X / 2)
    assert torch.allclose(doubled, expected, atol=1e-5)
    assert torch.equal(sf.from_hugging_face(vit, None).model(X), vit(X).logits)


def test_a_real_processor_is_read(vit):
    from transformers import ViTImageProcessorPil

    processor = ViTImageProcessorPil(size={"height": 8, "width": 8}, image_mean=MEAN, image_std=STD)
    taken, given = sf.from_hugging_face(vit, processor), sf.from_hugging_face(vit, PROCESSOR)
    assert torch.allclose(taken.model(X), given.model(X), atol=1e-6)


BYTES = (255 * X).to(torch.uint8)


@pytest.mark.parametrize(
    ("kind", "changed"),
    [
        ("EfficientNet", {}),
        ("EfficientNet", {"do_normalize": False}),
        ("EfficientNet", {"include_top": False}),
        ("EfficientNet", {"rescale_factor": 1 / 127.5}),
        ("MobileViT", {"size": {"shortest_edge": 8}}),
        ("MobileViT", {"size": {"shortest_edge": 8}, "do_flip_channel_order": False}),
        ("MobileViT", {"size": {"shortest_edge": 8}, "rescale_factor": 1 / 127.5}),
    ],
)
def test_all_that_a_processor_does_to_values_is_taken_over(vit, kind, changed):
    import transformers

    side = {"height": 8, "width": 8}
    settings = {"size": side, "crop_size": side, "image_mean": MEAN, "image_std": STD} | changed
    processor = getattr(transformers, f"{kind}ImageProcessorPil")(**settings)
    expected = vit(processor(list(BYTES.numpy()), return_tensors="pt").pixel_values).logits
    classifier = sf.from_hugging_face(vit, processor)
    assert torch.allclose(classifier.model(BYTES / 255), expected, atol=1e-5)
    assert classifier.weights_sha256 == sf.from_hugging_face(vit, processor.to_dict()).weights_sha256


def test_the_order_of_channels_is_a_part_of_what_identifies_a_model(vit):
    plain, reversed_ = ({"do_flip_channel_order": flipped} for flipped in (False, True))
    assert sf.from_hugging_face(vit, plain).checksum() != sf.from_hugging_face(vit, reversed_).checksum()


def test_a_network_of_transformers_can_be_certified_as_it_is(vit):
    plain = sf.SmoothedClassifier(vit, 0.5, device="cpu").votes(X, 100)
    assert np.array_equal(plain, sf.SmoothedClassifier(sf.from_hugging_face(vit, None), 0.5).votes(X, 100))


def test_processors_that_are_not_understood_are_refused(vit):
    for processor, words in [
        (PROCESSOR | {"rescale_offset": True}, "rescale_offset is not supported"),
        (PROCESSOR | {"do_thumbnail": True}, "with do_thumbnail is not supported; put its arithmetic"),
        (PROCESSOR | {"do_flip_channel_order": True}, "both do_flip_channel_order and do_normalize"),
        (PROCESSOR | {"do_normalize": False, "include_top": True, "image_std": None}, "image_std None"),
        (PROCESSOR | {"image_std": None}, "image_std None; both are needed"),
        (7, "processor must be an image processor of transformers"),
    ]:
        with pytest.raises(ModelError, match=words):
            sf.from_hugging_face(vit, processor)


def test_the_names_of_classes_and_the_unit_are_taken_over(vit):
    classifier = sf.from_hugging_face(vit, PROCESSOR)
    assert (classifier.known_classes, classifier.known_unit) == ((), PIXELS), "LABEL_0 is no name"
    vit.config.id2label = {2: "red", 0: "blue", 1: "green"}
    assert sf.from_hugging_face(vit, PROCESSOR).known_classes == ("blue", "green", "red")
    built = as_classifier("mine:build", sf.from_hugging_face(vit, PROCESSOR), (3, 8, 8), 3)
    assert built.known_classes == ("blue", "green", "red")
