"""What lies in the output folder and is not ours stays as it is, whatever its name."""

import json
from pathlib import Path

import pytest
from runs.conftest import Command

from .nifti import PLAIN, image, put

LABEL = image(sform=2).to_bytes()  # of somebody who names labels as we name masks


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of images and labels, which is given as the output folder too."""
    for name, data in (("a.nii.gz", PLAIN), ("b.nii.gz", PLAIN), ("c.nii.gz", b"cut")):
        put(data)(tmp_path / name)
    for name in "ac":
        put(LABEL)(tmp_path / f"{name}_seg.nii.gz")
        (tmp_path / f"{name}_seg.json").write_text('{"Modality": "SEG"}')
    return tmp_path


def test_files_with_the_names_of_masks_are_neither_overwritten_nor_removed(
    bundle_run: Command, trained: Path, folder: Path
) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for _ in range(2):  # the second time beside our own masks
        options = {"input": folder, "output_dir": folder, "checkpoint": trained / "model.pt"}
        bundle_run("inference", ["inference.json"], fails=True, **options)
        assert {name: (folder / name).read_bytes() for name in before} == before
        entries = {Path(entry["file"]).name: entry for entry in json.loads((folder / "report.json").read_text())}
        assert set(entries) == {"a.nii.gz", "b.nii.gz", "c.nii.gz", "a_seg.nii.gz", "c_seg.nii.gz"}
        assert entries["a.nii.gz"]["rule"] == "a mask must not overwrite another file"
        assert str(folder / "a_seg.nii.gz") in entries["a.nii.gz"]["reason"]
        assert entries["b.nii.gz"]["mask"] == str(folder / "b_seg.nii.gz")
