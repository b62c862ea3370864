"""`sam3d export`: what it stands for."""

from pathlib import Path

from scripts.files.checkpoint_file import write_checkpoint

from .conftest import Typed


def test_options_of_exporting_reach_the_run_by_their_ids(phantoms: Path, typed: Typed, tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "model.pt", {}, {"roi_depth": 8})
    words = ["export", tmp_path / "model.pt", "--output", tmp_path / "a.pt2", "--format", "pt2", "--part", "encoder"]
    line = typed(*words, "--plane", "64", "96", "--check", phantoms, "--dry-run")
    assert "run exporting" in line and "overlays/export.yaml" in line
    assert f"--input {phantoms}" in line and f"export#path' {tmp_path / 'a.pt2'}" in line
    for option in ("format' pt2", "part' encoder", "precision' float32", "plane' '[64, 96]'", "cases' '$monai.data.Dataset"):
        assert f"'--export#{option}" in line


def test_a_wrong_checkpoint_is_refused(typed: Typed, tmp_path: Path) -> None:
    assert "no file" in typed("export", tmp_path / "none.pt", "--output", tmp_path / "a.onnx", fails=True)
