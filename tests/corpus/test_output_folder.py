"""What lies in the output folder and is not ours stays as it is, whatever its name."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from runs.conftest import Command

from scripts.data import CaseReport

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


REPORTS = {
    "an object": b'{"accuracy": 0.9}',
    "a list": b'[{"file": "a.nii.gz", "status": "written"}]',
    "a text": b"our report",
    "not utf8": b"\xff\xfe",
    "brackets": b"[" * 100_000,
    "empty": b"",
}


@pytest.mark.parametrize("content", REPORTS.values(), ids=REPORTS)
def test_somebody_else_s_report_is_refused_before_anything_is_written(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "report.json").write_bytes(content)
    with pytest.raises(FileExistsError, match=r"report\.json is there and was not written by this bundle.*output folder"):
        CaseReport(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"report.json": content}


@pytest.mark.parametrize("put_there", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("nothing")])
def test_what_is_no_file_is_no_report_of_ours(tmp_path: Path, put_there: Callable[[Path], object]) -> None:
    put_there(tmp_path / "report.json")
    with pytest.raises(FileExistsError, match="was not written by this bundle"):
        CaseReport(tmp_path)


def test_inference_and_training_end_in_one_sentence_where_a_report_or_model_is_somebody_else_s(
    bundle_run: Command, trained: Path, phantoms: Path, tmp_path: Path
) -> None:
    inference = {"input": phantoms / "images", "checkpoint": trained / "model.pt"}
    ours = "was not written by this bundle"
    for name, run_id, options, why in (
        ("report.json", "inference", inference, ours),
        ("report.json", "training", {"dataset_dir": phantoms}, ours),
        ("model.pt", "training", {"dataset_dir": phantoms}, "no last.pt beside it"),
    ):
        folder = tmp_path / f"{run_id} {name}"
        folder.mkdir()
        (folder / name).write_text("theirs")
        config = "train.json" if run_id == "training" else "inference.json"
        result = bundle_run(run_id, [config], fails=True, output_dir=folder, **options)
        assert f"{folder / name} is there and {why}" in result.stderr.splitlines()[-2]
        assert "Traceback" not in result.stdout + result.stderr
        assert {path.name: path.read_text() for path in folder.iterdir()} == {name: "theirs"}
