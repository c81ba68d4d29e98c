"""What the tests of the engines share."""

import pytest
import torch


@pytest.fixture
def one_thread():
    """Models this small gain nothing from a second thread, and lose much when the machine is busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
