"""Everything that explaining a model must leave as it was."""

import random
from collections import OrderedDict

import numpy as np
import torch
from torch.nn.modules import module as torch_module

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks", "_state_dict_hooks")


def hooks(model):
    """The number of hooks, those for all modules and those on parameters included."""
    own = sum(len(getattr(module, name)) for module in model.modules() for name in HOOKS)
    everywhere = sum(len(value) for value in vars(torch_module).values() if isinstance(value, OrderedDict))
    return own + everywhere + sum(len(parameter._backward_hooks or ()) for parameter in model.parameters())


def snapshot(model):
    """A description of the model and of the global state that compares equal only where both are unchanged."""
    return {
        "modes": [module.training for module in model.modules()],
        "attributes": [sorted(vars(module)) for module in model.modules()],
        "asks for gradients": [parameter.requires_grad for parameter in model.parameters()],
        "gradients": [(id(p.grad), None if p.grad is None else p.grad.tolist()) for p in model.parameters()],
        "parameters": [(id(p), p._version, p.tolist()) for p in model.parameters()],
        "buffers": [(id(b), b.tolist()) for b in model.buffers()],
        "hooks": hooks(model),
        "python": random.getstate(),
        "numpy": str(np.random.get_state()),
        "torch": torch.get_rng_state().tolist(),
        "gradients enabled": torch.is_grad_enabled(),
    }
