"""A folder of folds means the checkpoints of all of them, in their order, or is refused."""

import json
from pathlib import Path

import pytest

from scripts.run.fold_folders import fold_checkpoints, fold_folder


def trained(folder: Path, count: int) -> list[Path]:
    (folder / "folds.json").write_text(json.dumps({"folds": [{}] * count}))
    paths = [fold_folder(folder, fold) / "model.pt" for fold in range(count)]
    for path in paths:
        path.parent.mkdir()
        path.touch()
    return paths


def test_all_folds_in_their_order(tmp_path: Path) -> None:
    paths = trained(tmp_path, 11)
    assert fold_checkpoints(tmp_path) == paths
    assert paths[10] == tmp_path / "fold_10" / "model.pt"


def test_folds_that_are_not_trained_yet_are_named(tmp_path: Path) -> None:
    paths = trained(tmp_path, 3)
    paths[1].unlink()
    with pytest.raises(ValueError, match=rf"of the 3 folds in {tmp_path}, 1 have no model.pt yet, first {paths[1]}"):
        fold_checkpoints(tmp_path)


def test_another_folder_is_refused_with_what_to_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"is a folder, and no folds were trained in it; name a file model\.pt"):
        fold_checkpoints(tmp_path)
    (tmp_path / "model.pt").touch()
    (tmp_path / "folds.json").write_text("[")
    with pytest.raises(ValueError, match=r"no folds were trained in it; name its model\.pt"):
        fold_checkpoints(tmp_path)
