"""Where the folds of a training run lie: OUTPUT/folds.json, OUTPUT/fold_0/model.pt, OUTPUT/fold_1/model.pt, ...

An evaluation of all of them together lies in OUTPUT/ensemble.
"""

import json
from collections.abc import Sequence
from pathlib import Path

FOLDS_FILE = "folds.json"
CHECKPOINT = "model.pt"
ENSEMBLE = "ensemble"


def fold_folder(output_dir: Path, fold: int) -> Path:
    """fold: from 0."""
    return output_dir / f"fold_{fold}"


def fold_checkpoints(output_dir: Path) -> list[Path]:
    """Of all folds, in their order. Raises ValueError if they are not all there."""
    try:
        count = len(json.loads((output_dir / FOLDS_FILE).read_text(encoding="utf-8"))["folds"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        remedy = f"name its {CHECKPOINT}" if (output_dir / CHECKPOINT).exists() else "name a file model.pt"
        raise ValueError(f"{output_dir} is a folder, and no folds were trained in it; {remedy}") from error
    found = [fold_folder(output_dir, fold) / CHECKPOINT for fold in range(count)]
    if missing := [path for path in found if not path.is_file()]:
        raise ValueError(
            f"of the {count} folds in {output_dir}, {len(missing)} have no {CHECKPOINT} yet, first {missing[0]}; train them, "
            "or name those that are there one by one"
        )
    return found


def run_of_folds(checkpoints: Sequence[Path]) -> Path | None:
    """The folder of a run whose folds these are, all of them and in their order; None of others."""
    folder = checkpoints[0].parent.parent
    try:
        return folder if len(checkpoints) > 1 and fold_checkpoints(folder) == [*checkpoints] else None
    except ValueError:
        return None
