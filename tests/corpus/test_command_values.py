"""A path on a command line is the one that it names, all the way to the masks; what nobody can mean is refused first."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from runs.conftest import assert_lies_on_its_image, command_line, run_forked

from .nifti import PLAIN, put

FOLDERS = ["2024-03-01", "scans#2", "1e5", "None"]
Inference = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of an image for each name, and beside them what a misreading would name."""
    world = tmp_path_factory.mktemp("world")
    for name in (*FOLDERS, "scans", "100000.0", "home"):
        (world / name).mkdir()
        put(PLAIN)(world / name / "scan.nii.gz")
    return world


@pytest.fixture(scope="module")
def inference(world: Path, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Inference:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [*command_line("inference", ["inference.json"], {"checkpoint": trained / "model.pt"})[2:], *words]
        return run_forked(
            command, tmp_path_factory.mktemp("output"), folder=world, variables={"HOME": str(world / "home")}
        )  # after -m monai.bundle

    return run


@pytest.mark.parametrize("name", FOLDERS)
def test_the_folder_of_that_name_is_segmented(inference: Inference, world: Path, name: str) -> None:
    result = inference("--input", name, "--output_dir", f"{name}#out")
    assert result.returncode == 0, result.stderr[-2000:]
    (entry,) = json.loads((world / f"{name}#out" / "report.json").read_text())
    assert entry["file"] == str(world / name / "scan.nii.gz")
    assert_lies_on_its_image({**entry, "mask": str(world / entry["mask"])})


def test_a_tilde_in_quotes_is_the_users_folder(inference: Inference, world: Path) -> None:
    result = inference("--input", "~", "--output_dir", "~/masks")
    assert result.returncode == 0, result.stderr[-2000:]
    assert (world / "home" / "masks" / "scan_seg.nii.gz").exists()
    assert not (world / "~").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--input", "", "--output_dir", "out"], "input: a path must not be empty"),
        (["--input", "scans", "--output_dir", ""], "output_dir: a path must not be empty"),
        (["--input", "scans", "--output_dir", "out", "--roi_depth", "0"], "--roi_depth must be a whole number of at least 1"),
    ],
)
def test_what_nobody_can_mean_is_refused_before_anything_is_written(
    inference: Inference, world: Path, words: list[str], said: str
) -> None:
    before = sorted(world.rglob("*"))
    result = inference(*words)
    assert result.returncode == 1
    assert f"\nERROR: {said}" in result.stderr
    assert "Traceback" not in result.stderr
    assert sorted(world.rglob("*")) == before
