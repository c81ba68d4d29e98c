"""Pages of the documentation run from their first block to their last, small; every other block of Python is executed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from docs.pages import PAGES, ROOT, blocks
from tiny import environment

from unified_rl.isolation.sandbox import SandboxError

RUNNER = Path(__file__).with_name("run_page.py")
QA = {"qa.csv": "question,answer\n" + "".join(f"What is {n} + {n + 1}?,{2 * n + 1}\n" for n in range(100))}
MINE = {
    "my_reward.py": "def reward(prompt, response, answer):\n    return 1.0 if answer in response else -len(response) / 1000\n"
}
#: Pages that are run whole, with the files that their reader has.
RUN = {
    "README.md": QA | MINE,
    "CONTRIBUTING.md": {},
    "docs/tutorial.md": {},
    "docs/python.md": QA | MINE,
    "docs/howto/own_data.md": QA,
    "docs/howto/own_reward.md": QA,
    "docs/howto/own_coefficient.md": {},
    "docs/howto/own_task.md": {},
    "docs/howto/stop_and_resume.md": {},
}
#: What is not run of them, and why.
LEFT_OUT = {
    "README.md": {"unified-rl grid": "the tutorial runs the same on data of one's own"},
    "docs/python.md": {"found = ur.grid": "the tutorial's grid, whose cells are processes of their own"},
    "docs/howto/own_coefficient.md": {"unified-rl grid": "the same"},
    "docs/howto/own_reward.md": {
        "unified-rl train method=grpo data=qa.csv run_dir=runs/judged": "there is no such server; tests/rewards has some"
    },
}
#: Blocks of Python on other pages that are only compiled, and why.
COMPILED = {
    "docs/adapters.md": "TRL is not installed; tests/adapters runs the same where it is",
    "docs/sources.md": "trains at full size; the tests of the source train on such a file",
}
SAMPLES = [{"idx": n // 4, "pred": str(n % 3), "is_correct": n % 3 == 0} for n in range(40)]
OTHERS = [
    block for page in PAGES if str(page.relative_to(ROOT)) not in RUN for block in blocks(page) if block.language == "python"
]


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    """The start policies of all pages, made once."""
    return tmp_path_factory.mktemp("artifacts")


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", RUN)
def test_a_page_runs_as_it_is_written(page, tmp_path, artifacts):
    for name, text in RUN[page].items():
        (tmp_path / name).write_text(text)
    there = environment() | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "PAGES_ARTIFACTS": str(artifacts), "MPLBACKEND": "agg"}
    line = [sys.executable, str(RUNNER), str(ROOT / page), *LEFT_OUT.get(page, {})]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, env=there, timeout=800, check=False)
    assert done.returncode == 0, f"{done.stdout[-1500:]}\n{done.stderr[-3000:]}"


@pytest.mark.parametrize("block", OTHERS, ids=str)
def test_a_block_of_python_is_executed(block, tmp_path, monkeypatch):
    code = compile(block.text, str(block), "exec")
    if str(block.page.relative_to(ROOT)) in COMPILED:
        return
    monkeypatch.chdir(tmp_path)
    Path("samples.jsonl").write_text("".join(json.dumps(sample) + "\n" for sample in SAMPLES))
    try:
        exec(code, {"__name__": "page"})
    except SandboxError as error:
        pytest.skip(f"this machine cannot contain programs: {error}")


def test_what_is_left_out_is_there():
    for page, left_out in LEFT_OUT.items():
        assert all(beginning in (ROOT / page).read_text() for beginning in left_out)
    assert all((ROOT / page).is_file() for page in (*RUN, *COMPILED))
