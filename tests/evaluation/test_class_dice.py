"""Dice by one rule: of masks in training's validation, as its config has it, and in evaluation."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import ROOT
from ignite.engine import Engine
from monai.bundle import ConfigParser
from monai.data import MetaTensor

from scripts.evaluation import CaseMetrics, ClassDice

LABELS = {"0": "background", "1": "liver", "2": "kidney", "3": "vessel"}
SHAPE = (9, 8, 7)

Pair = tuple[np.ndarray, np.ndarray]


def pairs(seed: int, absent: int) -> list[Pair]:
    """Masks and references of each of which some classes are missing; the class `absent` is in none."""
    generator = np.random.default_rng(seed)

    def label_map() -> np.ndarray:
        classes = generator.permutation(4)[: generator.integers(1, 5)]
        chosen = generator.choice(classes, SHAPE)
        return np.where(chosen == absent, 0, chosen)

    return [(label_map(), label_map()) for _ in range(6)]


def validated(pairs: list[Pair], **settings: Any) -> dict[str, float]:
    """By the metrics of train.json."""
    parser = ConfigParser()
    parser.read_config(str(ROOT / "configs" / "train.json"))
    no_cases = {"training": [], "validation": []}
    parser.update({"bundle_root": str(ROOT), "labels": LABELS, "cases": no_cases, **settings})
    engine = Engine(lambda _, pair: [{key: torch.tensor(side)[None] for key, side in pair.items()}])
    for kind in ("key_metric", "additional_metrics"):
        for name, metric in parser.get_parsed_content(f"validate#{kind}").items():
            metric.attach(engine, name)
    return engine.run([{"pred": mask, "label": reference} for mask, reference in pairs]).metrics


def evaluated(
    folder: Path, cases: list[Pair], annotated: Sequence[list[str] | None] = (), **options: Any
) -> dict[str, float | None]:
    metrics = CaseMetrics(folder, LABELS, lambda path: None, 1.0, "voxel", **options)
    for number, (mask, reference) in enumerate(cases):
        tensors = {
            key: MetaTensor(torch.tensor(side)[None], meta={"filename_or_obj": key})
            for key, side in {"pred": mask, "reference": reference, "image": reference}.items()
        }
        partly = {"annotated": annotated[number]} if annotated and annotated[number] else {}
        metrics.add({**tensors, **partly, "name": str(number), "mask": "mask"})
    summary = metrics.summary()
    by_class = {f"val_dice/{name}": values["dice"]["mean"] for name, values in summary["classes"].items()}
    return {"val_mean_dice": summary["mean_dice"], **by_class}


@pytest.mark.parametrize("absent", [0, 2])
@pytest.mark.parametrize("seed", range(5))
def test_validation_in_training_and_evaluation_give_one_number(tmp_path: Path, seed: int, absent: int) -> None:
    cases = pairs(seed, absent)
    expected = evaluated(tmp_path, cases)
    found = validated(cases)
    assert 0 < expected["val_mean_dice"] < 1
    for name, value in expected.items():
        assert found[name] == pytest.approx(np.nan if value is None else value, abs=1e-6, nan_ok=True), name
    assert (expected["val_dice/kidney"] is None) == (absent == 2)


def test_a_class_on_one_side_alone_counts_as_0_and_on_neither_not_at_all() -> None:
    metric = ClassDice({"right": [1], "found": [2], "missed": [3], "absent": [4]}, prefix="")
    metric(torch.tensor([0, 1, 2, 0]).view(1, 1, 2, 2, 1), torch.tensor([0, 1, 0, 3]).view(1, 1, 2, 2, 1))
    assert metric.aggregate() == {"right": 1, "found": 0, "missed": 0, "absent": pytest.approx(np.nan, nan_ok=True)}
    metric.prefix = None
    assert metric.aggregate() == pytest.approx(1 / 3)


def test_where_no_class_is_anywhere_the_mean_is_0() -> None:
    """A number, by which epochs can be compared."""
    metric = ClassDice({"liver": [1], "kidney": [2]})
    nothing = torch.zeros(1, 1, 2, 2, 2)
    metric(nothing, nothing)
    assert metric.aggregate() == 0


@pytest.mark.parametrize("seed", range(3))
def test_ignored_voxels_count_in_neither_of_the_two(tmp_path: Path, seed: int) -> None:
    """Both give the Dice of what is left; what the mask says there changes nothing."""
    generator = np.random.default_rng(seed)
    cases = pairs(seed, absent=0)
    ignored = [generator.random(SHAPE) < 0.4 for _ in cases]
    of_training = [(mask, np.where(away, 4, truth)) for (mask, truth), away in zip(cases, ignored, strict=True)]
    of_files = [
        (np.where(away, 3, mask), np.where(away, 255, truth)) for (mask, truth), away in zip(cases, ignored, strict=True)
    ]
    left = [(mask[~away], truth[~away]) for (mask, truth), away in zip(cases, ignored, strict=True)]
    dice = [[dice_of(mask == k, truth == k) for k in (1, 2, 3)] for mask, truth in left]
    means = np.nanmean(dice, axis=0)
    expected = dict(zip(("val_dice/liver", "val_dice/kidney", "val_dice/vessel"), means, strict=True))
    expected["val_mean_dice"] = means.mean()
    in_training, in_evaluation = validated(of_training, ignore_label=[255]), evaluated(tmp_path, of_files, ignore_label=[255])
    assert {name: in_training[name] for name in expected} == pytest.approx(expected, abs=1e-6)
    assert in_evaluation == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_what_nobody_annotated_in_a_case_counts_in_neither_of_the_two(tmp_path: Path, seed: int) -> None:
    """Every other case tells of liver and vessel alone; what a mask has of the kidney there changes nothing."""
    cases = [(mask, np.where(truth == 2, 0, truth) if i % 2 else truth) for i, (mask, truth) in enumerate(pairs(seed, 0))]
    for _, truth in cases:
        truth[0, 0, 0] = 0  # where something may hide
    dice = np.array([[dice_of(mask == k, truth == k) for k in (1, 2, 3)] for mask, truth in cases])
    dice[1::2, 1] = np.nan
    means = np.nanmean(dice, axis=0)
    expected = dict(zip(("val_dice/liver", "val_dice/kidney", "val_dice/vessel"), means, strict=True))
    expected["val_mean_dice"] = means.mean()
    of_training = [(mask, np.where(truth == 0, -1, truth) if i % 2 else truth) for i, (mask, truth) in enumerate(cases)]
    partly = {"annotated": ["liver", "vessel"], "label_set": 0}
    in_training = validated(of_training, cases={"training": [partly], "validation": []})
    assert {name: in_training[name] for name in expected} == pytest.approx(expected, abs=1e-6)
    annotated = [["liver", "vessel"] if i % 2 else None for i in range(len(cases))]
    assert evaluated(tmp_path, cases, annotated) == pytest.approx(expected, abs=1e-6)


def dice_of(mask: np.ndarray, truth: np.ndarray) -> float:
    return 2 * (mask & truth).sum() / both if (both := mask.sum() + truth.sum()) else np.nan


@pytest.mark.parametrize("seed", range(3))
def test_regions_are_measured_in_place_of_classes_by_both_alike(tmp_path: Path, seed: int) -> None:
    """Every other case tells of liver and kidney alone, so of the second region."""
    regions = {"all": [1, 2, 3], "liver and kidney": [1, 2], "vessel": [3]}
    cases = [(mask, np.where(truth == 3, 0, truth) if i % 2 else truth) for i, (mask, truth) in enumerate(pairs(seed, 0))]
    for _, truth in cases:
        truth[0, 0, 0] = 0
    dice = np.array([[dice_of(np.isin(m, members), np.isin(t, members)) for members in regions.values()] for m, t in cases])
    dice[1::2, [0, 2]] = np.nan
    means = np.nanmean(dice, axis=0)
    expected = {f"val_dice/{name}": mean for name, mean in zip(regions, means, strict=True)} | {"val_mean_dice": means.mean()}
    partly = {"annotated": ["liver", "kidney"], "label_set": 0}
    of_training = [(mask, np.where(truth == 0, -1, truth) if i % 2 else truth) for i, (mask, truth) in enumerate(cases)]
    in_training = validated(of_training, regions=regions, cases={"training": [partly], "validation": []})
    assert {name: in_training[name] for name in expected} == pytest.approx(expected, abs=1e-6)
    annotated = [partly["annotated"] if i % 2 else None for i in range(len(cases))]
    assert evaluated(tmp_path, cases, annotated, regions=regions) == pytest.approx(expected, abs=1e-6)
