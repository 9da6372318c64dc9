"""The table of uses: no two of them can meet, and nothing draws random numbers beside it."""

import itertools
import re
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

import sfumato
from oracles import noise_of_votes, uniforms_of_key
from sfumato.errors import SettingError
from sfumato.noise import Span, Stream, Use, keyed
from sfumato.noise.keyed import CHUNK, words_of
from sfumato.training.loop import train
from sfumato.training.methods.gaussian import GaussianAugmentation
from sfumato.training.settings import TrainingSettings

SOURCE = Path(sfumato.__file__).parent
# Random geometry, no noise on anybody's input.
THEORY = (SOURCE / "theory", SOURCE / "cli" / "theory")
DRAWS = re.compile(
    r"default_rng|manual_seed|fork_rng|SeedSequence|RandomState|torch\.Generator\(|torch\.(rand|bernoulli|normal)"
    r"|\.(normal_|uniform_|random_|bernoulli_)\(|np\.random\.[A-Za-z0-9]+\(|^\s*(import|from) random\b"
)


def drawn(rows, width, *runs, use=Use.VOTES, seed=0, dtype=torch.float32):
    out = torch.empty(rows, width, dtype=dtype)
    Stream(use, seed, *runs).normal(out)
    return out


def uniforms(rows, width, *runs, use=Use.VOTES, seed=0, part=0):
    out = torch.empty(rows, width, dtype=torch.float64)
    Stream(use, seed, *runs, part=part).uniform(out)
    return out.numpy()


def test_every_use_is_known_by_a_number_of_its_own():
    # a number that has been in use stands for the same use for ever: it is in the key of what was computed
    assert {use.name: use.value for use in Use} == {
        "VOTES": 1,
        "TRAINING_NOISE": 2,
        "SHUFFLING": 3,
        "AUGMENTATION": 4,
        "EVALUATION": 5,
        "PROBES": 6,
        "TUNING": 7,
        "ADVICE": 8,
        "STATISTICS": 9,
        "ATTACK": 10,
    }


@pytest.mark.parametrize("part", [0, 5, 2**63 - 1])
@pytest.mark.parametrize("use", Use)
def test_the_use_has_a_word_of_the_counter_to_itself(use, part):
    """For one key Philox is a permutation of its counters: another word there is another block, always."""
    seed, item, first = 3, 2**40, 12
    expected = uniforms_of_key(int(use), seed, item, part, first * 10, 50)
    assert np.array_equal(uniforms(5, 10, Span(item, first), use=use, seed=seed, part=part).ravel(), expected)


def test_no_two_uses_seeds_items_or_parts_share_a_number():
    keys = list(itertools.product(Use, range(3), range(5), (0, 1)))
    found = [uniforms(1, 64, Span(item), use=use, seed=seed, part=part) for use, seed, item, part in keys]
    assert len(np.unique(np.concatenate(found))) == 64 * len(keys)
    words = [
        words_of(use, seed, item, part, chunk) for use, seed, item, part in keys for chunk in (0, 1, 2**52)
    ]
    assert len(np.unique(np.concatenate(words))) == 4 * 3 * len(keys)


def test_training_noise_is_not_test_noise(digits, tmp_path):
    """The training of seed 0 and the votes of seed 0, over all epochs and the first votes of some images."""
    seen = []

    class Watched(GaussianAugmentation):
        def loss(self, model, x, y, noise, stream):
            twin = stream.part(0)
            drawn = torch.empty(x.shape)
            twin.normal(drawn)
            seen.append(drawn.flatten(1))
            return super().loss(model, x, y, noise, stream)

    few = replace(digits, train=replace(digits.train, x=digits.train.x[:300], y=digits.train.y[:300]))
    settings = TrainingSettings(alpha=0.3, epochs=4, batch_size=100, method=Watched())
    train(few, settings, tmp_path / "m.safetensors", device="cpu")
    assert len(seen) == 12
    trained = torch.cat(seen).numpy()
    votes = np.concatenate([drawn(4 * CHUNK, 64, Span(example)).numpy() for example in range(8)])
    assert len(np.unique(trained.view(np.uint64))) == trained.size // 2, "fresh at every step"
    # two numbers in a row of the one are never two in a row of the other
    assert not np.intersect1d(trained.view(np.uint64), votes.view(np.uint64)).size
    assert np.array_equal(
        votes[CHUNK : CHUNK + 3], noise_of_votes(0, 0, CHUNK, 3, (64,)).astype(np.float32)
    ), "what is compared with is the noise of votes"


def test_whatever_draws_random_numbers_is_keyed_or_says_why_not():
    unexplained = []
    for path in SOURCE.rglob("*.py"):
        if path.is_relative_to(SOURCE / "noise") or any(path.is_relative_to(room) for room in THEORY):
            continue
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines):
            near = " ".join(lines[max(0, number - 2) : number + 1])
            if DRAWS.search(line) and ">>>" not in line and "# not keyed noise: " not in near:
                unexplained.append(f"{path.relative_to(SOURCE)}:{number + 1}: {line.strip()}")
    assert not unexplained


def test_in_the_noise_itself_only_one_module_makes_generators():
    for path in (SOURCE / "noise").glob("*.py"):
        assert path.name == "keyed.py" or not DRAWS.search(path.read_text()), path


@pytest.mark.parametrize("width", [1, 7, 64, 3000])
def test_a_vote_is_the_same_however_many_are_drawn_with_it(width):
    whole = {item: drawn(70, width, Span(item)) for item in (4, 9)}
    for first, rows in ((0, 1), (31, 2), (33, 37), (69, 1)):
        assert torch.equal(drawn(rows, width, Span(4, first)), whole[4][first : first + rows])
    mixed = drawn(45, width, Span(9, 3, 20), Span(4, 40, 5), Span(9, 50, 20))
    assert torch.equal(mixed, torch.cat([whole[9][3:23], whole[4][40:45], whole[9][50:70]]))
    stream, parts = Stream(Use.VOTES, 0, Span(4)), []
    for rows in (1, 30, 39):
        parts.append(torch.empty(rows, width))
        stream.normal(parts[-1])
    assert torch.equal(torch.cat(parts), whole[4])


def test_numbers_near_zero_have_digits_beyond_53_bits():
    rows, width = 256, 2**15
    found = uniforms(rows, width, Span(0))
    small = np.argwhere(found < 2.0**-20)
    assert 1 <= len(small) <= 25, "8 are expected"
    for row, column in small.tolist():
        value = found[row, column]
        assert value == uniforms_of_key(1, 0, 0, 0, row * width + column, 1)[0]
        assert value * 2.0**53 % 1 != 0
        assert value * 2.0**106 % 1 == 0
    large = found[found >= 2.0**-20]
    assert (large * 2.0**53 % 1 == 0).all()
    assert stats.kstest(found[:30].ravel(), "uniform").pvalue > 1e-3


@pytest.mark.parametrize("width", [1, 6, 501])
@pytest.mark.parametrize("below", [2.0**-20, 0.25])
def test_a_device_draws_the_numbers_of_the_cpu(width, below, monkeypatch):
    """The arithmetic of the device, done here on the CPU; with many numbers that have more digits, or few."""
    monkeypatch.setattr(keyed, "_FINE_BELOW", below)
    spans = [Span(5, 2**40, 7), Span(6, 3, 1), Span(2**60, 0, 4), Span(5, 0, 60)]

    def stream():
        return Stream(Use.PROBES, 2**62 + 1, *spans, part=3)

    expected = stream()._uniforms(72, width, torch.device("cpu"))
    other = stream()
    found = other._uniforms_on(torch.device("cpu"), list(other._take(72, width)), width)
    assert found.dtype == torch.float64
    assert torch.equal(found, expected)
    assert bool((found * 2.0**53 % 1 != 0).any()) == (below == 0.25), "both kinds of numbers are compared"


def test_a_device_takes_as_many_operations_whatever_the_number_of_images():
    def operations(images):
        spans = [Span(item, 32, 8) for item in range(images)]
        stream = Stream(Use.VOTES, 0, *spans)
        taken = list(stream._take(8 * images, 5))
        with torch.profiler.profile() as found:
            stream._uniforms_on(torch.device("cpu"), taken, 5)
        return sum(event.count for event in found.key_averages() if event.key.startswith("aten::"))

    operations(1)  # keeps the powers of the columns
    assert operations(1) == operations(40) < 400


def test_threads_draw_what_one_draws():
    expected = [drawn(100, 50, Span(item)) for item in range(8)]
    found = [None] * 8

    def work(item):
        for _ in range(10):
            found[item] = drawn(100, 50, Span(item))

    threads = [threading.Thread(target=work, args=(item,)) for item in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))


def test_an_order_holds_every_number_once_and_is_another_in_every_epoch():
    orders = [Stream(Use.SHUFFLING, 0, Span(epoch)).permutation(1000).numpy() for epoch in range(20)]
    assert all(np.array_equal(np.sort(order), np.arange(1000)) for order in orders)
    correlations = np.corrcoef(orders) - np.eye(20)
    assert np.abs(correlations).max() < 5 / np.sqrt(1000)
    assert (
        stats.chisquare(np.bincount(np.ravel([order[:500] for order in orders]) // 100, minlength=10)).pvalue
        > 1e-4
    )


@pytest.mark.parametrize(
    ("seed", "span"),
    [
        (-1, Span(0)),
        (2**63, Span(0)),
        (0, Span(-1)),
        (0, Span(2**63)),
        (0, Span(0, -1)),
        (0, Span(0, 2**57, 1)),
    ],
)
def test_a_key_out_of_range_is_refused(seed, span):
    with pytest.raises(SettingError, match=rf"got {seed}, {span.item}, {span.first}\.\."):
        Stream(Use.VOTES, seed, span)


def test_a_stream_gives_no_row_twice_and_none_that_it_has_not():
    stream = Stream(Use.VOTES, 0, Span(0, 0, 10))
    stream.normal(torch.empty(4, 6))
    with pytest.raises(SettingError, match="rows have 6 numbers was asked for 8; take another part"):
        stream.normal(torch.empty(4, 8))
    with pytest.raises(SettingError, match="asked for 1 rows more than it has"):
        stream.normal(torch.empty(7, 6))
