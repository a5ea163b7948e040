"""Samples for the tests of all methods."""

import pytest
import torch


@pytest.fixture
def images():
    return torch.rand(4, 3, 8, 8, dtype=torch.float64)


@pytest.fixture
def vectors():
    return torch.rand(4, 6, dtype=torch.float64)
