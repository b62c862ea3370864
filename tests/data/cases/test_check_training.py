"""Before the first step every voxel of a dataset is looked at, once; all that is wrong is said together."""

import json
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import nibabel as nib
import numpy as np
import pytest
from monai.transforms import ScaleIntensityd, Transform

from scripts.basics.case import Case, Listed, Refused
from scripts.data import CaseError, CaseReport, CheckContrastd, ReadCased, check_training
from scripts.files.file_digest import digest, file_digest

LABELS = {"0": "background", "1": "liver"}
SHAPE = (8, 7, 6)

Parts = dict[str, list[Case]]


class Counting(Transform):
    """Hands on what it gets, and writes down its file. The list of files is not part of its parameters."""

    reads: ClassVar[list[str]] = []

    def __call__(self, data: Mapping[Hashable, Any]) -> Mapping[Hashable, Any]:
        self.reads.append(Path(data["image"]).name)
        return data


@pytest.fixture(autouse=True)
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that went through the preprocessing, in their order."""
    monkeypatch.setattr(Counting, "reads", [])
    return Counting.reads


def write(folder: Path, name: str, seed: int, **odd: float) -> dict[str, str]:
    """odd: the value of one voxel of `image` or `label`."""
    generator = np.random.default_rng(seed)
    voxels = {"image": generator.normal(100, 20, SHAPE).astype(np.float32), "label": generator.integers(0, 2, SHAPE)}
    for key, value in odd.items():
        voxels[key].flat[5] = value
    case = {key: str(folder / f"{name}_{key}.nii.gz") for key in voxels}
    for key, file in case.items():
        nib.save(nib.Nifti1Image(voxels[key].astype(np.float32), np.eye(4)), file)
    return case


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    return {
        "training": [write(tmp_path, "a", 0), write(tmp_path, "b", 1)],
        "validation": [write(tmp_path, "c", 2)],
    }


def check(
    folder: Path,
    parts: Parts,
    *more: Transform,
    maximum: float = 1.0,
    refused: Mapping[str, Sequence[Refused]] = {},
    **options: Any,
) -> tuple[Parts, CaseReport]:
    """What passed, as it was listed. refused: by the list itself."""
    preprocessing = [Counting(), ReadCased(1, LABELS), ScaleIntensityd("image", 0.0, maximum), *more, CheckContrastd()]
    report = CaseReport(folder / "out")
    listed = {part: Listed(cases, list(refused.get(part, ()))) for part, cases in parts.items()}
    found = check_training(listed, 1, preprocessing, report, folder / "out" / "checked.json", **options)
    return {part: [as_listed(case) for case in cases] for part, cases in found.items()}, report


def as_listed(case: Case) -> Case:
    """Without the headers, which must be there."""
    assert case["opened"].images[0].path == case["image"]
    assert case["opened"].label.path == case["label"]
    assert case["contents"] == digest(*(digest(file_digest(str(case[key]))) for key in ("image", "label")))
    return {key: value for key, value in case.items() if key not in ("opened", "contents")}


@pytest.mark.parametrize("num_workers", [0, 1])
def test_good_cases_pass_as_they_are(tmp_path: Path, parts: Parts, num_workers: int) -> None:
    found, report = check(tmp_path, parts, num_workers=num_workers)
    assert found == parts
    assert [entry["status"] for entry in report.entries] == ["accepted"] * 3


def spoil(folder: Path, parts: Parts) -> dict[str, str]:
    """One more bad case of each kind that its files can have, and what the report must say of it by the name of its file."""
    nan, value, empty, cut, moved = (
        write(folder, "nan", 10, image=np.nan),
        write(folder, "value", 11, label=7),
        write(folder, "empty", 12),
        write(folder, "cut", 13),
        write(folder, "moved", 14),
    )
    nib.save(nib.Nifti1Image(np.zeros(SHAPE, np.uint8), np.eye(4)), empty["label"])
    Path(cut["image"]).write_bytes(Path(cut["image"]).read_bytes()[:-30])
    nib.save(nib.Nifti1Image(np.ones(SHAPE, np.uint8), np.diag([2, 1, 1, 1])), moved["label"])
    parts["training"][1:1] = [nan, value, moved]
    parts["validation"] += [empty, cut]
    return {
        nan["image"]: "1 voxels are NaN",
        value["image"]: "found 7",
        empty["image"]: "every voxel is background",
        cut["image"]: "reading it failed",
        moved["image"]: "mm apart",
    }


NO_IMAGE = CaseError("dataset.json", "a case must name its image", "found None", "correct it")
UNLISTED = {"validation": [Refused({"image": "dataset.json, entry 9"}, NO_IMAGE)]}


def test_all_bad_cases_are_said_at_once(tmp_path: Path, parts: Parts, caplog: pytest.LogCaptureFixture) -> None:
    expected = spoil(tmp_path, parts) | {"dataset.json, entry 9": "found None"}
    with pytest.raises(CaseError, match=r"training starts on good cases alone; 6 of 9 are refused; .*--skip-bad") as caught:
        check(tmp_path, parts, refused=UNLISTED)
    assert caught.value.file == str(tmp_path / "out" / "report.json")
    entries = json.loads((tmp_path / "out" / "report.json").read_text())
    refused = {entry["file"]: entry["reason"] for entry in entries if entry["status"] == "refused"}
    assert refused.keys() == expected.keys()
    assert all(said in refused[file] for file, said in expected.items())
    assert all(file in caplog.text for file in expected)


def test_bad_cases_are_left_out_where_that_is_wanted(tmp_path: Path, parts: Parts) -> None:
    good = {part: list(cases) for part, cases in parts.items()}
    spoil(tmp_path, parts)
    found, _ = check(tmp_path, parts, refused=UNLISTED, skip_bad=True)
    assert found == good


def test_what_is_odd_in_the_headers_stands_in_the_report_at_the_end_too(tmp_path: Path, parts: Parts) -> None:
    for key, file in parts["training"][0].items():
        image = nib.load(file)
        image.header.set_xyzt_units("micron")
        affine = np.diag([1000.0, 1000, 1000, 1])
        nib.save(nib.Nifti1Image(image.get_fdata(dtype=np.float32), affine, image.header), tmp_path / f"micron_{key}.nii")
        parts["training"][0][key] = str(tmp_path / f"micron_{key}.nii")
    _, report = check(tmp_path, parts)
    assert [entry["status"] for entry in report.entries].count("corrected") == 1
    assert "micrometres" in next(entry["reason"] for entry in report.entries if entry["status"] == "corrected")


@pytest.mark.parametrize("part", ["training", "validation"])
def test_a_part_without_a_good_case_is_refused_even_then(tmp_path: Path, parts: Parts, part: str) -> None:
    parts[part] = [write(tmp_path, "nan", 10, image=np.nan)]
    with pytest.raises(CaseError, match=f"there must be cases for {part}; none is in order"):
        check(tmp_path, parts, skip_bad=True)


def test_a_step_of_the_preprocessing_that_fails_costs_its_case(tmp_path: Path, parts: Parts) -> None:
    found, report = check(tmp_path, parts, FailsOn("b_image.nii.gz"), skip_bad=True)
    assert found == {"training": parts["training"][:1], "validation": parts["validation"]}
    (refused,) = [entry for entry in report.entries if entry["status"] == "refused"]
    assert (refused["file"], refused["rule"]) == (parts["training"][1]["image"], "every step of the preprocessing must succeed")
    assert "out of bounds" in refused["reason"]


class FailsOn(Transform):
    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, data: Mapping[Hashable, Any]) -> Mapping[Hashable, Any]:
        if Path(data["image"].meta["filename_or_obj"]).name == self.name:
            raise IndexError("out of bounds")
        return data


def test_what_passed_is_not_read_again(tmp_path: Path, parts: Parts, reads: list[str]) -> None:
    assert check(tmp_path, parts)[0] == check(tmp_path, parts)[0] == parts
    assert sorted(reads) == ["a_image.nii.gz", "b_image.nii.gz", "c_image.nii.gz"]


def test_what_was_refused_is_read_again(tmp_path: Path, parts: Parts, reads: list[str]) -> None:
    parts["training"].append(write(tmp_path, "nan", 10, image=np.nan))
    for _ in range(2):
        check(tmp_path, parts, skip_bad=True)
    assert (reads.count("nan_image.nii.gz"), len(reads)) == (2, 5)


@pytest.mark.parametrize("key", ["image", "label"])
def test_a_file_that_changed_is_read_again_and_only_that(tmp_path: Path, parts: Parts, reads: list[str], key: str) -> None:
    check(tmp_path, parts)
    reads.clear()
    other = write(tmp_path, "other", 20)
    Path(other[key]).rename(parts["training"][1][key])
    check(tmp_path, parts)
    assert reads == ["b_image.nii.gz"]


def test_other_preprocessing_reads_all_again(tmp_path: Path, parts: Parts, reads: list[str]) -> None:
    check(tmp_path, parts)
    check(tmp_path, parts, maximum=0.9)
    assert len(reads) == 6
    check(tmp_path, parts)
    assert len(reads) == 6


def test_a_file_under_another_name_is_known_by_its_bytes(tmp_path: Path, parts: Parts, reads: list[str]) -> None:
    check(tmp_path, parts)
    reads.clear()
    moved = {key: str(Path(file).rename(tmp_path / f"renamed_{key}.nii.gz")) for key, file in parts["training"][0].items()}
    found, _ = check(tmp_path, parts | {"training": [moved, parts["training"][1]]})
    assert found["training"][0] == moved
    assert reads == []


@pytest.mark.parametrize(
    "content", [b"", b"[1, 2", b'{"a": 1}', b'{"a": ["", [7]]}', b'{"a": ["", ["AAA"]]}', b"[1, null]", b"\xff\xfe", b"7"]
)
def test_a_damaged_memory_is_ignored(tmp_path: Path, parts: Parts, reads: list[str], content: bytes) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "checked.json").write_bytes(content)
    assert check(tmp_path, parts)[0] == parts
    assert len(reads) == 3
    check(tmp_path, parts)
    assert len(reads) == 3


@pytest.mark.parametrize("remembered", [False, True])
def test_the_same_bytes_in_training_and_validation_are_doubted(tmp_path: Path, parts: Parts, remembered: bool) -> None:
    """Public datasets have that; the labels may differ, by two readers."""
    copy = write(tmp_path, "copy", 30)
    Path(copy["image"]).write_bytes(Path(parts["validation"][0]["image"]).read_bytes())
    if remembered:
        check(tmp_path, {"training": [copy], "validation": parts["training"]})
    parts["training"].append(copy)
    found, report = check(tmp_path, parts)
    assert found == parts
    (doubted,) = [entry for entry in report.entries if entry["rule"]]
    assert (doubted["file"], doubted["status"]) == (parts["validation"][0]["image"], "accepted")
    assert copy["image"] in doubted["reason"]
    assert "scores come out too good" in doubted["reason"]


def test_a_copy_of_image_and_label_takes_no_other_case_s_place(tmp_path: Path, parts: Parts) -> None:
    copy = write(tmp_path, "copy", 0)  # of the first case, byte for byte
    bad = write(tmp_path, "nan", 10, image=np.nan)
    parts["training"] += [copy, bad, write(tmp_path, "d", 11)]
    found, _ = check(tmp_path, parts, skip_bad=True)
    assert found == parts | {"training": [case for case in parts["training"] if case is not bad]}


def test_the_labels_of_two_readers_of_one_image_may_both_train(tmp_path: Path, parts: Parts) -> None:
    parts["training"].append(parts["training"][0] | {"label": write(tmp_path, "second", 31)["label"]})
    assert check(tmp_path, parts)[0] == parts


def test_the_preprocessing_is_left_as_it_was(tmp_path: Path, parts: Parts) -> None:
    """By its parameters cached embeddings are known."""
    steps = [Remembers(), ReadCased(1, LABELS), CheckContrastd()]
    listed = {part: Listed(cases, []) for part, cases in parts.items()}
    check_training(listed, 1, steps, CaseReport(tmp_path / "out"), tmp_path / "out" / "checked.json")
    assert steps[0].seen == 0


class Remembers(Transform):
    seen = 0

    def __call__(self, data: Mapping[Hashable, Any]) -> Mapping[Hashable, Any]:
        self.seen += 1
        return data


def test_without_cases_for_validation_the_report_says_what_that_means(tmp_path: Path, parts: Parts) -> None:
    found, report = check(tmp_path, {**parts, "validation": []})
    assert found == {**parts, "validation": []}
    assert [entry["status"] for entry in report.entries] == ["accepted"] * 2
    assert {entry["rule"] for entry in report.entries} == {"all cases serve training, none validation"}
