"""Runs of the bundle's configs in this process, whose parts can be looked at afterwards."""

import json
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import NARROW, ROOT
from ignite.engine import Engine
from monai.bundle import ConfigParser, ConfigWorkflow
from monai.transforms import Compose

from scripts.data.phantoms import LABELS
from scripts.files.checkpoint_file import write_checkpoint

CONFIGS = ROOT / "configs"
# Small, and unlike every default of the components that get it: a setting that does not arrive shows.
SETTINGS: dict[str, Any] = {
    "labels": {str(value): name for value, name in LABELS.items()},
    "encoder_variant": {**NARROW, "global_attn_indexes": [1]},
    "encoder_weights": "random",
    "encoder_seed": 3,
    "network_def#decoder#channels": [16, 8, 8, 4],
    "axcodes": "RPS",
    "spacing": [1.5, 1.25, 3.5],
    "spatial_size": [32, 48],
    "roi_depth": 8,
    "num_workers": 1,
}
Start = Callable[..., ConfigWorkflow]


# Of the process, before any run; fixtures of the whole session start one too.
BEFORE = {name: getattr(sys, name) for name in ("argv", "excepthook", "unraisablehook")}
HANDLERS = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGALRM)}


@pytest.fixture(autouse=True)
def what_a_run_sets() -> Iterator[None]:
    """Is as before after each test: others read the command line too."""
    yield
    for name, value in BEFORE.items():
        setattr(sys, name, value)
    for number, handler in HANDLERS.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Initializes `python -m monai.bundle run RUN_ID` with config files, SETTINGS and others laid over them.

    Its parts are `run.parser.get_parsed_content(ID)`, and `run.run()` runs it.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        patch.setattr(sys, "path", [*sys.path])

        def start(run_id: str, *files: str | Path, **settings: Any) -> ConfigWorkflow:
            overlay = tmp_path_factory.mktemp("settings") / "settings.json"
            overlay.write_text(json.dumps({**SETTINGS, **settings}, default=str))
            paths = [str(CONFIGS / file) for file in (*files, overlay)]
            sys.argv = ["monai.bundle", "run", run_id, "--config_file", str(paths)]
            workflow = ConfigWorkflow(paths, run_id=run_id, logging_file=False)
            workflow.initialize()
            return workflow

        yield start


@pytest.fixture(scope="session")
def dataset(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six cases without a validation list, so that seed and fraction decide, and a seventh whose image is not there."""
    folder = tmp_path_factory.mktemp("dataset") / "data"
    shutil.copytree(phantoms, folder)
    lists = json.loads((folder / "dataset.json").read_text())
    lists["training"] += [*lists.pop("validation"), {"image": "images/none.nii.gz", "label": "labels/none.nii.gz"}]
    (folder / "dataset.json").write_text(json.dumps(lists))
    return folder


@pytest.fixture(scope="session")
def checkpoint(start: Start, phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of an untrained network, as a training run with seed 7 that held out half of the cases would write it."""
    folder = tmp_path_factory.mktemp("checkpoint")
    run = start("training", "train.json", dataset_dir=phantoms, output_dir=folder, seed=7, val_fraction=0.5)
    network, settings = (run.parser.get_parsed_content(part) for part in ("network_def", "settings"))
    write_checkpoint(folder / "model.pt", network.state_dict(), settings)
    return folder / "model.pt"


def parts(*files: str | Path, **settings: Any) -> Callable[[str], Any]:
    """Of config files with SETTINGS and others laid over them, from which nothing is run: id -> what is built for it."""
    parser = ConfigParser()
    parser.read_config([str(CONFIGS / file) for file in files])
    given = {key: str(value) if isinstance(value, Path) else value for key, value in settings.items()}
    parser.update({"bundle_root": str(ROOT), **SETTINGS, **given})
    return parser.get_parsed_content


def owners(engine: Engine, event: Any) -> list[Any]:
    """The objects that the engine calls at this event, in their order."""
    return [getattr(handler, "__self__", handler) for handler, _, _ in engine._event_handlers.get(event, [])]


def names(things: Any) -> list[str]:
    """Of their classes."""
    return [type(thing).__name__ for thing in (things.transforms if isinstance(things, Compose) else things)]
