import ast
import asyncio
import json
import os
import sys
from pathlib import Path

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

from tests.report.conftest import plan, sweep_file, swept  # noqa: F401 (fixtures)

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


class _ThisEnvironment(KernelSpecManager):
    """Kernel `python3` is the interpreter that runs the tests, whatever is installed elsewhere."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        assert kernel_name == "python3"
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=argv, display_name="Python 3", language="python", env={"OMP_NUM_THREADS": "1"})


def _code_cells(path: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_outputs_and_defines_nothing(path: Path) -> None:
    assert all(not cell.outputs and cell.execution_count is None for cell in _code_cells(path))
    assert not any(place in path.read_text() for place in ("/home/", "/root/", "/tmp/", "/Users/"))
    assert json.loads(path.read_text())["metadata"]["kernelspec"]["name"] == "python3"
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
    for cell in _code_cells(path):
        assert not any(isinstance(node, definitions) for node in ast.walk(ast.parse(cell.source)))


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_ends_in_a_picture(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if "DRIP_CHECKPOINT" in path.read_text():
        monkeypatch.setenv("DRIP_CHECKPOINT", str(request.getfixturevalue("runs") / "denoiser"))
    if "DRIP_SWEEP" in path.read_text():
        monkeypatch.setenv("DRIP_SWEEP", str(request.getfixturevalue("swept")()))
    notebook = nbformat.read(path, as_version=4)
    manager = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=_ThisEnvironment())
    client = NotebookClient(notebook, km=manager, timeout=300, resources={"metadata": {"path": str(path.parent)}})
    try:
        client.execute()  # raises at the first cell that fails
    finally:
        asyncio.run(manager.shutdown_kernel(now=True))
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not [output for cell in cells for output in cell.outputs if output.output_type == "error"]
    assert any("image/png" in output.get("data", {}) for output in cells[-1].outputs)
