"""The default network trained in plain PyTorch.

    python benchmarks/peers/pytorch.py [--threads 1] [--epochs 5] [--images 4000]

Follows the "Learn the Basics" tutorial of pytorch.org: a Sequential model, a DataLoader over a TensorDataset,
and the loop of zero_grad, backward and step.  Images are NCHW, PyTorch's own layout.  Eager, and what the
tutorial leaves at its default stays there: initial weights, Adam's betas and epsilon, no worker processes.
"""

from __future__ import annotations

import numpy as np
import torch
from peer import Peer, main
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

BATCH_SIZE = 64
LEARNING_RATE = 5e-4


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 32, kernel_size=5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, kernel_size=5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * 4 * 4, 1024),
        nn.ReLU(),
        nn.Linear(1024, 10),
    )


def to_tensor(images: np.ndarray) -> torch.Tensor:
    """uint8 NHWC -> float32 NCHW in [0, 1]; contiguous, as a tensor made in NCHW would be."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous().float() / 255


def prepare(images: np.ndarray, labels: np.ndarray, threads: int) -> Peer:
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    dataset = TensorDataset(to_tensor(images), torch.from_numpy(labels.astype(np.int64)))
    loader = DataLoader(dataset, batch_size=BATCH_SIZE, shuffle=True)
    model = network()
    loss_function = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)

    def train(epochs: int) -> list[float]:
        model.train()
        losses = []
        for _ in range(epochs):
            total = 0.0
            for inputs, targets in loader:
                optimizer.zero_grad()
                loss = loss_function(model(inputs), targets)
                loss.backward()
                optimizer.step()
                total += loss.item() * len(targets)
            losses.append(total / len(dataset))
        return losses

    def predict(images: np.ndarray) -> np.ndarray:
        model.eval()
        with torch.inference_mode():
            return model(to_tensor(images)).argmax(dim=1).numpy()

    return Peer(train, predict, sum(p.numel() for p in model.parameters()))


if __name__ == "__main__":
    main(prepare)
