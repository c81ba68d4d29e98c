"""Tasks by name, and a user's own by file or dotted path."""

import subprocess
import sys

import pytest

from unified_rl.base.errors import ConfigError
from unified_rl.tasks import build_task
from unified_rl.tasks.arithmetic import Arithmetic

OWN_TASK = """
class MyTask:
    name, slices = "mine", ("main",)
    def __init__(self, size=3): self.size = size
    def problems(self, split, count=None, slice=None): return ()
    def demonstrations(self, count=None): return ()
    def check_answer(self, problem, text): ...
    def check_steps(self, problem, text): ...

class NotATask: ...
"""


@pytest.fixture
def own_file(tmp_path):
    path = tmp_path / "my_task.py"
    path.write_text(OWN_TASK)
    return path


def test_a_task_by_name_gets_its_options():
    task = build_task("arithmetic", seed=3, max_operand=50)
    assert task.problems("test", 5) == Arithmetic(seed=3, max_operand=50).problems("test", 5)


def test_a_users_task_by_file_and_by_dotted_path(own_file, monkeypatch):
    assert build_task(f"{own_file}:MyTask", size=5).size == 5
    monkeypatch.syspath_prepend(own_file.parent)
    assert build_task("my_task:MyTask").size == 3


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("aritmetic", {}, "Did you mean 'arithmetic'"),
        ("arithmetic", {"max_operant": 5}, "Did you mean 'max_operand'"),
        ("gsm8k", {}, "path"),
        ("no_such_module:Task", {}, "no_such_module"),
        ("missing.py:Task", {}, "missing.py"),
        ("unified_rl.tasks.arithmetic:Aritmetic", {}, "did you mean 'Arithmetic'"),
    ],
)
def test_mistakes_are_named(name, options, message):
    with pytest.raises(ConfigError, match=message):
        build_task(name, **options)


def test_a_class_that_is_no_task_is_refused(own_file):
    with pytest.raises(ConfigError, match="lacks name, slices"):
        build_task(f"{own_file}:NotATask")


def test_tasks_do_not_load_torch_or_transformers():
    code = (
        "import sys; import unified_rl.tasks, unified_rl.tasks.gsm8k, unified_rl.tasks.templates, unified_rl.tasks.tokenizers;"
        "unified_rl.tasks.build_task('arithmetic').demonstrations(3);"
        "sys.exit(any(name in sys.modules for name in ('torch', 'transformers', 'tokenizers', 'pyarrow')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
