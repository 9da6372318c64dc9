"""You have a folder of photographs: resized to 3x224x224, read as needed, certified with your network.

The photographs of this example are drawn at random, in mixed sizes. A folder of 100,000 takes no more memory.

python examples/tutorials/image_folder.py (about 10 seconds)
"""

import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import sfumato as sf

draw = np.random.default_rng(0)
for name, bright in (("day", 0.75), ("night", 0.25)):
    folder = Path("photographs", "test", name)
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(4):
        height, width = draw.integers(230, 320, 2)
        pixels = np.clip(draw.normal(bright, 0.1, (height, width, 3)), 0, 1)
        Image.fromarray((255 * pixels).astype(np.uint8)).save(folder / f"{index}.jpg")

with warnings.catch_warnings(record=True) as told:  # notes on how the folder was read
    warnings.simplefilter("always")
    data = sf.load_dataset("photographs", size=224)
print(*(note.message for note in told), sep="\n")
print(data)


class Brightness(torch.nn.Module):
    """Stands for your network, e.g. a ResNet: (batch, 3, 224, 224) to (batch, classes)."""

    def forward(self, x):
        mean = x.mean(dim=(1, 2, 3))
        return torch.stack([mean - 0.5, 0.5 - mean], dim=1)


# noise and radius are in pixels of the resized image; 224 x 224 x 3 values make a radius of 1 a small change
smoothed = sf.SmoothedClassifier(Brightness(), beta=0.5)
certificates = smoothed.certify(data.test, plan="decide(1.0)")
certificates.to_tsv("photographs.tsv")
print(certificates)
print("certified accuracy,", certificates.accuracy([1.0]))
