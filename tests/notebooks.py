"""Notebooks, executed from top to bottom in a fresh kernel."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

# In a process of its own, so that neither the kernel nor its event loop outlives the test, over files instead of ports.
EXECUTE = """
import sys, nbformat
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
source, out, folder, runtime = sys.argv[1:]
notebook = nbformat.read(source, as_version=4)
manager = AsyncKernelManager(kernel_name="python3", transport="ipc", ip=runtime + "/socket")
NotebookClient(notebook, km=manager, timeout=600, resources={"metadata": {"path": folder}}).execute()
nbformat.write(notebook, out)
"""


def executed_notebook(notebook: Path, folder: Path) -> Any:
    """The notebook with its outputs; what it leaves behind stays below `folder`."""
    import nbformat

    environment = dict(os.environ)
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "MPLCONFIGDIR"):
        environment[name] = str(folder / name.lower())
    with tempfile.TemporaryDirectory(prefix="nb") as runtime:  # a socket's path must be short
        arguments = [str(notebook), str(folder / "executed.ipynb"), str(notebook.parent), runtime]
        done = subprocess.run([sys.executable, "-c", EXECUTE, *arguments], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return nbformat.read(folder / "executed.ipynb", as_version=4)


def outputs(notebook: Any) -> list[Any]:
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def check_clean(executed: Any) -> None:
    """It ran from top to bottom, without errors and warnings."""
    code = [cell for cell in executed.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    for output in outputs(executed):
        assert output.output_type != "error"
        assert not (output.output_type == "stream" and output.name == "stderr"), output.text
