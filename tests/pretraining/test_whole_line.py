"""The whole line, once, for real: from generated pages to the accuracy after GRPO, and its page."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import environment

ROOT = Path(__file__).parents[2]


@pytest.mark.nightly
def test_from_the_first_page_to_the_last_accuracy(tmp_path):
    line = [sys.executable, "-m", "tools.line", str(tmp_path / "line")]
    for _ in range(2):  # the second time everything is there
        run = subprocess.run(line, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=1200)
        assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    text = re.sub(r"<[^>]*>", " ", (tmp_path / "line" / "index.html").read_text())
    for part in (
        "pages read",
        "kept in round 1",
        "decontaminated",
        "base model, stage mathematics",
        "after GRPO: right answers, main",
    ):
        assert part in text
