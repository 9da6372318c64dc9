"""You use timm: a network by its name, trained with noise by Sfumato, then certified.

Needs timm and the torchvision that belongs to your PyTorch. Nothing is downloaded: the weights are random at
first. For weights that you have, see docs/own-model.md.

python examples/tutorials/timm_network.py (about a minute)
"""

from pathlib import Path

import sfumato as sf

name = "timm:test_resnet"  # the smallest of timm; timm:resnet50 works alike
data = sf.load_dataset("digits")
settings = sf.TrainingSettings(architecture=name, alpha=0.3, epochs=15)
sf.train(data, settings, Path("timm.safetensors"))

# the file names the network but holds no code: you say which one it is
network, record = sf.load_model(Path("timm.safetensors"), factory=name)
print(record.architecture, "trained with alpha", record.alpha)

# its batch norms saw noise of 0.3; fit them to the smoothing noise
smoothed = sf.SmoothedClassifier(sf.normalize_at(network, data.train.x, beta=0.25), beta=0.25)
certificates = smoothed.certify(data.test.x[:50], plan="decide(0.2)", labels=data.test.y[:50])
certificates.to_tsv("timm.tsv")
print("certified accuracy,", certificates.accuracy([0.2]))
