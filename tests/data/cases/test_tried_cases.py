"""While a case is worked on the next ones are read, in order, never too many; what is wrong with one costs no other."""

import json
import os
import signal
import subprocess
import sys
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Barrier, Event, current_thread, main_thread
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.transforms import Compose, Transform

from scripts.basics.case import Case, Listed
from scripts.data import (
    CaseError,
    CaseReport,
    MaskRecords,
    ReadAhead,
    ReadCased,
    SaveMaskd,
    TriedCases,
    check_headers,
    open_image,
)
from scripts.data.cases import open_case
from scripts.data.cases.case_error import cause_of
from scripts.files.checkpoint_file import write_checkpoint

each_number = pytest.mark.parametrize("num_workers", [0, 1, 2, 5])
ENOUGH = 60  # seconds, after which what never comes is given up


class Records:
    """finished: the masks that are there already, by the image."""

    def __init__(self, finished: Mapping[str, str] = {}) -> None:
        self.masks = finished

    def begin(self, case: Case) -> dict[str, Any]:
        return {"of": case["image"]}

    def finished(self, case: Case, record: dict[str, Any]) -> str | None:
        assert record == {"of": case["image"]}
        return self.masks.get(case["image"])


def cases(count: int) -> list[Case]:
    return [{"image": str(i)} for i in range(count)]


def read(case: Case) -> dict[str, Any]:
    return {**case, "voxels": int(case["image"])}


def reader(count: int, num_workers: int, transform: Callable[[Case], Mapping[str, Any]] = read, **records: Any) -> ReadAhead:
    return ReadAhead(TriedCases(cases(count), transform, Records(**records)), num_workers)


@each_number
@pytest.mark.parametrize("count", [0, 1, 2, 30])
def test_every_case_comes_once_and_in_order(num_workers: int, count: int) -> None:
    loader = reader(count, num_workers)
    assert len(loader) == count
    for _ in range(2):  # it can be iterated again
        found = list(loader)
        assert [tried.data for tried in found] == [read(case) for case in cases(count)]
        assert [tried.case for tried in found] == cases(count)
        assert [tried.record for tried in found] == [{"of": case["image"]} for case in cases(count)]
        assert all(tried.mask is tried.error is None for tried in found)


def test_the_order_is_that_of_the_list_also_where_a_later_case_is_read_first() -> None:
    second_is_read = Event()

    def transform(case: Case) -> dict[str, Any]:
        if case["image"] == "0":
            assert second_is_read.wait(ENOUGH)
        if case["image"] == "1":
            second_is_read.set()
        return read(case)

    assert [tried.data["voxels"] for tried in reader(4, 2, transform)] == [0, 1, 2, 3]


ERRORS = [CaseError("1", "a", "b", "c"), ValueError("x"), MemoryError(), StopIteration(), OSError(5, "x")]


@each_number
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_exception_of_one_case_costs_no_other(num_workers: int, error: Exception) -> None:
    def transform(case: Case) -> dict[str, Any]:
        if case["image"] == "1":
            raise error
        return read(case)

    found = list(reader(4, num_workers, transform))
    assert [tried.error and cause_of(tried.error) for tried in found] == [None, error, None, None]
    assert [tried.data and tried.data["voxels"] for tried in found] == [0, None, 2, 3]
    assert [tried.case for tried in found] == cases(4)


@each_number
@pytest.mark.parametrize("step", ["begin", "finished"])
def test_an_exception_of_the_records_costs_its_case_alone(num_workers: int, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    error, usual = CaseError("1", "a mask must not overwrite another file", "b", "c"), getattr(Records, step)

    def fails(self: Records, case: Case, *more: Any) -> Any:
        if case["image"] == "1":
            raise error
        return usual(self, case, *more)

    monkeypatch.setattr(Records, step, fails)
    assert [tried.error for tried in reader(3, num_workers)] == [None, error, None]


@each_number
def test_the_image_of_a_finished_mask_is_not_read_again(num_workers: int) -> None:
    read_images = []

    def transform(case: Case) -> dict[str, Any]:
        read_images.append(case["image"])
        return read(case)

    found = list(reader(4, num_workers, transform, finished={"1": "masks/1.nii.gz", "2": "masks/2.nii.gz"}))
    assert sorted(read_images) == ["0", "3"]
    assert [tried.mask for tried in found] == [None, "masks/1.nii.gz", "masks/2.nii.gz", None]
    assert [tried.data is None for tried in found] == [False, True, True, False]


@each_number
def test_the_next_case_is_read_while_the_present_one_is_worked_on(num_workers: int) -> None:
    """Were the next one to wait for the present one, this would wait for it in vain."""
    begun = [Event() for _ in range(5)]

    def transform(case: Case) -> dict[str, Any]:
        assert current_thread() is not main_thread()
        begun[int(case["image"])].set()
        return read(case)

    for present, tried in enumerate(reader(len(begun), num_workers, transform)):
        assert tried.data == read({"image": str(present)})
        assert all(event.wait(ENOUGH) for event in begun[present + 1 : present + 2])


@pytest.mark.parametrize("num_workers", [2, 3, 5])
def test_as_many_cases_are_read_at_once_as_there_are_workers(num_workers: int) -> None:
    together = Barrier(num_workers)  # which lets nobody pass before all are there

    def transform(case: Case) -> dict[str, Any]:
        together.wait(ENOUGH)
        return read(case)

    assert [tried.error for tried in reader(3 * num_workers, num_workers, transform)] == [None] * 3 * num_workers


@each_number
def test_at_most_two_volumes_more_than_workers_are_read_ahead(num_workers: int) -> None:
    """The consumer waits for the last that may be read, so that a reader which runs on would be seen."""
    begun = [Event() for _ in range(20)]

    def transform(case: Case) -> dict[str, Any]:
        begun[int(case["image"])].set()
        return read(case)

    for present, _ in enumerate(reader(len(begun), num_workers, transform)):
        last = max(num_workers, 1) + 1
        assert all(event.wait(ENOUGH) for event in begun[: present + last + 1])
        assert not any(event.is_set() for event in begun[present + num_workers + 3 :])


class Volume:
    pass


@each_number
def test_a_volume_is_let_go_after_its_turn(num_workers: int) -> None:
    volumes: dict[int, weakref.ref[Volume]] = {}

    def transform(case: Case) -> dict[str, Any]:
        volume = Volume()
        volumes[int(case["image"])] = weakref.ref(volume)
        return {"image": volume}

    for present, tried in enumerate(reader(20, num_workers, transform)):
        assert tried.data is not None
        assert [number for number in range(present + 1) if volumes[number]() is not None] == [present]


def test_a_consumer_that_stops_ends_the_reading() -> None:
    begun = []

    def transform(case: Case) -> dict[str, Any]:
        begun.append(case["image"])
        return read(case)

    cases_read = iter(reader(100, 2, transform))
    next(cases_read)
    cases_read.close()  # returns when no thread reads any more
    assert len(begun) <= 1 + 2 + 2


PROGRAM = """
import sys
import torch
from scripts.data import ReadAhead, TriedCases
from scripts.run.end_on_signal import end_on_signals

class Records:
    def begin(self, case):
        return {}

    def finished(self, case, record):
        return None

end_on_signals()
torch.set_num_threads(3)
dataset = TriedCases([{"image": str(i)} for i in range(4)], dict, Records())
for tried in ReadAhead(dataset, 2):
    assert torch.get_num_threads() == 3
    if tried.case["image"] == "2":
        print("reading", flush=True)
        sys.stdin.read()
"""


def test_reading_leaves_the_cores_and_the_signals_of_the_process_as_they_are() -> None:
    """The workers of torch's loaders would keep it to one core, as threads too, and end it with exit code 0."""
    words = [sys.executable, "-c", PROGRAM]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    with subprocess.Popen(words, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout.readline() == "reading\n"
        run.send_signal(signal.SIGTERM)
        assert run.wait() == 128 + signal.SIGTERM


class Predict(Transform):
    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        return {**data, "pred": (data["image"] > 0).to(torch.uint8)}


def write(folder: Path, number: int, labelled: bool) -> Case:
    case: Case = {"image": str(folder / f"{number}.nii.gz"), "name": f"{number}_seg"}
    voxels = np.random.default_rng(number).normal(0, 20, (6, 5, 4)).astype(np.float32)
    nib.save(nib.Nifti1Image(voxels, np.eye(4)), case["image"])
    if labelled:
        case["reference"] = str(folder / f"{number}_label.nii.gz")
        nib.save(nib.Nifti1Image((voxels > 3).astype(np.uint8), np.eye(4)), case["reference"])
    return case


@pytest.mark.parametrize("labelled", [False, True])
@each_number
def test_a_file_is_opened_once_from_its_header_to_its_mask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_workers: int, labelled: bool
) -> None:
    opened: list[str] = []

    def counting(path: str) -> Any:
        opened.append(path)
        return open_image(path)

    monkeypatch.setattr(open_case, "open_image", counting)
    write_checkpoint(tmp_path / "model.pt", {})
    listed = Listed([write(tmp_path, number, labelled) for number in range(3)], [])
    records = MaskRecords(tmp_path / "out", tmp_path / "model.pt", "random", 0, "cpu", settings={"roi_depth": 32})
    good = check_headers(listed, 1, CaseReport(tmp_path / "out"), records)
    steps = Compose([ReadCased(1, {"0": "background", "1": "liver"}), Predict(), SaveMaskd(tmp_path / "out")])
    loader = ReadAhead(TriedCases(good, steps, records), num_workers)
    for tried in loader:
        assert tried.data is not None
        assert "opened" not in tried.data
        records.write(tried.case, dict(tried.record), tried.data["mask"])
    assert [tried.mask for tried in loader] == [str(tmp_path / "out" / f"{number}_seg.nii.gz") for number in range(3)]
    assert sorted(opened) == sorted(case[key] for case in listed.cases for key in ("image", "reference") if key in case)
    record = json.loads((tmp_path / "out" / "0_seg.json").read_text())
    assert [image["file"] for image in record["image"]] == [listed.cases[0]["image"]]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def written_anew(path: Path) -> None:
    nib.save(nib.Nifti1Image(np.ones((4, 4, 4), np.float32), np.diag([2, 2, 2, 1])), path)


@pytest.mark.parametrize("change", [cut, written_anew, Path.unlink])
@pytest.mark.parametrize("when", ["before", "while"])
def test_a_file_that_changes_after_its_header_was_read_costs_its_case_alone(
    tmp_path: Path, change: Callable[[Path], object], when: str
) -> None:
    """Its mask would lie on what is no longer there."""
    files = [tmp_path / f"{name}.nii" for name in "ab"]
    for seed, file in enumerate(files):
        nib.save(nib.Nifti1Image(np.random.default_rng(seed).random((5, 5, 5), np.float32), np.eye(4)), file)
    report = CaseReport(tmp_path / "out")
    opened = check_headers(Listed([{"image": str(file), "name": file.stem} for file in files], []), 1, report)
    records = MaskRecords(tmp_path / "out", tmp_path / "model.pt", "random", 0, torch.device("cpu"))

    def transform(case: Case) -> Mapping[str, Any]:
        read = ReadCased(1, {"0": "background", "1": "liver"})(case)
        if when == "while" and case["name"] == "a":
            change(files[0])
        return read

    if when == "before":
        change(files[0])
    first, second = ReadAhead(TriedCases(opened, transform, records), 0)
    assert first.error is not None
    assert isinstance(cause_of(first.error), CaseError)
    assert str(files[0]) in str(cause_of(first.error))
    assert second.error is None
    assert second.data is not None
