"""A package in an application of MONAI Deploy, and read by the reader of its SDK: docs/consumers.md."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from conftest import ROOT, SHARED

from .conftest import NAME, sam3d

APP = ROOT / "docs" / "examples" / "monai_deploy" / "app.py"
IMAGES = SHARED / "hippocampus" / "imagesTr"
PYTHON = os.environ.get("SAM3D_MONAI_DEPLOY_PYTHON", "")
SCANS = ("hippocampus_001", "hippocampus_003", "hippocampus_004")
READ = """
import json, pathlib, torch
from monai.deploy.operators import monai_bundle_inference_operator as sdk

folder, names = pathlib.Path.cwd(), sdk.BundleConfigNames()
parser = sdk.get_bundle_config(str(folder), names.config_names)
network = sdk._load_model_from_directory_bundle(folder, torch.device("cpu"), parser)
state = torch.load("models/model.pt")
print(json.dumps({
    "name": parser["_meta_"]["name"],
    "inferer": type(parser.get_parsed_content(names.inferer_name)).__name__,
    "loaded": not network.training and all(torch.equal(value, network.state_dict()[key]) for key, value in state.items()),
}))
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON, reason="SAM3D_MONAI_DEPLOY_PYTHON names no Python with MONAI Deploy, see docs/consumers.md"),
]


def run(*words: str | Path, cwd: Path) -> str:
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    result = subprocess.run([PYTHON, *map(str, words)], cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return result.stdout


@pytest.mark.skipif(not IMAGES.is_dir(), reason=f"no scans in {IMAGES}")
def test_the_masks_of_the_application_are_those_of_sam3d(package: Path, tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    for name in SCANS:
        shutil.copy(IMAGES / f"{name}.nii.gz", tmp_path / "scans")
    run(APP, "--input", "scans", "--output", "masks", "--model", package, cwd=tmp_path)
    sam3d("segment", tmp_path / "scans", "--checkpoint", ROOT / "models" / "hippocampus.pt", "--output", tmp_path / "due")
    for name in SCANS:
        mask, due = (nib.load(tmp_path / folder / f"{name}_seg.nii.gz") for folder in ("masks", "due"))
        np.testing.assert_array_equal(np.asarray(mask.dataobj), np.asarray(due.dataobj))
        np.testing.assert_array_equal(mask.affine, due.affine)
        assert set(np.unique(due.dataobj)) == {0, 1, 2}


def test_the_reader_of_the_sdk_finds_configs_and_network(package: Path) -> None:
    read = json.loads(run("-c", READ, cwd=package).splitlines()[-1])
    assert read == {"name": NAME, "inferer": "VolumeInferer", "loaded": True}
