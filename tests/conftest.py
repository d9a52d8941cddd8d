"""What holds for every test."""

import os

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Tests run side by side, and tensors are tiny: more threads would only wait for each other.

    So would those of the processes that tests start, the more so.
    """
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
