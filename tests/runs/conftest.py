"""The documented commands, run as a user runs them: as subprocesses, from the bundle's folder or another."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from conftest import ROOT

NARROW_CONFIG = ROOT / "tests" / "runs" / "narrow.yaml"
Command = Callable[..., subprocess.CompletedProcess[str]]


def assert_lies_on_its_image(entry: dict[str, str]) -> None:
    """The mask of a report's entry was written, with exactly the shape and affine of its image."""
    assert entry["status"] == "written"
    image, mask = nib.load(entry["file"]), nib.load(entry["mask"])
    assert mask.shape == image.shape
    np.testing.assert_array_equal(mask.affine, image.affine)


def command_line(run_id: str, configs: list[str | Path], options: dict[str, object], last: Path | None = None) -> list[str]:
    """`python -m monai.bundle run` with the narrow test overlay after `configs`, and `last` after that.

    Relative configs are the bundle's.
    """
    files = [str(ROOT / "configs" / config) for config in [*configs, NARROW_CONFIG, *([last] if last else [])]]
    words = [word for key, value in options.items() for word in (f"--{key}", str(value))]
    return ["-m", "monai.bundle", "run", run_id, "--config_file", str(files), "--bundle_root", str(ROOT), *words]


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}


@pytest.fixture(scope="session")
def bundle_run(environment: dict[str, str]) -> Command:
    """Runs one command; with `fails=True` it must end with a non-zero exit code, else with 0."""

    def run(
        run_id: str,
        configs: list[str | Path],
        fails: bool = False,
        cwd: Path = ROOT,
        launcher: tuple[str, ...] = (),
        last: Path | None = None,
        **options: object,
    ) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *launcher, *command_line(run_id, configs, options, last)]
        result = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)
        assert (result.returncode != 0) == fails, result.stdout[-3000:] + result.stderr[-3000:]
        return result

    return run


@pytest.fixture(scope="session")
def trained(bundle_run: Command, phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a short training."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    bundle_run("training", ["train.json"], dataset_dir=phantoms, output_dir=folder)
    return folder
