"""Makes `torch_digits.tflite`: a PyTorch net, trained on digits, as LiteRT's converter writes it.

It was run once, in an environment of its own: `pip install litert-torch scikit-learn`, then `python
make.py`. Its net takes images with channels first, one at a time.
"""

from pathlib import Path

import litert_torch
import torch
from sklearn.datasets import load_digits
from torch import nn

EXAMPLES, STEPS = 1200, 300


class Net(nn.Module):
    """A convolution with batch normalisation, and a layer of scores."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(128, 10),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self.layers(images), dim=1)


def trained() -> Net:
    torch.manual_seed(0)
    digits = load_digits()
    images = torch.tensor(digits.images[:EXAMPLES], dtype=torch.float32)[:, None] / 16
    labels = torch.tensor(digits.target[:EXAMPLES])
    net = Net()
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    for _ in range(STEPS):
        rows = torch.randint(len(images), (64,))
        optimizer.zero_grad()
        loss = nn.functional.nll_loss(torch.log(net(images[rows]) + 1e-9), labels[rows])
        loss.backward()
        optimizer.step()
    return net.eval()


def main() -> None:
    example = (torch.zeros(1, 1, 8, 8),)
    path = Path(__file__).with_name("torch_digits.tflite")
    litert_torch.convert(trained(), example).export(str(path))


if __name__ == "__main__":
    main()
