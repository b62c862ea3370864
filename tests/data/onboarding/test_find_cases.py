"""Images and labels in any of the usual layouts -> each image with its label; or all that is wrong, by file."""

from pathlib import Path

import pytest

from scripts.data.onboarding.find_cases import FoundCases, find_cases

LAYOUTS = {
    "decathlon": (["imagesTr/a.nii.gz", "imagesTs/b.nii.gz"], ["labelsTr/a.nii.gz"]),
    "two folders": (["images/a.nii.gz", "images/b.nii.gz"], ["masks/a.nii.gz"]),
    "two folders, suffix": (["images/a.nii.gz", "images/b.nii.gz"], ["segmentations/a_seg.nii.gz"]),
    "two folders, prefixes": (["images/img01.nii.gz", "images/img02.nii.gz"], ["labels/label01.nii.gz"]),
    "two folders, words in all names": (["images/mask_1.nii.gz", "images/mask_2.nii.gz"], ["labels/mask_1.nii.gz"]),
    "two formats": (["images/a.nrrd", "images/b.nrrd"], ["labels/a.nii.gz"]),
    "beside, _seg": (["a.nii.gz", "b.nii.gz"], ["a_seg.nii.gz"]),
    "beside, -seg": (["a.nii", "b.nii"], ["a-seg.nii"]),
    "beside, _gt": (["p01/p01_frame01.nii", "p01/p01_frame12.nii"], ["p01/p01_frame01_gt.nii"]),
    "beside, prefix": (["volume-0.nii", "volume-1.nii"], ["segmentation-0.nii"]),
    "a folder each": (["case_1/image.nii.gz", "case_2/image.nii.gz"], ["case_1/label.nii.gz"]),
    "a folder each, other names": (["case_1/ct.nii.gz", "case_2/ct.nii.gz"], ["case_1/seg.nii.gz"]),
    "a folder each, named in it": (["case_1/case_1.nii.gz", "case_2/case_2.nii.gz"], ["case_1/case_1_mask.nii.gz"]),
    "parts as folders": (["train/images/a.nii", "test/images/a.nii"], ["train/labels/a.nii"]),
    "bids": (
        ["sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz", "sub-02/ses-1/anat/sub-02_ses-1_T1w.nii.gz"],
        ["derivatives/lesions/sub-01/ses-1/sub-01_ses-1_space-T1w_desc-lesion_mask.nii.gz"],
    ),
    "bids in derivatives/labels": (
        ["sub-01/anat/sub-01_T2w.nii", "sub-02/anat/sub-02_T2w.nii"],
        ["derivatives/labels/sub-01/anat/sub-01_T2w_seg.nii"],
    ),
    "names of BIDS alone": (["images/sub-01.nii", "images/sub-02.nii"], ["labels/sub-01.nii"]),
    "unusual names": (["images/Hüfte 'x' \"y\".nii", "images/片.nii"], ["labels/Hüfte 'x' \"y\".nii"]),
}


def touch(folder: Path, *files: str) -> None:
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()


def find(folder: Path, *files: str, labels: Path | None = None, channels: tuple[str, ...] = ()) -> FoundCases:
    touch(folder, *files)
    return find_cases(folder, labels, folder, channels)


def summary(found: FoundCases, folder: Path) -> list[tuple[str, list[str], str | None]]:
    assert not found.problems

    def below(path: Path) -> str:
        return path.relative_to(folder).as_posix()

    return sorted((case.part, [*map(below, case.images)], case.label and below(case.label)) for case in found.cases)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_usual_layout_is_understood_and_an_image_without_label_is_for_testing(tmp_path: Path, layout: str) -> None:
    (first, second), (label,) = LAYOUTS[layout]
    found = find(tmp_path, first, second, label)
    assert summary(found, tmp_path) == [("test", [second], None), ("training", [first], label)]
    assert not found.left_out


@pytest.mark.parametrize(
    ("pattern", "label", "channels"),
    [
        ("imagesTr/{}_000{}.nii.gz", "labelsTr/{}.nii.gz", ["0", "1"]),
        ("{0}/{0}_{1}.nii.gz", "{0}/{0}_seg.nii.gz", ["flair", "t1ce"]),
        ("{}/{}.nii.gz", "{}/seg.nii.gz", ["T1", "t2"]),
        ("sub-{0}/anat/sub-{0}_{1}.nii.gz", "derivatives/x/sub-{0}/sub-{0}_dseg.nii.gz", ["FLAIR", "T1w", "T2w"]),
    ],
    ids=["nnU-Net", "BraTS", "a folder each", "BIDS"],
)
def test_the_files_of_a_case_are_its_channels_in_one_order(
    tmp_path: Path, pattern: str, label: str, channels: list[str]
) -> None:
    cases = {name: [pattern.format(name, channel) for channel in channels] for name in ("a", "a1", "b")}
    found = find(tmp_path, *(file for files in cases.values() for file in files), label.format("a"), label.format("b"))
    assert [case[1:] for case in summary(found, tmp_path)] == [
        (cases["a1"], None),
        (cases["a"], label.format("a")),
        (cases["b"], label.format("b")),
    ]
    assert [name[-len(channel) :] for name, channel in zip(found.channels, channels, strict=True)] == channels


def test_channels_may_be_chosen_and_ordered(tmp_path: Path) -> None:
    files = [f"sub-{i}/anat/sub-{i}_{kind}.nii" for i in (1, 2) for kind in ("T1w", "T2w", "FLAIR")][:-1]  # the last one lacks
    labels = [f"derivatives/sub-{i}_dseg.nii" for i in (1, 2)]
    found = find(tmp_path, *files, *labels, channels=("T2w", "T1w"))
    assert [images for _, images, _ in summary(found, tmp_path)] == [[files[1], files[0]], [files[4], files[3]]]
    assert found.left_out == [tmp_path / files[2]]


def test_labels_may_lie_in_a_folder_of_any_name(tmp_path: Path) -> None:
    touch(tmp_path, "scans/a.nii", "scans/b.nii", "by hand/a.nii", "by hand/b.nii")
    found = find_cases(tmp_path / "scans", tmp_path / "by hand", tmp_path)
    assert summary(found, tmp_path) == [("training", [f"scans/{x}.nii"], f"by hand/{x}.nii") for x in "ab"]


def test_folders_that_say_validation_or_test_are_believed(tmp_path: Path) -> None:
    files = [f"{part}/{kind}/a.nii" for part in ("train", "val", "test") for kind in ("images", "labels")]
    assert [part for part, *_ in summary(find(tmp_path, *files), tmp_path)] == ["test", "training", "validation"]


@pytest.mark.parametrize(
    ("files", "named"),
    [
        (["labels/lost.nii"], "labels/lost.nii: a label must have an image"),
        (["labels/a_seg.nii"], "labels/a_seg.nii"),
        (["images/A.nii"], "images/A.nii"),
        (["images/a.nii.gz"], "images/a.nii.gz"),
    ],
    ids=["label without image", "two labels", "two images but for case", "two images in two formats"],
)
def test_what_does_not_fit_is_named(tmp_path: Path, files: list[str], named: str) -> None:
    found = find(tmp_path, "images/a.nii", "labels/a.nii", "images/b.nii", "labels/b.nii", *files)
    (problem,) = found.problems
    assert named in str(problem)
    assert problem.remedy


def test_a_missing_and_a_surplus_channel_are_named(tmp_path: Path) -> None:
    files = [f"imagesTr/c{i}_000{j}.nii" for i in range(4) for j in range(2)]
    labels = [f"labelsTr/c{i}.nii" for i in range(4)]
    found = find(tmp_path, *files[1:], *labels, "imagesTr/c2_0002.nii", "imagesTs/t_0001.nii")
    messages = sorted(map(str, found.problems))
    assert [message.split(": ")[0].removeprefix(f"{tmp_path}/") for message in messages] == [
        "imagesTr/c2_0002.nii",
        "labelsTr/c0.nii",
    ]
    assert "0000 is missing" in messages[1]
    assert found.left_out == [tmp_path / "imagesTs/t_0001.nii"]  # without a label it holds up nobody


def test_all_problems_are_found_at_once(tmp_path: Path) -> None:
    found = find(tmp_path, "images/a.nii", *(f"labels/{name}.nii" for name in "abcd"))
    assert {problem.file for problem in found.problems} == {str(tmp_path / f"labels/{name}.nii") for name in "bcd"}


@pytest.mark.parametrize("link", ["images/b.nii", "images/more"])
def test_what_lies_outside_behind_a_link_is_refused(tmp_path: Path, link: str) -> None:
    touch(tmp_path / "data", "images/a.nii", "labels/a.nii")
    touch(tmp_path, "outside/b.nii")
    target = tmp_path / "outside" / ("b.nii" if link.endswith(".nii") else "")
    (tmp_path / "data" / link).symlink_to(target)
    (problem,) = find(tmp_path / "data").problems
    assert problem.file == str(tmp_path / "data" / link)
    assert str(target) in problem.found


def test_images_without_any_label_are_said_to_be_so(tmp_path: Path) -> None:
    (problem,) = find(tmp_path, "a.nii", "b.nii").problems
    assert "--labels" in str(problem)


def test_hidden_and_other_files_are_no_images(tmp_path: Path) -> None:
    files = ["images/._a.nii", ".git/b.nii", "images/a.json", "labels/README.md"]
    assert len(find(tmp_path, "images/a.nii", "labels/a.nii", *files).cases) == 1


def test_of_images_in_two_files_the_headers_are_paired(tmp_path: Path) -> None:
    files = ["images/a.mhd", "images/b.nhdr", "images/c.hdr", "images/a.raw", "images/b.raw", "images/c.img", "images/map.hdr"]
    found = find(tmp_path, *files, "labels/a.mhd", "labels/b.nhdr", "labels/c.nii.gz", "labels/a.raw", "labels/b.raw")
    assert summary(found, tmp_path) == [
        ("training", ["images/a.mhd"], "labels/a.mhd"),
        ("training", ["images/b.nhdr"], "labels/b.nhdr"),
        ("training", ["images/c.hdr"], "labels/c.nii.gz"),
    ]
    assert found.left_out == []
