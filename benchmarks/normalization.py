r"""Batch norms re-estimated under the noise of the smoothing: the gain, the images it takes, and the time.

    sfumato train --data cifar10 --model resnet20 --alpha 0.1 --epochs 2 --precision bf16 \
        --out resnet20.safetensors
    python benchmarks/normalization.py fit resnet20.safetensors [--data cifar10] [--data-dir DIR]
    python benchmarks/normalization.py images resnet20.safetensors [--images 100,300,50000] [--seeds 0,1,2]
    python benchmarks/normalization.py augmentation fastcnn.safetensors [--beta 0.1,0.2]
    python benchmarks/normalization.py batches resnet20.safetensors
    python benchmarks/normalization.py cost

Accuracy is the share of correct classes of single noisy copies, one of each of the first 2,000 test images,
the same noise for all. Seconds are of processor time. ``fit`` sets accuracy beside the gap that the warning
goes by. All 50,000 training images take several batches, and so part of a forward pass for each layer: some
minutes for ``fastcnn``.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from sfumato import Classifier, Dataset, build_model, load_classifier, load_dataset, normalize_at
from sfumato.noise import Gaussian
from sfumato.smoothing import batch_norms
from sfumato.smoothing.base_classifier import BaseClassifier
from sfumato.smoothing.batch_norms import misfits, some_images
from sfumato.smoothing.smoothed import Smoothed

COPIES = 1
BETAS = (0.0, 0.25, 0.5)


def main() -> None:
    """Print one table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("table", choices=("fit", "images", "augmentation", "batches", "cost"))
    parser.add_argument("model", nargs="?")
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--test", type=int, default=2000)
    parser.add_argument("--images", default="100,300,1000,2000,10000")
    parser.add_argument("--beta", default=",".join(map(str, BETAS)))
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--batch-size", type=int, help="for images; as many as fit if not given")
    settings = parser.parse_args()
    print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads\n", flush=True)
    if settings.table == "cost":
        print_cost()
        return
    data = load_dataset(settings.data, settings.data_dir)
    classifier = load_classifier(settings.model, data.input_shape, data.num_classes)
    betas = [float(part) for part in settings.beta.split(",")]
    if settings.table == "fit":
        print_fit(classifier, data, betas, settings.test)
    elif settings.table == "augmentation":
        print_augmentation(classifier, data, betas, settings.test)
    elif settings.table == "batches":
        print_batches(classifier, data, settings.test)
    else:
        counts, seeds = (list(map(int, text.split(","))) for text in (settings.images, settings.seeds))
        print_images(classifier, data, betas, counts, seeds, settings.test, settings.batch_size)


def accuracy(classifier: Classifier, data: Dataset, beta: float, count: int) -> float:
    """Return the share of correct classes of single noisy copies."""
    x, labels = data.test.x[:count], data.test.y[:count]
    if beta == 0.0:
        found = BaseClassifier(classifier.model, torch.device("cpu")).classes(torch.from_numpy(x)).numpy()
        return float((found == labels).mean())
    votes = Smoothed(classifier, beta, device="cpu").votes(x, COPIES, examples=range(count))
    return float(np.asarray(votes)[np.arange(count), labels].sum() / (COPIES * count))


def print_fit(classifier: Classifier, data: Dataset, betas: list[float], count: int) -> None:
    """Print accuracy with trained and with re-estimated statistics, and the gaps of the trained ones."""
    train = some_images(data.train.x)
    threshold, batch_norms.LARGEST_GAP = batch_norms.LARGEST_GAP, -1.0  # every layer is told
    print("| beta | trained | at beta | gain | layers above the threshold | largest gap | median gap |")
    print("|---|---|---|---|---|---|---|")
    for beta in betas:
        gaps = np.array(list(misfits(classifier, train, Gaussian(beta), device="cpu").values()))
        fitted = normalize_at(classifier, train, beta, device="cpu")
        before, after = (accuracy(one, data, beta, count) for one in (classifier, fitted))
        print(
            f"| {beta:g} | {before:.4f} | {after:.4f} | {100 * (after - before):+.1f} | "
            f"{int((gaps > threshold).sum())} of {len(gaps)} | {gaps.max():.2f} | {np.median(gaps):.2f} |",
            flush=True,
        )


def print_images(
    classifier: Classifier,
    data: Dataset,
    betas: list[float],
    counts: list[int],
    seeds: list[int],
    test: int,
    batch_size: int | None,
) -> None:
    """Print accuracy and seconds by the number of images."""
    print("| beta | images | accuracy, a seed each | CPU seconds |\n|---|---|---|---|")
    for beta in betas:
        print(f"| {beta:g} | as trained | {accuracy(classifier, data, beta, test):.4f} | |", flush=True)
        for count in counts:
            found, seconds = [], []
            for seed in seeds:
                images = some_images(data.train.x, count, seed)
                began = time.process_time()
                fitted = normalize_at(
                    classifier, images, beta, seed=seed, batch_size=batch_size, device="cpu"
                )
                seconds.append(time.process_time() - began)
                found.append(accuracy(fitted, data, beta, test))
            shown = ", ".join(f"{value:.4f}" for value in found)
            print(f"| {beta:g} | {count:,} | {shown} | {min(seconds):.1f} |", flush=True)


def print_augmentation(classifier: Classifier, data: Dataset, betas: list[float], count: int) -> None:
    """Print accuracy with statistics of whole images, and of images cropped and mirrored."""
    print("| beta | trained | whole images | cropped and mirrored |\n|---|---|---|---|")
    train = some_images(data.train.x)
    for beta in betas:
        fitted = [
            normalize_at(classifier, train, beta, device="cpu", augmentation=how)
            for how in ("none", "crop-flip")
        ]
        found = (accuracy(one, data, beta, count) for one in (classifier, *fitted))
        print(f"| {beta:g} | {' | '.join(f'{value:.4f}' for value in found)} |", flush=True)


def print_batches(classifier: Classifier, data: Dataset, test: int) -> None:
    """Print how far statistics, and classes of noisy copies, depend on the batches and the threads."""
    count, beta = 500, 0.5
    images = some_images(data.train.x, count)
    x = torch.from_numpy(data.test.x[:test])
    x = x + beta * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    whole: tuple[torch.Tensor, torch.Tensor] | None = None
    print("| images a batch | threads | largest change, in stored deviations | other classes | CPU seconds |")
    print("|---|---|---|---|---|")
    for size, threads in ((count, 1), (count, 2), (count // 2, 1), (77, 1)):
        torch.set_num_threads(threads)
        began = time.process_time()
        fitted = normalize_at(classifier, images, beta, batch_size=size, device="cpu")
        seconds = time.process_time() - began
        torch.set_num_threads(1)
        norms = batch_norms.batch_norms(fitted.model).values()
        deviations = [norm.running_var.sqrt() for norm in norms]
        found = torch.cat([*(norm.running_mean for norm in norms), *deviations])
        classes = BaseClassifier(fitted.model, torch.device("cpu")).classes(x)
        if whole is None:
            whole = found, classes
        change = float(((found - whole[0]).abs() / torch.cat(deviations * 2)).max())
        other = int((classes != whole[1]).sum())
        print(f"| {size:,} | {threads} | {change:.1e} | {other} of {test:,} | {seconds:.1f} |", flush=True)


def print_cost() -> None:
    """Print the seconds of one batch and of several, which take a part of a pass for each layer."""
    print("| network | images | batches | CPU seconds |\n|---|---|---|---|")
    for name, count in (("resnet20", 400), ("resnet110", 100)):
        network = build_model(name, (3, 32, 32), 10, [0.5], [0.25]).eval()
        images = torch.rand(count, 3, 32, 32)
        for batches in (1, 2):
            began = time.process_time()
            normalize_at(network, images, 0.5, batch_size=count // batches, device="cpu")
            print(f"| {name} | {count} | {batches} | {time.process_time() - began:.1f} |", flush=True)


if __name__ == "__main__":
    main()
