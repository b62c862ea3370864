"""A package behind a server of MONAI Label, asked by REST as 3D Slicer asks it: docs/consumers.md."""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import requests
from conftest import ROOT, SHARED

from .conftest import NAME, sam3d

APP = ROOT / "docs" / "examples" / "monai_label"
HIPPOCAMPUS = SHARED / "hippocampus"
PYTHON = os.environ.get("SAM3D_MONAI_LABEL_PYTHON", "")
SCANS = ("hippocampus_001", "hippocampus_003", "hippocampus_004")
LABELLED = ("hippocampus_003", "hippocampus_004", "hippocampus_006")
STARTED = 120  # seconds that the server may take

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON, reason="SAM3D_MONAI_LABEL_PYTHON names no Python with MONAI Label, see docs/consumers.md"),
    pytest.mark.skipif(not HIPPOCAMPUS.is_dir(), reason=f"no scans in {HIPPOCAMPUS}"),
]


class Server:
    def __init__(self, url: str, package: Path) -> None:
        self.url = url
        self.package = package

    def info(self) -> dict[str, Any]:
        return requests.get(f"{self.url}/info/", timeout=10).json()

    def segment(self, scan: str, folder: Path, **params: str) -> nib.Nifti1Image:
        question = {"image": scan, "output": "image"}
        answer = requests.post(f"{self.url}/infer/{NAME}", params=question, data={"params": json.dumps(params)}, timeout=120)
        assert answer.status_code == 200, answer.text
        (folder / f"{scan}.nii.gz").write_bytes(answer.content)
        return nib.load(folder / f"{scan}.nii.gz")


@pytest.fixture(scope="module")
def server(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("monai_label")
    studies, app = folder / "studies", folder / "app"
    shutil.copytree(APP, app)
    shutil.copytree(package, app / "model" / NAME)
    (studies / "labels" / "final").mkdir(parents=True)
    for name in {*SCANS, *LABELLED}:
        shutil.copy(HIPPOCAMPUS / "imagesTr" / f"{name}.nii.gz", studies)
    for name in LABELLED:
        shutil.copy(HIPPOCAMPUS / "labelsTr" / f"{name}.nii.gz", studies / "labels" / "final")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["-m", "monailabel.main", "start_server", "--app", app, "--studies", studies, "--conf", "models", NAME]
    log = folder / "log.txt"
    with log.open("w") as output:
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
        child = subprocess.Popen(
            [PYTHON, *map(str, words), "--host", "127.0.0.1", "--port", str(port)],
            stdout=output,
            stderr=output,
            env=environment,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        for _ in range(STARTED):
            try:
                requests.get(f"{url}/info/", timeout=10).raise_for_status()
                break
            except requests.RequestException:
                assert child.poll() is None, log.read_text()[-3000:]
                time.sleep(1)
        yield Server(url, app / "model" / NAME)
    finally:
        child.terminate()
        child.wait(timeout=30)


def assert_same(mask: nib.Nifti1Image, scan: str, checkpoint: Path, folder: Path) -> None:
    """Voxel by voxel and in its place that of `sam3d segment`."""
    sam3d("segment", HIPPOCAMPUS / "imagesTr" / f"{scan}.nii.gz", "--checkpoint", checkpoint, "--output", folder)
    due = nib.load(folder / f"{scan}_seg.nii.gz")
    np.testing.assert_array_equal(np.asarray(mask.dataobj), np.asarray(due.dataobj))
    np.testing.assert_allclose(mask.affine, due.affine, rtol=0, atol=1e-6)
    assert set(np.unique(due.dataobj)) == {0, 1, 2}


def test_the_server_knows_what_the_package_finds(server: Server) -> None:
    info = server.info()
    assert info["labels"] == ["anterior", "posterior"]
    assert info["models"][NAME]["labels"] == {"anterior": 1, "posterior": 2}
    assert NAME in info["trainers"]


@pytest.mark.parametrize("scan", SCANS)
def test_its_masks_are_those_of_sam3d(server: Server, scan: str, tmp_path: Path) -> None:
    assert_same(server.segment(scan, tmp_path), scan, ROOT / "models" / "hippocampus.pt", tmp_path / "masks")


def test_it_trains_a_network_and_keeps_the_one_that_it_had(server: Server, tmp_path: Path) -> None:
    given = (server.package / "models" / "model.pt").read_bytes()
    options = {"max_epochs": 1, "device": "cpu", "val_split": 0.34}
    answer = requests.post(f"{server.url}/train/{NAME}", params={"run_sync": "true"}, json=options, timeout=300)
    assert answer.status_code == 200, answer.text
    assert (server.package / "models" / "model.pt").read_bytes() == given
    (run,) = (server.package / "runs").iterdir()
    trained = server.package / "models" / f"{run.name}.pt"
    assert trained.read_bytes() == (run / "model.pt").read_bytes() != given
    mask = server.segment(SCANS[0], tmp_path, model_filename=trained.name)
    assert_same(mask, SCANS[0], run / "model.pt", tmp_path / "masks")
