"""A bad case costs only itself, wherever it stands in the list: the others are done, and with their own results."""

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.engines import SupervisedEvaluator
from monai.inferers import SimpleInferer
from monai.transforms import AsDiscreted, Compose
from torch import nn

from scripts.data import CaseReport, MaskRecords, ReadAhead, ReadCased, SaveMaskd, TriedCases
from scripts.data.cases.open_case import open_case
from scripts.files.checkpoint_file import write_checkpoint
from scripts.inferers import run_case_by_case

GOOD, UNREADABLE, TOO_BRIGHT, UNWRITABLE, DARK, FULL = "good", "unreadable", "too bright", "unwritable", "dark", "full"
LABELS = {"0": "background", "1": "bright"}


class Threshold(nn.Module):
    """Logits of voxels below and above 0.5; fails where one is above 100."""

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        if volume.max() > 100:
            raise RuntimeError("out of memory")
        return torch.cat([0.5 - volume, volume - 0.5], 1)


def write_cases(folder: Path, kinds: list[str]) -> list[dict[str, str]]:
    """Case i has i + 1 bright voxels and a size of its own."""
    cases = []
    for i, kind in enumerate(kinds):
        file = folder / f"{i}.nii"
        voxels = np.zeros((4, 4, 4 + i), np.float32)
        voxels.flat[: i + 1] = {TOO_BRIGHT: 200, DARK: 0.4}.get(kind, 1)
        voxels += 0.6 * (kind == FULL)
        nib.save(nib.Nifti1Image(voxels, np.eye(4)), file)
        cases.append({"image": str(file), "name": "../outside" if kind == UNWRITABLE else f"{i}_seg"})
    return cases


def segment(folder: Path, kinds: list[str], num_workers: int = 1, **options: Any) -> CaseReport:
    write_checkpoint(folder / "model.pt", {})
    settings = {"labels": LABELS}
    records = MaskRecords(folder / "masks", folder / "model.pt", "random", 0, torch.device("cpu"), settings=settings)
    cases = [{**case, "opened": open_case(case)} for case in write_cases(folder, kinds)]
    for case, kind in zip(cases, kinds, strict=True):
        if kind == UNREADABLE:  # by now
            Path(case["image"]).write_bytes(Path(case["image"]).read_bytes()[:400])
    dataloader = ReadAhead(TriedCases(cases, Compose([ReadCased(1, LABELS)]), records), num_workers)
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=[],
        network=Threshold(),
        inferer=SimpleInferer(),
        postprocessing=Compose([AsDiscreted("pred", argmax=True), SaveMaskd(folder / "masks")]),
    )
    report = CaseReport(folder)
    run_case_by_case(evaluator, dataloader, report, records, **options)
    return report


BAD = (UNREADABLE, TOO_BRIGHT, UNWRITABLE)
ORDERS = {
    "none bad": [GOOD] * 3,
    "all bad": list(BAD),
    **{f"{kind} first": [kind, GOOD, GOOD] for kind in BAD},
    **{f"{kind} in the middle": [GOOD, kind, kind, GOOD] for kind in BAD},
    **{f"{kind} last": [GOOD, GOOD, kind] for kind in BAD},
}


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("kinds", ORDERS.values(), ids=ORDERS.keys())
def test_every_good_case_is_done_with_its_own_result(tmp_path: Path, kinds: list[str], num_workers: int) -> None:
    results: list[dict[str, Any]] = []
    report = segment(tmp_path, kinds, num_workers, then=[results.append])
    good = [i for i, kind in enumerate(kinds) if kind == GOOD]
    assert [entry["file"] for entry in report.entries] == [str(tmp_path / f"{i}.nii") for i in range(len(kinds))]
    assert [entry["status"] for entry in report.entries] == ["written" if kind == GOOD else "refused" for kind in kinds]
    assert [result["name"] for result in results] == [f"{i}_seg" for i in good]
    for i, result in zip(good, results, strict=True):
        assert result["image"].meta["filename_or_obj"] == str(tmp_path / f"{i}.nii")
        assert result["pred"].sum() == i + 1
        mask = nib.load(tmp_path / "masks" / f"{i}_seg.nii.gz")
        assert mask.shape == (4, 4, 4 + i)
        assert np.count_nonzero(mask.dataobj) == i + 1
        assert report.entries[i]["mask"] == str(tmp_path / "masks" / f"{i}_seg.nii.gz")


def test_each_failure_is_reported_with_its_own_reason(tmp_path: Path) -> None:
    entries = segment(tmp_path, [UNREADABLE, TOO_BRIGHT, UNWRITABLE]).entries
    assert entries[1]["reason"] == "RuntimeError: out of memory"
    assert entries[2]["rule"].startswith("masks stay inside")
    assert len({entry["reason"] for entry in entries}) == 3


def test_what_fails_on_a_result_is_reported_too(tmp_path: Path) -> None:
    seen: list[str] = []

    def fail_on_the_first(result: dict[str, Any]) -> None:
        seen.append(result["name"])
        if len(seen) == 1:
            raise ValueError("no reference of that shape")

    report = segment(tmp_path, [GOOD, GOOD], then=[fail_on_the_first])
    assert seen == ["0_seg", "1_seg"]
    assert [entry["status"] for entry in report.entries] == ["refused", "written"]


def test_the_user_can_stop_it(tmp_path: Path) -> None:
    def interrupt(_: dict[str, Any]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        segment(tmp_path, [GOOD, GOOD], then=[interrupt])


def test_what_was_done_before_an_interruption_is_not_done_again(tmp_path: Path) -> None:
    done: list[str] = []

    def interrupt_the_second(result: dict[str, Any]) -> None:
        done.append(result["name"])
        if len(done) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        segment(tmp_path, [GOOD] * 3, then=[interrupt_the_second])
    first = (tmp_path / "masks" / "0_seg.nii.gz").stat()
    report = segment(tmp_path, [GOOD] * 3, then=[lambda result: done.append(result["name"])])
    assert done == ["0_seg", "1_seg", "1_seg", "2_seg"]
    assert (tmp_path / "masks" / "0_seg.nii.gz").stat().st_mtime_ns == first.st_mtime_ns
    assert [entry["mask"] for entry in report.entries] == [str(tmp_path / "masks" / f"{i}_seg.nii.gz") for i in range(3)]


@pytest.mark.parametrize("kind", [UNREADABLE, TOO_BRIGHT])
def test_a_refused_case_leaves_no_mask_of_an_earlier_run(tmp_path: Path, kind: str) -> None:
    segment(tmp_path, [GOOD, GOOD])
    report = segment(tmp_path, [GOOD, kind])
    assert [entry["status"] for entry in report.entries] == ["written", "refused"]
    assert {path.name for path in (tmp_path / "masks").iterdir()} == {"0_seg.nii.gz", "0_seg.json"}


@pytest.mark.parametrize(
    ("kinds", "doubted"),
    [
        ([DARK, DARK], "every voxel of every mask of this run is 0"),
        ([FULL, FULL], "every voxel of every mask of this run is 1"),
        ([DARK, UNREADABLE], "every voxel of every mask of this run is 0"),
        ([DARK, GOOD], None),
        ([DARK, FULL], None),
        ([UNREADABLE], None),
    ],
)
def test_one_class_throughout_is_doubted_in_the_log_and_in_the_report(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kinds: list[str], doubted: str | None
) -> None:
    segment(tmp_path, kinds)
    entries = json.loads((tmp_path / "report.json").read_text())
    assert [entry["reason"] for entry in entries if entry["mask"]] == [doubted for kind in kinds if kind != UNREADABLE]
    assert ("a network should tell classes apart; every voxel" in caplog.text) == (doubted is not None)


def test_masks_of_an_earlier_run_may_hold_other_classes(tmp_path: Path) -> None:
    segment(tmp_path, [GOOD])
    report = segment(tmp_path, [GOOD, DARK])
    assert [entry["rule"] for entry in report.entries] == [None, None]
