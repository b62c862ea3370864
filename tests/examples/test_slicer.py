"""docs/examples/slicer: its logic with stand-ins for Slicer's modules and the real `sam3d`."""

import importlib.util
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from conftest import ROOT
from packages.conftest import packed, untrained
from tools.conftest import Shell, warm

from scripts.data.phantoms import write_phantoms

__all__ = ["packed", "untrained", "warm"]

Slicer = tuple[ModuleType, dict[str, Any]]


@pytest.fixture
def slicer(warm: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Slicer:
    """The module of the example, and what it showed."""
    shown: dict[str, Any] = {}

    def export(volume: MagicMock, file: str) -> None:
        sitk.WriteImage(sitk.ReadImage(volume.file), file)

    def launch(words: list[str]) -> subprocess.CompletedProcess[str]:
        return warm(shlex.join(words), cwd=tmp_path, code=None)

    def load(file: str) -> MagicMock:
        shown["mask"] = nib.Nifti1Image(np.asarray(nib.load(file).dataobj), nib.load(file).affine)
        return MagicMock()

    stand_ins = {name: MagicMock() for name in ("slicer", "qt", "ctk", "slicer.ScriptedLoadableModule")}
    for name in ("ScriptedLoadableModule", "ScriptedLoadableModuleLogic", "ScriptedLoadableModuleWidget"):
        setattr(stand_ins["slicer.ScriptedLoadableModule"], name, object)
    util, scene = stand_ins["slicer"].util, stand_ins["slicer"].mrmlScene
    util.exportNode, util.launchConsoleProcess, util.loadLabelVolume = export, launch, load
    util.logProcessOutput = subprocess.CompletedProcess.check_returncode
    names = scene.AddNewNodeByClass.return_value.SetColor
    names.side_effect = lambda value, name, *colour: shown.setdefault("names", {}).update({value: name})
    for name, module in stand_ins.items():
        monkeypatch.setitem(sys.modules, name, module)
    spec = importlib.util.spec_from_file_location("SAM3D", ROOT / "docs" / "examples" / "slicer" / "SAM3D.py")
    assert spec is not None and spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    return example, shown


@pytest.fixture
def image(tmp_path: Path) -> Path:
    write_phantoms(tmp_path, {"test": 1}, shape=(32, 28, 12))
    return next((tmp_path / "images").iterdir())


def test_the_mask_lies_on_the_volume_and_has_the_names_of_its_labels(slicer: Slicer, packed: Path, image: Path) -> None:
    example, shown = slicer
    example.SAM3DLogic().segment(MagicMock(file=str(image)), "sam3d", str(packed))
    assert shown["names"] == {1: "liver", 2: "kidney", 3: "vessel"}
    assert shown["mask"].shape == nib.load(image).shape
    np.testing.assert_allclose(shown["mask"].affine, nib.load(image).affine, atol=1e-5)


def test_a_refusal_is_shown_in_its_own_words(slicer: Slicer, packed: Path, image: Path) -> None:
    volume = sitk.ReadImage(image)
    sitk.WriteImage(0 * volume, image)
    with pytest.raises(RuntimeError, match="every voxel is 0"):
        slicer[0].SAM3DLogic().segment(MagicMock(file=str(image)), "sam3d", str(packed))


@pytest.mark.parametrize("merge", [{"lung": [1, 2], "lesion": ["lesion"]}, {"lung": ["left", 2], "lesion": [4]}])
def test_merged_labels_have_the_value_that_masks_have(slicer: Slicer, merge: dict[str, Any]) -> None:
    named: Callable[[dict[str, Any]], dict[int, str]] = slicer[0].names_in_masks
    labels = {"0": "background", "1": "left", "2": "right", "4": "lesion"}
    assert named({"labels": labels, "merge_labels": merge}) == {1: "lung", 4: "lesion"}
    assert named({"labels": labels, "merge_labels": {}}) == {1: "left", 2: "right", 4: "lesion"}
