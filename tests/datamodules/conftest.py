"""The makers of tiny data sets as fixtures."""

import numpy as np
import pytest
import torch

from _reference import fake_data


@pytest.fixture
def write_mnist():
    return fake_data.write_mnist


@pytest.fixture
def write_cifar(monkeypatch):
    fake_data.accept_any_cifar(monkeypatch)
    return fake_data.write_cifar


@pytest.fixture
def write_tree():
    return fake_data.write_tree


@pytest.fixture
def rng_untouched():
    """Fail where the test's code draws from a global generator."""
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    yield
    assert torch.equal(torch.get_rng_state(), before)
    assert (np.random.get_state()[1] == numpy_before).all()
