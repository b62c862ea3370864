"""Values on a command line mean what they say: each path that of the folder it names, every option in its range, or a refusal."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import pytest
from runs.conftest import Command, assert_lies_on_its_image, command_line

from scripts.data.phantoms import write_phantoms

FOLDERS = ["2024-03-01", "scans#2", "1e5", "a,b", "[x]", "None", "it's 50 %, naïve"]
Inference = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of images of each name, every image of another shape; beside them what a misreading would name."""
    world = tmp_path_factory.mktemp("world")
    for number, name in enumerate([*FOLDERS, "scans", "x", "a"]):
        write_phantoms(world / "new", {"test": 1}, shape=(24, 20, 6 + number))
        (world / "new" / "images").rename(world / name)
        (world / "new" / "dataset.json").unlink()
        for folder in (world / "new").iterdir():
            folder.rename(world / f"{number} {folder.name}")
    return world


@pytest.fixture(scope="module")
def inference(world: Path, trained: Path, environment: dict[str, str]) -> Inference:
    def run(words: list[str], as_a_user: str = "") -> subprocess.CompletedProcess[str]:
        given = [*command_line("inference", ["inference.json"], {"checkpoint": trained / "model.pt"}), *words]
        env = {**environment, "HOME": str(world / "home")}
        return subprocess.run([sys.executable, *given], cwd=world, env=env, capture_output=True, text=True, timeout=300)

    return run


@pytest.mark.parametrize("name", FOLDERS)
def test_the_folder_of_that_name_is_segmented(inference: Inference, world: Path, name: str) -> None:
    result = inference(["--input", name, "--output_dir", f"{name}#out"])
    assert result.returncode == 0, result.stderr[-2000:]
    entries = json.loads((world / f"{name}#out" / "report.json").read_text())
    assert [Path(entry["file"]).parent.name for entry in entries] == [name]
    for entry in entries:
        assert_lies_on_its_image(entry)


def test_a_tilde_is_the_users_folder_in_quotes_too(inference: Inference, world: Path) -> None:
    (world / "home").mkdir()
    result = inference(["--input", "scans", "--output_dir", "~/masks"])
    assert result.returncode == 0, result.stderr[-2000:]
    assert (world / "home" / "masks" / "report.json").exists()
    assert not (world / "~").exists()
