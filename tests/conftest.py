"""What holds for every test."""

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Tests run side by side, and tensors are tiny: more threads would only wait for each other."""
    torch.set_num_threads(1)
