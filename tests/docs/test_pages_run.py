"""Pages of the documentation run from their first block to their last, small; every other block of Python is executed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from docs.pages import PAGES, ROOT, blocks, commands
from tiny import environment

from unified_rl.isolation.sandbox import SandboxError

RUNNER = Path(__file__).with_name("run_page.py")
READER = Path(__file__).with_name("reader.py")
#: Programs that are not ours, and make, whose targets are CI's: no page's test runs them, and `test_commands.py` reads them.
PROGRAMS = {
    "make": "sets up an environment of its own, or is what CI runs beside this suite (.ci/run); bench-gpu needs a GPU",
    "python": "needs a checkout or a release of another project",
    "torchrun": "needs several GPUs or machines; tests/training/test_ranks.py runs two ranks",
    "deepspeed": "needs several machines; tests/engines_real runs two ranks",
    "srun": "needs Slurm",
    "pip": "needs a network",
    "hf": "needs a network, and fetches a model of 14 GB",
    "lm_eval": "another project's harness, which make test-harness runs",
    "source": "of the shell that the reader is in",
}
VLLM = "vLLM is not installed; tests/engines_real/test_vllm_runs.py runs it where it is"
HOURS = "half an hour; tests/grids/test_grid_from_nothing.py runs one of them in small"
SHIPS = "ships finished grids of experiments; tests/statistics/test_results_page.py does it"
#: What is not run of pages: the beginning of a command or of a block of Python, and why. A line for each that a test leaves out.
NOT_RUN = {
    "docs/analysis.md": {
        "unified-rl results": SHIPS,
        "unified-rl tables experiments/results/{A,B}": "a synopsis; tests/statistics/test_sizes.py has sizes",
    },
    "README.md": {"unified-rl grid": "the tutorial runs the same on data of one's own"},
    "docs/adapters.md": {
        "from trl import": "TRL is not installed; tests/adapters runs the same where it is",
        "from unified_rl.adapters.verl": "verl is not installed; tests/adapters runs the same where it is",
    },
    "docs/corpus.md": {"unified-rl corpus annotate": "asks a person; tests/corpus marks the table in their place"},
    "docs/engines.md": {
        "unified-rl train method=grpo engine=deepspeed": "DeepSpeed is not installed; tests/engines_real has it"
    },
    "docs/grids.md": {
        "unified-rl grid NAME|FILE.py": "a synopsis; tests/grids/test_grid_from_nothing.py runs a file of experiments in small",
        "unified-rl grid NAME --dry-run pilot=": "needs three seeds of a finished grid; tests/statistics has some",
    },
    "docs/howto/own_coefficient.md": {
        "unified-rl grid": "the tutorial runs such a grid, whose cells are processes of their own"
    },
    "docs/howto/own_reward.md": {"JUDGE_URL=": "there is no such server; tests/rewards has some"},
    "docs/howto/slurm.md": {"unified-rl grid all_methods launcher=slurm cell_gpus=1": "needs Slurm and GPUs"},
    "docs/python.md": {"found = ur.grid": "the tutorial's grid, whose cells are processes of their own"},
    "docs/reference/commands.md": {
        "unified-rl reproduce": "what CI runs before this suite",
        "unified-rl results": SHIPS,
        "unified-rl bench": "measures, on an idle machine; tests/bench runs its parts",
    },
    "docs/results.md": {"unified-rl grid": HOURS},
    "docs/rewards.md": {
        "unified-rl train method=grpo reward=model reward.model_path=": "KEY is of another run; tests/run has such a pair"
    },
    "docs/vllm.md": {"unified-rl train method=grpo generator=vllm": VLLM},
}
SAMPLES = [{"idx": n // 4, "pred": str(n % 3), "is_correct": n % 3 == 0} for n in range(40)]
#: Pages of which something can be run.
RUN = [
    str(page.relative_to(ROOT))
    for page in PAGES
    if any(block.language == "python" for block in blocks(page))
    or any(command.program == "unified-rl" for command in commands(page))
]
#: Blocks of Python that need nothing that their page's commands made: they are executed in the quick suite too.
ALONE = [
    block
    for page in PAGES
    for block in blocks(page)
    if block.language == "python"
    and str(page.relative_to(ROOT)) in ("docs/analysis.md", "docs/grids.md", "docs/sandbox.md", "docs/stages.md")
]


def there(artifacts: Path) -> dict[str, str]:
    return environment() | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "PAGES_ARTIFACTS": str(artifacts), "MPLBACKEND": "agg"}


def run(line: list[str], cwd: Path, artifacts: Path, seconds: int) -> None:
    done = subprocess.run(
        [sys.executable, *line], cwd=cwd, capture_output=True, text=True, env=there(artifacts), timeout=seconds, check=False
    )
    assert done.returncode == 0, f"{done.stdout[-1500:]}\n{done.stderr[-3000:]}"


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """The folder of a reader, and the start policies of all pages, both made once."""
    folder = tmp_path_factory.mktemp("pages")
    run([str(READER), str(folder / "reader")], folder, folder / "artifacts", 1800)
    return folder


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("page", RUN)
def test_a_page_runs_as_it_is_written(page, reader, tmp_path):
    here = tmp_path / "here"
    shutil.copytree(reader / "reader", here)
    run([str(RUNNER), str(ROOT / page), *NOT_RUN.get(page, {})], here, reader / "artifacts", 1700)


@pytest.mark.parametrize("block", ALONE, ids=str)
def test_a_block_of_python_is_executed(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("samples.jsonl").write_text("".join(json.dumps(sample) + "\n" for sample in SAMPLES))
    try:
        exec(compile(block.text, str(block), "exec"), {"__name__": "page"})
    except SandboxError as error:
        pytest.skip(f"this machine cannot contain programs: {error}")


def test_every_block_of_python_can_be_read():
    for page in PAGES:
        for block in blocks(page):
            if block.language == "python":
                compile(block.text, str(block), "exec")


def test_what_is_not_run_is_there_and_has_a_reason():
    """The list is of what pages have, and every program that a page names is ours or has a reason."""
    for page, left_out in NOT_RUN.items():
        found = [" ".join(command.words) for command in commands(ROOT / page)]
        found += [block.text for block in blocks(ROOT / page) if block.language == "python"]
        for beginning in left_out:
            assert any(one.startswith(beginning) for one in found), f"{page}: {beginning}"
    programs = {command.program for page in PAGES for command in commands(page)}
    assert programs == {"unified-rl", *PROGRAMS}
