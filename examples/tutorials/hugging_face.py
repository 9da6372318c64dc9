"""You use Hugging Face: an image classifier, fine-tuned under noise, then certified in pixels.

Needs transformers. The network is small and has random weights, so that nothing is downloaded. With a real
one, from AutoModelForImageClassification.from_pretrained(...), take AutoImageProcessor.from_pretrained(...)
as the processor; the rest is the same.

python examples/tutorials/hugging_face.py (about 10 seconds)
"""

import torch
from transformers import ViTConfig, ViTForImageClassification

import sfumato as sf

data = sf.load_dataset("digits")  # grey images of 8x8 pixels; the network wants three channels
train_x, test_x = (torch.from_numpy(part.x).repeat(1, 3, 1, 1) for part in (data.train, data.test))
labels = torch.from_numpy(data.train.y)

torch.manual_seed(0)
sizes = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96}
model = ViTForImageClassification(ViTConfig(**sizes, image_size=8, patch_size=2, num_labels=10))
processor = {"do_normalize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}

# pixels in [0, 1] in, logits out: mean and std of the processor are behind the noise
network = sf.from_hugging_face(model, processor)
optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
model.train()
for _epoch in range(15):
    for rows in torch.randperm(len(labels)).split(100):
        noisy = train_x[rows] + 0.2 * torch.randn_like(train_x[rows])
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model((noisy - 0.5) / 0.5).logits, labels[rows]).backward()
        optimizer.step()
model.eval()

smoothed = sf.SmoothedClassifier(network, beta=0.2)
certificates = smoothed.certify(test_x[:40], plan="decide(0.15)", labels=data.test.y[:40])
certificates.to_tsv("hugging-face.tsv")
print("certified accuracy,", certificates.accuracy([0.15]))
