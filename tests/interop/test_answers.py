"""Which answers of a model are understood by themselves, and which need an adapter."""

import re
from collections import namedtuple
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import sfumato as sf
from sfumato.errors import ModelError

X = torch.tensor([[1.0, 0.0], [-1.0, 0.5]])
WEIGHTS = torch.tensor([[1.0, -1.0, 0.0], [0.0, 0.5, 1.0]])
Named = namedtuple("Named", "logits aux_logits")


class Answering(torch.nn.Module):
    def __init__(self, form):
        super().__init__()
        self.weights, self.form = torch.nn.Parameter(WEIGHTS.clone()), form

    def forward(self, x):
        return self.form(x @ self.weights)


CERTAIN = {
    "lists": lambda logits: logits.tolist(),
    "array": lambda logits: logits.detach().numpy(),
    "attribute": lambda logits: SimpleNamespace(logits=logits, loss=None),
    "key": lambda logits: {"logits": logits, "features": logits.repeat(1, 9)},
    "first": lambda logits: (logits, None, logits[:, :, None]),
    "named": lambda logits: Named(logits, logits * 0),
}
UNCERTAIN = {
    "features first": (lambda logits: (logits.repeat(1, 9), logits), "sfumato.take_output(model, KEY), KEY"),
    "keys": (lambda logits: {"out": logits, "aux": logits}, "one of ['out', 'aux']"),
    "labels": (lambda logits: logits.argmax(1), "sfumato.from_labels(model, classes=...)"),
    "text": (lambda logits: "class 3", "got str"),
}


@pytest.mark.parametrize("kind", CERTAIN)
@pytest.mark.parametrize("as_module", [True, False])
def test_answers_that_are_certain_give_the_votes_of_the_logits(kind, as_module):
    expected = sf.SmoothedClassifier(Answering(lambda logits: logits), 0.5, device="cpu").votes(X, 200)
    model = Answering(CERTAIN[kind])
    given = model if as_module else lambda x: model(x)
    found = sf.SmoothedClassifier(given, 0.5, device="cpu").votes(X, 200)
    assert np.array_equal(found, expected)
    assert (expected.max(axis=1) < 200).all()  # noise matters here


@pytest.mark.parametrize("kind", UNCERTAIN)
def test_other_answers_are_refused_in_a_line_that_names_the_adapter(kind):
    form, words = UNCERTAIN[kind]
    with pytest.raises(ModelError, match=re.escape(words)) as refused:
        sf.SmoothedClassifier(Answering(form), 0.5, device="cpu").votes(X, 10)
    assert "\n" not in str(refused.value)


def test_adapters_take_the_part_that_is_named_and_labels():
    expected = sf.SmoothedClassifier(Answering(lambda logits: logits), 0.5, device="cpu").votes(X, 200)
    for form, adapt in [
        (UNCERTAIN["features first"][0], lambda model: sf.take_output(model, 1)),
        (UNCERTAIN["keys"][0], lambda model: sf.take_output(model, "out")),
        (UNCERTAIN["labels"][0], lambda model: sf.from_labels(model, 3)),
    ]:
        model = Answering(form)
        for given in (model, lambda x, model=model: model(x)):
            found = sf.SmoothedClassifier(adapt(given), 0.5, device="cpu").votes(X, 200)
            assert np.array_equal(found, expected)
    with pytest.raises(ModelError, match="has no part 'scores'"):
        sf.SmoothedClassifier(sf.take_output(Answering(CERTAIN["key"]), "scores"), 0.5).votes(X, 10)
    with pytest.raises(ModelError, match="labels must be from 0 to 1 for 2 classes, got 2"):
        sf.SmoothedClassifier(sf.from_labels(lambda x: torch.full((len(x),), 2), 2), 0.5).votes(X, 10)
