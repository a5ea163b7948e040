"""No trace: whatever explains or evaluates a model runs inside these contexts and leaves nothing behind."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn


@contextmanager
def private_rng(device: torch.device | None = None) -> Iterator[None]:
    """Restore the global random state of Python, NumPy and torch (CPU, and `device` where it is CUDA) on leaving."""
    python, numpy = random.getstate(), np.random.get_state()
    devices = [device] if device is not None and device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


@contextmanager
def no_trace(model: nn.Module) -> Iterator[None]:
    """Evaluate `model` with gradients possible and nothing changed afterwards.

    Inside: every submodule in eval mode, parameters frozen (so no `.grad` can be written), gradients enabled whatever
    the caller is in (`no_grad`, `inference_mode`). On leaving, also after an exception: each submodule has its own
    train/eval flag back, each parameter its `requires_grad`, each buffer its values, the random state is as before.
    """
    modules = [(module, module.training) for module in model.modules()]
    parameters = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    buffers = [(buffer, buffer.clone(), buffer._version) for buffer in model.buffers() if not buffer.is_inference()]
    device = next((p.device for p, _ in parameters), None)
    try:
        for module, _ in modules:
            module.training = False
        for parameter, _ in parameters:
            parameter.requires_grad_(False)
        with torch.inference_mode(False), torch.enable_grad(), private_rng(device):
            yield
    finally:
        for module, training in modules:
            module.training = training
        for parameter, requires_grad in parameters:
            parameter.requires_grad_(requires_grad)
        with torch.inference_mode(False), torch.no_grad():
            for buffer, saved, version in buffers:
                if buffer._version != version:
                    buffer.copy_(saved)
