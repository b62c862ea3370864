"""A package of the network that comes with the bundle, for programs of others to read."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

NAME = "hippocampus_bundle"


def sam3d(*words: str | Path) -> None:
    result = subprocess.run([sys.executable, "-m", "scripts", *map(str, words)], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("package")
    (folder / "run").mkdir()
    shutil.copy(ROOT / "models" / "hippocampus.pt", folder / "run" / "model.pt")
    sam3d("package", folder / "run", "--output", folder / NAME)
    return folder / NAME
