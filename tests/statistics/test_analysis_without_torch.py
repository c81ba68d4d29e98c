"""Tables and figures regenerate in seconds: nothing they import loads torch, and figures never reach a run directory."""

import subprocess
import sys

import pytest

LOADED = """
import importlib, pkgutil, sys
package = importlib.import_module({package!r})
for module in pkgutil.iter_modules(package.__path__):
    importlib.import_module({package!r} + "." + module.name)
print("\\n".join(sys.modules))
"""


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("unified_rl.statistics", ("torch", "transformers")),
        ("unified_rl.plotting", ("torch", "transformers", "unified_rl.records.reading")),
    ],
)
def test_imports(package, forbidden):
    result = subprocess.run([sys.executable, "-c", LOADED.format(package=package)], capture_output=True, text=True, check=True)
    loaded = set(result.stdout.split())
    assert f"{package}.{'make' if package.endswith('plotting') else 'tables'}" in loaded
    assert not loaded.intersection(forbidden)
