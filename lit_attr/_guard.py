"""No trace: whatever explains or evaluates a model runs inside these contexts and leaves nothing behind."""

import random
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import numpy as np
import torch
from torch import nn


@contextmanager
def private_rng(*devices: torch.device) -> Iterator[None]:
    """Restore the global random state of Python, NumPy and torch (CPU, and CUDA `devices`) on leaving."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[device for device in devices if device.type == "cuda"]):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def as_written() -> AbstractContextManager[object]:
    """Run compiled parts of models as they were written.

    Fused kernels cannot be watched, do not call hooks that were added later, and keep no graph for a second backward
    pass.
    """
    if "torch._dynamo" not in sys.modules:  # nothing is compiled; it cannot be seen on the model in all cases
        return nullcontext()
    eager: AbstractContextManager[object] = torch.compiler.set_stance("force_eager")
    return eager


@contextmanager
def no_trace(model: nn.Module) -> Iterator[None]:
    """Evaluate `model` with gradients possible and nothing changed afterwards.

    Inside: every submodule in eval mode, parameters frozen (so no `.grad` can be written), gradients enabled whatever
    the caller is in (`no_grad`, `inference_mode`). On leaving, also after an exception: each submodule has its own
    train/eval flag back, each parameter its `requires_grad`, each buffer its values, the random state is as before.

    Of a model with recurrent layers cuDNN is off inside: it has no backward pass for them in eval mode.
    """
    modules = [(module, module.training) for module in model.modules()]
    parameters = [(p, p.requires_grad) for p in model.parameters() if not p.is_inference()]  # those cannot have `.grad`
    buffers = [
        (module, name, buffer, buffer.clone(), buffer._version)
        for module, _ in modules
        for name, buffer in module._buffers.items()
        if buffer is not None and not buffer.is_inference()
    ]
    devices = {parameter.device for parameter, _ in parameters} | {entry[2].device for entry in buffers}
    cudnn = torch.backends.cudnn.enabled
    try:
        if any(isinstance(module, nn.RNNBase) for module, _ in modules):
            torch.backends.cudnn.enabled = False
        for module, _ in modules:
            module.training = False
        for parameter, _ in parameters:
            parameter.requires_grad_(False)
        with torch.inference_mode(False), torch.enable_grad(), private_rng(*devices):
            yield
    finally:
        torch.backends.cudnn.enabled = cudnn
        for module, training in modules:
            module.training = training
        for parameter, requires_grad in parameters:
            parameter.requires_grad_(requires_grad)
        with torch.inference_mode(False), torch.no_grad():
            for module, name, buffer, saved, version in buffers:
                now = module._buffers[name] if name in module._buffers else None  # noqa: SIM401 - TorchScript has no `get`
                if now is not None and now.shape == buffer.shape:  # one of another shape is a cache that grew
                    module._buffers[name] = buffer
                if buffer._version != version:
                    buffer.copy_(saved)
