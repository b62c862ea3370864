"""The documented commands, run as a user runs them: as subprocesses, from the bundle's folder or another."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from conftest import ROOT

from scripts.run.warm_bundle import start_bundle

NARROW_CONFIG = ROOT / "tests" / "runs" / "narrow.yaml"
Command = Callable[..., subprocess.CompletedProcess[str]]


def assert_lies_on_its_image(entry: dict[str, str]) -> None:
    """The mask of a report's entry was written, with exactly the shape and affine of its image, whose channels come last."""
    assert entry["status"] == "written"
    image, mask = nib.load(entry["file"]), nib.load(entry["mask"])
    assert mask.shape == image.shape[:3]
    np.testing.assert_array_equal(mask.affine, image.affine)


def command_line(run_id: str, configs: list[str | Path], options: dict[str, object], last: Sequence[Path] = ()) -> list[str]:
    """`python -m monai.bundle run` with the narrow test overlay after `configs`, and `last` after that.

    Relative configs are the bundle's.
    """
    files = [str(ROOT / "configs" / config) for config in [*configs, NARROW_CONFIG, *last]]
    words = [word for key, value in options.items() for word in (f"--{key}", str(value))]
    return ["-m", "monai.bundle", "run", run_id, "--config_file", str(files), "--bundle_root", str(ROOT), *words]


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}


@pytest.fixture(scope="session")
def bundle_run(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Command:
    """Runs one command; with `fails=True` it must end with a non-zero exit code, else with 0. A Python warning fails the test.

    In a process forked from one that has imported everything, which saves most of its time, or in several `processes` that are
    told what torchrun tells those that it starts; `as_a_user=True` or a launcher start Python anew. All run
    `python -m monai.bundle` with the same arguments.
    """

    def run(
        run_id: str,
        configs: list[str | Path],
        fails: bool = False,
        cwd: Path = ROOT,
        launcher: tuple[str, ...] = (),
        last: Sequence[Path] = (),
        as_a_user: bool = False,
        processes: int = 1,
        **options: object,
    ) -> subprocess.CompletedProcess[str]:
        command = command_line(run_id, configs, options, last)
        if as_a_user or launcher:
            words = [sys.executable, *launcher, *command]
            result = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)
        else:
            words = command[2:]  # after -m monai.bundle
            result = run_forked(words, tmp_path_factory.mktemp("output"), processes, folder=cwd)
        assert (result.returncode != 0) == fails, result.stdout[-3000:] + result.stderr[-3000:]
        assert not warnings_in(result.stderr)
        return result

    return run


def warnings_in(stderr: str) -> list[str]:
    """Python's, which have a class; but the one that MONAI gives of every config file, before the bundle has a say."""
    lines = [line for line in stderr.splitlines() if re.search(r"\w+Warning: ", line)]
    return [line for line in lines if "parsing config_file" not in line]


def run_forked(
    words: Sequence[str], output: Path, count: int = 1, variables: Mapping[str, str] = {}, **how: Any
) -> subprocess.CompletedProcess[str]:
    """output: a folder for what it prints. variables, how: of `start_bundle`. Of several processes the worst exit code."""
    log, errors = output / "stdout", output / "stderr"
    environments = [{**variables, **one} for one in ranks(count)]
    processes = [start_bundle(words, log, errors, variables=one, **how) for one in environments]
    for process in processes:
        process.join(300)
    if any(process.is_alive() for process in processes):
        for process in processes:
            process.kill()
        pytest.fail(f"still running after 5 minutes: {log.read_text()[-3000:]}")
    code = max((process.exitcode or 0 for process in processes), key=abs)
    return subprocess.CompletedProcess(words, code, log.read_text(), errors.read_text())


def ranks(count: int) -> list[dict[str, str]]:
    """The variables by which each of several processes finds the others; none of one."""
    if count == 1:
        return [{}]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
    return [{**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(count)]


@pytest.fixture(scope="session")
def trained(bundle_run: Command, phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a short training."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    bundle_run("training", ["train.json"], as_a_user=True, dataset_dir=phantoms, output_dir=folder)
    return folder
