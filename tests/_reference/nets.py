"""Small networks whose gradients are known, and wrappers that watch what a network is asked."""

import torch
from torch import nn


class Function(nn.Module):
    """A scalar function of a sample, `[N, ...]` -> `[N]`, as a one-unit model: class 1 has it as its logit."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, inputs):
        return self.function(inputs)[:, None]


def quadratic(matrix, slope):
    """x' Q x / 2 + b' x, Q symmetric: its gradient is Q x + b."""
    return Function(lambda x: ((x @ matrix) * x).sum(1) / 2 + x @ slope)


def linear(features=6, classes=3, bias=False):
    return nn.Linear(features, classes, bias=bias, dtype=torch.float64)


def mlp(features=6, classes=3, hidden=8, bias=True, activation=nn.Tanh):
    layers = [nn.Linear(features, hidden, bias=bias), activation(), nn.Linear(hidden, classes, bias=bias)]
    return nn.Sequential(*layers).double()


def permuted(net):
    """The same function as `mlp`, its hidden units in another order."""
    first, activation, last = net
    order = torch.randperm(first.out_features)
    twin = mlp(first.in_features, last.out_features, first.out_features, activation=type(activation))
    with torch.no_grad():
        twin[0].weight.copy_(first.weight[order])
        twin[0].bias.copy_(first.bias[order])
        twin[2].weight.copy_(last.weight[:, order])
        twin[2].bias.copy_(last.bias)
    return twin


class Detour(nn.Module):
    """The identity, written relu(x) - relu(-x)."""

    def forward(self, inputs):
        return inputs.relu() - (-inputs).relu()


class Bag(nn.Module):
    """Embeddings `[N, T, E]` to logits: the mean of the tokens whose place is not in `ignored`, then an MLP."""

    def __init__(self, features, classes=3, ignored=()):
        super().__init__()
        self.head = mlp(features, classes)
        self.ignored = list(ignored)

    def forward(self, embeddings):
        kept = [t for t in range(embeddings.shape[1]) if t not in self.ignored]
        return self.head(embeddings[:, kept].mean(1))


def cnn(classes=3, dtype=torch.float64):
    """Convolutions, batch norm with statistics of its own, in-place ReLU, dropout, pooling, linear; for 8x8 images."""
    layers = [
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.Dropout(0.5),
        nn.Conv2d(4, 6, 3),
        nn.ReLU(),
    ]
    net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, classes))
    norm = net[1]
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    with torch.no_grad():
        net[-1].weight.uniform_(-1, 2)  # differing classes, so that a mixed-up target shows; no Grad-CAM is all zero
    return net.to(dtype).eval()


class Counter(nn.Module):
    """Counts the rows that go forward through a model and backward out of it."""

    def __init__(self, model):
        super().__init__()
        self.model = model
        self.forwards = self.backwards = self.largest = 0

    def forward(self, inputs):
        self.forwards += len(inputs)
        self.largest = max(self.largest, len(inputs))
        logits = self.model(inputs)
        if logits.requires_grad:
            logits.register_hook(self._back)
        return logits

    def _back(self, gradient):
        self.backwards += len(gradient)


class Recorder(nn.Module):
    """Keeps every point at which a model is evaluated."""

    def __init__(self, model):
        super().__init__()
        self.model = model
        self.seen = []

    def forward(self, inputs):
        self.seen.append(inputs.detach().clone())
        return self.model(inputs)

    @property
    def points(self):
        return torch.cat(self.seen)
