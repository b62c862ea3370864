"""What a run stands on besides its images, changed behind its back or impossible, and the sentence that is due."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch

from scripts.files.checkpoint_file import read_about, read_checkpoint, write_checkpoint

Tamper = Callable[[Path, Path], object]  # of a dataset's folder and the folder of a run that stopped after epoch 1 of 2


def change_a_label(dataset: Path, run: Path) -> None:
    path = sorted((dataset / "labels").iterdir())[0]
    label = nib.load(path)
    nib.save(nib.Nifti1Image(np.asanyarray(label.dataobj)[::-1].copy(), label.affine), path)


def exchange_a_case(dataset: Path, run: Path) -> None:
    content = json.loads((dataset / "dataset.json").read_text())
    content["training"][0] = content["test"][0]
    (dataset / "dataset.json").write_text(json.dumps(content))


def put_the_best_in_place_of_the_last(dataset: Path, run: Path) -> None:
    shutil.copy(run / "model.pt", run / "last.pt")


def put_a_file_in_place_of_the_events(dataset: Path, run: Path) -> None:
    shutil.rmtree(run / "events")
    (run / "events").touch()


def cut_the_last(dataset: Path, run: Path) -> None:
    (run / "last.pt").write_bytes((run / "last.pt").read_bytes()[:-1000])


def sealed_anew(change: Callable[[dict[str, Any]], object]) -> Tamper:
    """A change of `last.pt` that its seal does not show."""

    def tamper(dataset: Path, run: Path) -> None:
        path = run / "last.pt"
        state, about = read_checkpoint(path), read_about(path)
        change(state)
        write_checkpoint(path, state, about or {})

    return tamper


def first_moments(state: dict[str, Any]) -> dict[str, torch.Tensor]:
    return next(iter(state["optimizer"]["state"].values()))


# Refused, and nothing in the folder of the run is changed.
RESUMED: dict[str, tuple[Tamper, str]] = {
    "a label was changed": (change_a_label, "last.pt belongs to a training run on other cases: 1 of "),
    "a case was exchanged": (exchange_a_case, "last.pt belongs to a training run on other cases: "),
    "the best network under its name": (put_the_best_in_place_of_the_last, "last.pt is not the state of a training run"),
    "epoch 999 of 2": (sealed_anew(lambda state: state.update(epoch=999)), "what cannot be: it is of epoch 999 of 2"),
    "no optimizer": (sealed_anew(lambda state: state.pop("optimizer")), "it lacks optimizer"),
    "NaN among the weights": (
        sealed_anew(lambda state: next(iter(state["network"].values())).fill_(torch.nan)),
        "is NaN or infinite",
    ),
    "NaN among the moments": (
        sealed_anew(lambda state: first_moments(state)["exp_avg"].fill_(torch.nan)),
        "is NaN or infinite",
    ),
    "a best metric that none can be": (
        sealed_anew(lambda state: state.update(best_metric=1.5)),
        "what cannot be: the best metric is 1.5, metric_range says 0 to 1",
    ),
    "a file in place of a folder": (put_a_file_in_place_of_the_events, "events must be a folder"),
    "an end that is cut off": (cut_the_last, "last.pt cannot be read as a checkpoint: it is damaged or incomplete"),
}


def exchange(entry: Path, other: Path) -> None:
    content = entry.read_bytes()
    entry.write_bytes(other.read_bytes())
    other.write_bytes(content)


def link(entry: Path, other: Path) -> None:
    entry.unlink()
    entry.symlink_to(other.name)


def put_a_folder_there(entry: Path, other: Path) -> None:
    entry.unlink()
    entry.mkdir()


# Two entries of a cache; how many are computed again, with a warning that names each.
CACHED: dict[str, tuple[Callable[[Path, Path], None], int]] = {
    "two exchange their names": (exchange, 2),
    "a link to another": (link, 1),
    "a folder": (put_a_folder_there, 1),
}

# Refused before anything is written. A text with a colon is a preset, the others are options.
SETTINGS: dict[str, str] = {
    "--batch_size 0": "--batch_size must be a whole number of at least 1, got 0",
    "--learning_rate -0.1": "--learning_rate must be a number above 0, got -0.1",
    "--num_workers -1": "--num_workers must be a whole number of at least 0, got -1",
    "--roi_depth 7.5": "--roi_depth must be a whole number of at least 1, got 7.5",
    "--roi_depth 0": "--roi_depth must be a whole number of at least 1, got 0",
    "--spatial_size [0,48]": "--spatial_size must be a list of two whole numbers of at least 1, got [0, 48]",
    "--axcodes ras": "--axcodes must be three capitals",
    "batch_size: $@roi_depth - 8": "settings.yaml: batch_size must be a whole number of at least 1, got 0 from $@roi_depth - 8",
    "labels: {0: background, 1: no}": "settings.yaml: labels must be names by label value",
}
