"""Uses of the adapter for PyTorch, for type checkers and, up to the wrong ones, for Python."""

from typing import assert_type

import torch

import fastloss as fl
from fastloss.adapters.torch import functional as F
from fastloss.adapters.torch import nn

x = torch.randn(4, 3, requires_grad=True)
labels = torch.tensor([0, 2, 1, 1])
model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 3))
assert_type(model, torch.nn.Sequential)
assert_type(F.cross_entropy(model(x), labels, label_smoothing=0.1), torch.Tensor)
assert_type(F.relu(x), torch.Tensor)
assert_type(nn.CrossEntropyLoss(label_smoothing=0.1).forward(x, labels), torch.Tensor)
assert_type(fl.adapters.torch.apply(fl.sigmoid_focal_loss, x[:, 0], (labels > 0).float(), gamma=2), torch.Tensor)

# Wrong ones.
fl.adapters.torch.apply("focal", x, labels)  # flagged
F.cross_entropy(x, [0, 2, 1, 1])  # flagged
nn.CrossEntropyLoss(smoothing=0.1)  # flagged
