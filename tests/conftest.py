"""What the whole suite shares, and what it says of bit equality when it ends."""

import pytest
import torch


@pytest.fixture
def one_thread():
    """Models this small gain nothing from a second thread, and lose much when the machine is busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def pytest_terminal_summary(terminalreporter):
    """How many tests marked `bit_equality` were asserted, and how many a measurement of this machine skipped."""
    marked = {
        name: [report for report in terminalreporter.stats.get(name, []) if "bit_equality" in getattr(report, "keywords", ())]
        for name in ("passed", "failed", "skipped")
    }
    asserted, skipped = len(marked["passed"]) + len(marked["failed"]), len(marked["skipped"])
    if asserted or skipped:
        terminalreporter.write_line(
            f"bit equality: {asserted} tests asserted, {skipped} skipped by measurement of this machine"
        )
