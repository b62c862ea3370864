"""A run that was never trained, its package, and what somebody might make of that package."""

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from monai.bundle import ConfigParser

from scripts.files.checkpoint_file import write_checkpoint
from scripts.packages.package_files import SUMS
from scripts.packages.package_sums import write_sums
from scripts.run.config_files import CONFIGS, network_configs
from scripts.run.settings import read_settings
from scripts.tools.package import package

NARROW = ROOT / "tests" / "runs" / "narrow.yaml"
METRICS = {
    "cases": 2,
    "mean_dice": 0.5,
    "mean_dice_interval": [0.4, 0.6],
    "intervals": "BCa",
    "nsd_tolerance": 2.0,
    "nsd_unit": "voxel",
    "classes": {
        name: {"dice": {"mean": 0.5, "interval": None, "cases": 2}, "nsd": {"mean": 0.25}} for name in ("liver", "kidney")
    },
}
Tamper = Callable[..., Path]


def training_settings(files: Sequence[str | Path]) -> dict[str, Any]:
    words = ["monai.bundle", "run", "training", "--config_file", str([str(CONFIGS / file) for file in files])]
    return json.loads(json.dumps(read_settings(words)))


def write_run(folder: Path, network: str, **settings: Any) -> Path:
    """folder: gets a checkpoint of random weights, as after a training run of these settings, and figures.

    settings: others in the checkpoint; None: that it does not have.
    """
    files = [CONFIGS / "train.json", *network_configs(network), NARROW]
    parser = ConfigParser(ConfigParser.load_config_files([str(file) for file in files]))
    state = parser.get_parsed_content("network_def").state_dict()
    about = {**training_settings(files), **settings}
    kept = {key: value for key, value in about.items() if value is not None or key not in settings}
    write_checkpoint(folder / "model.pt", state, kept)
    (folder / "evaluation").mkdir(parents=True)
    (folder / "evaluation" / "metrics.json").write_text(json.dumps(METRICS))
    return folder


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("untrained"), "detail+no_encoder")


@pytest.fixture(scope="session")
def packed(untrained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of its package."""
    folder = tmp_path_factory.mktemp("packed") / "mine_bundle"
    package(untrained, folder, zip_file=True)
    return folder


@pytest.fixture
def tampered(packed: Path, tmp_path: Path) -> Tamper:
    """A copy of the package with other content in some files, None: without them; `sealed`: with the sums of that."""

    def copy(changes: Mapping[str, str | bytes | None], sealed: bool = True) -> Path:
        folder = tmp_path / "mine_bundle"
        shutil.copytree(packed, folder, copy_function=os.link)
        for name, content in changes.items():
            path = folder / name
            path.unlink(missing_ok=True)
            if content is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content.encode() if isinstance(content, str) else content)
        if sealed:
            (folder / SUMS).unlink()
            write_sums(folder, [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()])
        return folder

    return copy
