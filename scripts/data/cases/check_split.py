"""A checkpoint and the settings of an evaluation -> nothing, or an error if cases that were trained on would be measured."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...files.checkpoint_file import checkpoints_of, read_about
from ...run.fold_folders import FOLDS_FILE
from ...run.settings import differences
from .datalist import read_json
from .folds_file import require_folds

SPLIT = ("seed", "val_fraction")
FOLD = ("seed", "folds", "fold")


def check_split(
    dataset_dir: str | Path, part: str, checkpoint: str | Path | Sequence[str], settings: Mapping[str, Any]
) -> None:
    """Checks that a dataset without a validation list of its own is split as it was for training, and one into folds likewise.

    A network of a fold is measured on the cases of that fold, or on a list that no fold holds: a list `validation` of the
    dataset's own where these settings name no fold, or `test`.

    Args:
        dataset_dir: the folder of the dataset.json.
        part: that is evaluated; `test` is always a list of its own.
        checkpoint: which knows the settings of its training run, if it is the bundle's; or a list of them.
        settings: of this run.

    Raises:
        FileNotFoundError: if there is no dataset.json, or no checkpoint.
        ValueError: if `seed`, `val_fraction` or the fold are others than in training, if the cases of the folds are by now, if
            nothing was held out, or a file is damaged.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from scripts.data import check_split
        >>> from scripts.data.phantoms import write_phantoms
        >>> from scripts.files.checkpoint_file import write_checkpoint
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = write_phantoms(Path(folder), {"training": 2}, shape=(16, 14, 8))
        ...     write_checkpoint(Path(folder) / "model.pt", {}, {"seed": 7})
        ...     check_split(folder, "validation", f"{folder}/model.pt", {"seed": 0})
        Traceback (most recent call last):
        ValueError: ...model.pt was trained with another split: seed was 7, now it is 0; give those of the training run...
    """
    for path in checkpoints_of(checkpoint):
        _check_split_of(Path(path), dataset_dir, part, settings)


def _check_split_of(checkpoint: Path, dataset_dir: str | Path, part: str, settings: Mapping[str, Any]) -> None:
    trained = read_about(checkpoint) or {}
    if part == "validation" and trained.get("val_fraction") == 0:
        raise ValueError(f"{checkpoint} was trained on all cases, so none are left for validation; evaluate another part, test")
    if part == "test":
        return
    has_list = bool(read_json(Path(dataset_dir).absolute() / "dataset.json").get("validation"))
    if settings.get("folds") is not None or trained.get("folds") is not None:
        if trained and not (has_list and settings.get("folds") is None):
            _check_fold_of(checkpoint, trained, dataset_dir, settings)
        return
    if has_list:
        return
    before, now = ({name: told[name] for name in SPLIT if name in trained and name in told} for told in (trained, settings))
    if words := "; ".join(differences(before, now)):
        raise ValueError(
            f"{checkpoint} was trained with another split: {words}; give those of the training run, else cases that it was "
            "trained on would be measured"
        )


def _check_fold_of(checkpoint: Path, trained: Mapping[str, Any], dataset_dir: str | Path, settings: Mapping[str, Any]) -> None:
    before, now = ({name: told.get(name) for name in FOLD} for told in (trained, settings))
    if words := "; ".join(differences(before, now)):
        known = "no folds" if before["folds"] is None else f"fold {before['fold']} of {before['folds']}"
        raise ValueError(
            f"{checkpoint} was trained with {known}, so it knows cases that would be measured ({words}); evaluate the network "
            "of each fold alone, and those of several on a list `validation` or `test` of dataset.json"
        )
    if (path := checkpoint.absolute().parent.parent / FOLDS_FILE).exists():
        require_folds(path, dataset_dir, settings["folds"], settings["seed"], settings.get("labels", {}))
