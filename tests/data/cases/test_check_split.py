"""What a network was trained on is never measured as if it were new."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from scripts.data import check_split
from scripts.data.cases.folds_file import write_folds
from scripts.data.phantoms import write_phantoms
from scripts.files.checkpoint_file import write_checkpoint

SPLIT = {"seed": 7, "val_fraction": 0.4, "labels": {}}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    (tmp_path / "dataset.json").write_text(json.dumps({"training": ["a.nii"]}))
    write_checkpoint(tmp_path / "model.pt", {}, SPLIT)
    return tmp_path / "model.pt"


@pytest.mark.parametrize("part", ["training", "validation"])
@pytest.mark.parametrize(
    ("now", "said"),
    [
        ({"seed": 0, "val_fraction": 0.4}, "seed was 7, now it is 0; give"),
        ({"seed": 7, "val_fraction": 0.2}, "val_fraction was 0.4, now it is 0.2; give"),
    ],
    ids=["seed", "val_fraction"],
)
def test_another_split_is_refused(checkpoint: Path, part: str, now: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=f"{checkpoint} was trained with another split: {said} those of the training run"):
        check_split(checkpoint.parent, part, checkpoint, now)
    check_split(checkpoint.parent, part, checkpoint, {**SPLIT, "batch_size": 3})


def test_each_checkpoint_of_an_ensemble_is_asked(checkpoint: Path) -> None:
    other = checkpoint.with_name("other.pt")
    write_checkpoint(other, {}, {**SPLIT, "seed": 8})
    check_split(checkpoint.parent, "validation", [str(checkpoint)] * 2, SPLIT)
    with pytest.raises(ValueError, match=f"{other} was trained with another split: seed was 8, now it is 7"):
        check_split(checkpoint.parent, "validation", [str(checkpoint), str(other)], SPLIT)


def test_lists_of_their_own_are_not_split(checkpoint: Path) -> None:
    check_split(checkpoint.parent, "test", checkpoint, {"seed": 0, "val_fraction": 0.4})
    (checkpoint.parent / "dataset.json").write_text(json.dumps({"training": ["a.nii"], "validation": ["b.nii"]}))
    check_split(checkpoint.parent, "validation", checkpoint, {"seed": 0, "val_fraction": 0.4})


def test_a_checkpoint_of_others_says_nothing_of_its_split(checkpoint: Path) -> None:
    torch.save({}, checkpoint)
    check_split(checkpoint.parent, "validation", checkpoint, {"seed": 0})


def test_what_was_trained_on_all_cases_has_none_for_validation(checkpoint: Path) -> None:
    """A list of its own was trained on too."""
    write_checkpoint(checkpoint, {}, {**SPLIT, "val_fraction": 0})
    for content in ({"training": ["a.nii"], "validation": ["b.nii"]}, {"training": ["a.nii"]}):
        (checkpoint.parent / "dataset.json").write_text(json.dumps(content))
        for now in (0, 0.4):
            with pytest.raises(ValueError, match=f"{checkpoint} was trained on all cases, so none are left for validation"):
                check_split(checkpoint.parent, "validation", checkpoint, {**SPLIT, "val_fraction": now})
    check_split(checkpoint.parent, "test", checkpoint, {**SPLIT, "val_fraction": 0.4})


FOLD = {"seed": 7, "val_fraction": 0.2, "folds": 2, "fold": 1, "labels": {}}
NO_FOLD = {"seed": 7, "val_fraction": 0.2, "folds": None, "fold": None, "labels": {}}


@pytest.mark.parametrize(
    ("trained", "now", "said"),
    [
        (FOLD, {**FOLD, "fold": 0}, "was trained with fold 1 of 2, .*fold was 1, now it is 0"),
        (FOLD, {**FOLD, "folds": 3}, "was trained with fold 1 of 2, .*folds was 2, now it is 3"),
        (FOLD, {**FOLD, "seed": 8}, "was trained with fold 1 of 2, .*seed was 7, now it is 8"),
        (FOLD, NO_FOLD, "was trained with fold 1 of 2, .*fold was 1, now it is None"),
        (NO_FOLD, FOLD, "was trained with no folds, .*folds was None, now it is 2"),
        (SPLIT, FOLD, "was trained with no folds, "),  # by a version without folds
    ],
)
def test_a_network_is_measured_on_its_own_fold_alone(
    checkpoint: Path, trained: dict[str, Any], now: dict[str, Any], said: str
) -> None:
    write_checkpoint(checkpoint, {}, trained)
    check_split(checkpoint.parent, "test", checkpoint, now)
    check_split(checkpoint.parent, "validation", checkpoint, trained)
    with pytest.raises(ValueError, match=re.escape(str(checkpoint)) + " " + said):
        check_split(checkpoint.parent, "validation", checkpoint, now)


def test_networks_of_several_folds_are_measured_on_a_list_that_no_fold_holds(checkpoint: Path) -> None:
    both = [str(checkpoint), str(checkpoint.with_name("other.pt"))]
    for fold, path in enumerate(both):
        write_checkpoint(Path(path), {}, {**FOLD, "fold": fold})
    with pytest.raises(ValueError, match="was trained with fold 0 of 2, so it knows cases that would be measured"):
        check_split(checkpoint.parent, "validation", both, NO_FOLD)
    (checkpoint.parent / "dataset.json").write_text(json.dumps({"training": ["a.nii"], "validation": ["b.nii"]}))
    check_split(checkpoint.parent, "validation", both, NO_FOLD)
    for fold in (0, 1):  # one of them knows it
        with pytest.raises(ValueError, match=f"was trained with fold {1 - fold} of 2"):
            check_split(checkpoint.parent, "validation", both, {**FOLD, "fold": fold})


def test_a_network_without_folds_knows_the_cases_of_a_fold(checkpoint: Path) -> None:
    """Also where a list of its own was held out."""
    (checkpoint.parent / "dataset.json").write_text(json.dumps({"training": ["a.nii"], "validation": ["b.nii"]}))
    write_checkpoint(checkpoint, {}, NO_FOLD)
    with pytest.raises(ValueError, match="was trained with no folds, so it knows cases that would be measured"):
        check_split(checkpoint.parent, "validation", checkpoint, FOLD)


def test_a_fold_whose_cases_have_changed_since_is_refused(tmp_path: Path) -> None:
    write_phantoms(tmp_path / "data", {"training": 4}, shape=(8, 8, 4))
    checkpoint = tmp_path / "run" / "fold_1" / "model.pt"
    write_checkpoint(checkpoint, {}, FOLD)
    write_folds(tmp_path / "run" / "folds.json", tmp_path / "data", folds=2, seed=7, labels={})
    check_split(tmp_path / "data", "validation", checkpoint, FOLD)
    path = tmp_path / "data" / "dataset.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "training": content["training"][1:]}))
    with pytest.raises(ValueError, match=r"folds\.json says which cases each fold holds out, .*: .*no longer there"):
        check_split(tmp_path / "data", "validation", checkpoint, FOLD)
