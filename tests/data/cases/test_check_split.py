"""What a network was trained on is never measured as if it were new."""

import json
from pathlib import Path

import pytest
import torch

from scripts.data import check_split
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
