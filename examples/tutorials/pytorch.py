"""You train with PyTorch: your loop with noise, then a certificate for each image of a test loader.

python examples/tutorials/pytorch.py (about 5 seconds)
"""

import torch
from torch.utils.data import DataLoader, TensorDataset

import sfumato as sf

data = sf.load_dataset("digits")  # yours: float tensors with pixels from 0 to 1
train = TensorDataset(torch.from_numpy(data.train.x), torch.from_numpy(data.train.y))
test = TensorDataset(torch.from_numpy(data.test.x[:100]), torch.from_numpy(data.test.y[:100]))

torch.manual_seed(0)
network = torch.nn.Sequential(
    torch.nn.Flatten(), torch.nn.Linear(64, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10)
)
optimizer = torch.optim.Adam(network.parameters(), 3e-3)
for _epoch in range(10):
    for x, y in DataLoader(train, batch_size=100, shuffle=True):
        noisy = x + 0.3 * torch.randn_like(x)  # fresh noise for every batch: alpha = 0.3
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(noisy), y).backward()
        optimizer.step()

smoothed = sf.SmoothedClassifier(network, beta=0.3)
certificates = smoothed.certify(DataLoader(test, batch_size=50), plan="decide(0.25)")
certificates.to_tsv("pytorch.tsv")
wrong = [one.idx for one in certificates if one.predict not in (one.label, -1)]
print("certified for a wrong class:", wrong)
print("certified accuracy,", certificates.accuracy([0.25]))
