"""segment_anything's network code is reached without torchvision and without its top-level package."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from scripts.networks import segment_anything


def test_neither_torchvision_nor_the_top_level_package_is_imported(tmp_path: Path) -> None:
    """In a fresh interpreter, where a torchvision could be imported; from the file alone, because MONAI, which other networks
    import, looks for segment_anything itself and goes on without it."""
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").touch()
    code = (
        "import importlib.util, runpy, sys; runpy.run_path('scripts/networks/segment_anything.py'); "
        "assert importlib.util.find_spec('torchvision') and importlib.util.find_spec('segment_anything'); "
        "print([name for name in sys.modules if name.split('.')[0] in ('torchvision', 'segment_anything')])"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr


def test_a_missing_package_is_reported_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(segment_anything._ALIAS)]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install segment-anything==1\.0"):
        segment_anything.load_modeling()


def test_the_modules_are_loaded_once() -> None:
    assert segment_anything.load_modeling() is segment_anything.modeling
