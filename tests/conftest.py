"""Every test starts from the same seed and must leave the process as it found it."""

import os
import random

import numpy as np
import pytest
import torch

collect_ignore = ["_reference"]  # helpers, imported by the tests as `_reference.nets` (see `pythonpath` in pyproject)

# Set by others for good reason, and harmless to the next test.
MAY_CHANGE = {
    "PYTEST_CURRENT_TEST",  # pytest itself
    "TORCHINDUCTOR_CACHE_DIR",  # torch.compile names its cache on first use
    "KMP_DUPLICATE_LIB_OK",  # scikit-learn at import, as the next
    "KMP_INIT_AT_FORK",
    "PYTORCH_NVML_BASED_CUDA_CHECK",  # Lightning at import
}


def global_state():
    """What a test could leave behind for the next one."""
    return {
        "default dtype": torch.get_default_dtype(),
        "threads": torch.get_num_threads(),
        "deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        "deterministic warnings only": torch.is_deterministic_algorithms_warn_only_enabled(),
        "cudnn": (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic),
        "gradients": torch.is_grad_enabled(),
        "inference mode": torch.is_inference_mode_enabled(),
        "folder": os.getcwd(),  # noqa: PTH109 - a string, so that the message is readable
        "environment": {key: value for key, value in os.environ.items() if key not in MAY_CHANGE},
    }


def restore(state):
    torch.set_default_dtype(state["default dtype"])
    torch.set_num_threads(state["threads"])
    warn_only = state["deterministic warnings only"]
    torch.use_deterministic_algorithms(state["deterministic algorithms"], warn_only=warn_only)
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = state["cudnn"]
    torch.set_grad_enabled(state["gradients"])
    os.chdir(state["folder"])
    for key in set(os.environ) - set(state["environment"]) - MAY_CHANGE:
        del os.environ[key]
    os.environ.update(state["environment"])


def changes(before, after):
    """One line per difference; of the environment only the variables that changed."""
    old, new = before["environment"], after["environment"]
    settings = [key for key in before if key != "environment" and before[key] != after[key]]
    variables = [key for key in sorted(old | new) if old.get(key) != new.get(key)]
    return [f"{key}: {before[key]} -> {after[key]}" for key in settings] + [
        f"{key}: {old.get(key)} -> {new.get(key)}" for key in variables
    ]


@pytest.fixture(autouse=True)
def same_start_no_leaks():
    """A fixed seed; afterwards a failure that names every global setting the test left changed."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    before = global_state()
    yield
    left = changes(before, global_state())
    if left:
        restore(before)
        pytest.fail("left behind: " + "; ".join(left))
