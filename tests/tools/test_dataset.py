"""Own data in three commands: whatever the layout, `dataset` and `preset` write what training accepts."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from conftest import ROOT
from monai.bundle import ConfigParser

from scripts.data import open_image, read_datalist
from scripts.tools import preset
from scripts.tools.preset import proposed_network

from .conftest import Shell, Typed

CASES = 4
PHANTOMS = {f"p{i:02d}": i for i in range(CASES)}
SAGITTAL = np.array([[0, 0, 4.0, 0], [1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 0, 1]])  # stored A, S, R; slices 4 mm apart


def write(path: Path, array: np.ndarray, affine: np.ndarray = SAGITTAL) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, affine), path)


def write_case(images: list[Path], label: Path | None, seed: int, low: float = 0) -> None:
    """A ball of value 3 in a box of value 7, 12 slices of 40 x 24."""
    generator = np.random.default_rng(seed)
    truth = np.zeros((40, 24, 12), np.uint8)
    truth[5:30, 4:20, 2:10] = 7
    truth[10:20, 8:14, 4:8] = 3
    for image in images:
        write(image, (low + 30.0 * truth + generator.normal(100, 5, truth.shape)).astype(np.int16))
    if label:
        write(label, truth)


def nnunet(folder: Path) -> list[str]:
    for name, seed in PHANTOMS.items():
        write_case([folder / f"imagesTr/{name}_000{i}.nii.gz" for i in (0, 1)], folder / f"labelsTr/{name}.nii.gz", seed)
    content = {"channel_names": {"0": "T1", "1": "T2"}, "labels": {"background": 0, "a: b": 3, "no": 7}}
    (folder / "dataset.json").write_text(json.dumps(content | {"numTraining": CASES, "file_ending": ".nii.gz"}))
    return ["--overwrite"]


def bids(folder: Path) -> list[str]:
    for name, seed in PHANTOMS.items():
        images = [folder / f"sub-{name}/anat/sub-{name}_{kind}.nii.gz" for kind in ("FLAIR", "T1w")]
        write_case(images, folder / f"derivatives/labels/sub-{name}/sub-{name}_dseg.nii.gz", seed)
    return ["--label-names", "3=a: b,7=no"]


def beside(folder: Path) -> list[str]:
    for name, seed in PHANTOMS.items():
        write_case([folder / f"Hüfte {name} it's.nii.gz"], folder / f"Hüfte {name} it's_seg.nii.gz", seed, low=-1100)
    return ["--label-names", "3=a: b,7=no"]


def folder_each(folder: Path) -> list[str]:
    for name, seed in PHANTOMS.items():
        write_case([folder / name / "image.nii.gz"], folder / name / "label.nii.gz", seed)
    return ["--label-names", "3=a: b,7=no"]


@pytest.mark.parametrize(
    ("layout", "modalities", "scaling"),
    [
        (nnunet, ["T1", "T2"], "ScaleIntensityRangePercentilesd"),
        (bids, ["FLAIR", "T1w"], "ScaleIntensityRangePercentilesd"),
        (beside, ["unknown"], "ScaleIntensityRanged"),
        (folder_each, ["unknown"], "ScaleIntensityRangePercentilesd"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_folder_becomes_batches_of_a_training(
    tmp_path: Path, typed: Typed, layout: Callable[[Path], list[str]], modalities: list[str], scaling: str
) -> None:
    data, mine = tmp_path / "data", tmp_path / "mine.yaml"
    typed("dataset", data, *layout(data))
    content = json.loads((data / "dataset.json").read_text(encoding="utf-8"))
    assert content["labels"] == {"0": "background", "3": "a: b", "7": "no"}
    assert list(content["modality"].values()) == modalities
    assert {part: len(listed.cases) for part, listed in read_datalist(data).items()} == {"training": 3, "validation": 1}

    printed = typed("preset", data, "--output", mine)
    assert str(mine) in printed
    config = ConfigParser()
    config.read_config([str(ROOT / "configs" / "train.json"), str(mine)])
    config["dataset_dir"], config["bundle_root"], config["output_dir"] = str(data), str(ROOT), str(tmp_path / "run")
    assert config["labels"] == content["labels"]
    assert (config["axcodes"], config["spatial_size"], config["roi_depth"]) == ("ASR", [112, 64], 12)
    assert config["intensity"]["_target_"] == scaling
    case = config.get_parsed_content("train#preprocessing")(read_datalist(data)["training"].cases[0])[0]
    assert case["image"].shape == (len(modalities), 112, 64, 12)
    assert case["label"].shape == (1, 112, 64, 12)
    assert 0 < float(case["image"].mean()) < 1


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder_each(tmp_path / "data")
    return tmp_path / "data"


def test_a_second_run_gives_the_same_file_and_keeps_names_given_before(data: Path, typed: Typed) -> None:
    typed("dataset", data, "--label-names", "3=ball")
    first = (data / "dataset.json").read_text()
    assert "give --overwrite" in typed("dataset", data, fails=True)
    typed("dataset", data, "--overwrite")
    assert (data / "dataset.json").read_text() == first
    assert {path.name for path in data.glob("*.json")} == {"dataset.json"}


def test_a_dataset_json_of_other_origin_is_kept_beside(data: Path, typed: Typed) -> None:
    foreign = '{"labels": {"0": "background", "3": "ball", "7": "box"}, "modality": {"0": "CT"}}'
    (data / "dataset.json").write_text(foreign)
    message = typed("dataset", data, fails=True)
    assert "--overwrite" in message
    assert (data / "dataset.json").read_text() == foreign
    typed("dataset", data, "--overwrite")
    assert (data / "dataset_original.json").read_text() == foreign
    content = json.loads((data / "dataset.json").read_text())
    assert (content["labels"]["7"], content["modality"]) == ("box", {"0": "CT"})
    (data / "dataset.json").write_text(foreign)
    assert "move one of them away" in typed("dataset", data, "--overwrite", fails=True)


def test_all_problems_are_listed_at_once_and_nothing_is_written(data: Path, typed: Typed) -> None:
    (data / "p00" / "image.nii.gz").unlink()
    (data / "p01" / "label.nii.gz").write_bytes(b"junk")
    write(data / "p02" / "label.nii.gz", np.full((40, 24, 12), 0.5, np.float32))
    shutil.copy(data / "p03" / "label.nii.gz", data / "p03" / "mask.nii.gz")
    lines = [line.strip() for line in typed("dataset", data, fails=True).splitlines()]
    assert [name for name in PHANTOMS if any(f"/{name}/" in line for line in lines)] == list(PHANTOMS)
    assert "4 problems" in lines
    assert "nothing was written" in lines
    assert not (data / "dataset.json").exists()


def test_images_and_labels_in_two_places_meet_in_their_common_folder(tmp_path: Path, typed: Typed) -> None:
    for name, seed in PHANTOMS.items():
        write_case([tmp_path / f"data/scans/{name}.nii.gz"], tmp_path / f"data/by hand/{name}.nii.gz", seed)
    typed("dataset", tmp_path / "data/scans", "--labels", tmp_path / "data/by hand")
    assert len(read_datalist(tmp_path / "data")["training"].cases) == 3
    words = (tmp_path / "data/scans", "--labels", tmp_path / "data/by hand", "--output", tmp_path / "data/scans")
    assert "must lie in a folder that holds all" in typed("dataset", *words, fails=True)


def test_one_file_may_hold_all_channels(tmp_path: Path, typed: Typed) -> None:
    for name, seed in PHANTOMS.items():
        write_case([], tmp_path / f"labelsTr/{name}.nii.gz", seed)
        channels = np.random.default_rng(seed).normal(100, 5, (40, 24, 12, 2)).astype(np.int16)
        write(tmp_path / f"imagesTr/{name}.nii.gz", channels)
    (tmp_path / "dataset.json").write_text('{"modality": {"0": "FLAIR", "1": "T1w"}}')
    typed("dataset", tmp_path, "--overwrite")
    assert "modalities: 2                 # FLAIR, T1w" in typed("preset", tmp_path, "--output", tmp_path / "mine.yaml")


def test_the_subject_may_be_told(data: Path, typed: Typed) -> None:
    out = typed("dataset", data, "--subject", r"p(\d)", "--overwrite", fails=True)
    assert "4 of 0" in out  # all four are of subject 0
    typed("dataset", data, "--subject", r"p0(\d)")
    assert read_datalist(data)["validation"].cases[0]["subject"] in "0123"
    assert "has no group" in typed("dataset", data, "--subject", "p0", fails=True)


@pytest.mark.parametrize("names", ["3=$import os", "3=same,7=same", "three=ball", "3="])
def test_names_that_cannot_serve_are_refused(data: Path, typed: Typed, names: str) -> None:
    assert "name" in typed("dataset", data, "--label-names", names, fails=True)
    assert not (data / "dataset.json").exists()


def test_images_without_a_label_are_for_testing_and_said(data: Path, typed: Typed) -> None:
    write_case([data / "p09" / "image.nii.gz"], None, 9)
    assert "test            1 cases, images without a label" in typed("dataset", data)
    assert json.loads((data / "dataset.json").read_text())["test"] == [{"image": "./p09/image.nii.gz"}]


def test_a_preset_that_is_there_is_not_overwritten_and_bad_cases_are_all_named(data: Path, typed: Typed) -> None:
    typed("dataset", data)
    mine = data / "mine.yaml"
    mine.write_text("edited: true\n")
    assert "choose another --output" in typed("preset", data, "--output", mine, fails=True)
    assert mine.read_text() == "edited: true\n"
    training = [Path(case["image"]) for case in read_datalist(data)["training"].cases]
    for image in training[:2]:
        image.write_bytes(b"junk")
    message = typed("preset", data, "--output", data / "other.yaml", fails=True)
    assert all(str(image) in message for image in training[:2])
    assert not (data / "other.yaml").exists()


def test_the_network_that_is_proposed_needs_no_weights_that_are_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preset, "BUNDLE_ROOT", tmp_path)
    assert proposed_network()[0] == "detail+no_encoder"
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "sam_vit_b_01ec64.pth").touch()
    assert proposed_network()[0] == "detail"


def test_each_command_names_the_next_one_ready_to_copy(data: Path, warm: Shell) -> None:
    first = warm("sam3d dataset data", cwd=data.parent).stdout.splitlines()[-1].strip()
    assert first == "sam3d preset data"
    second = warm(first, cwd=data.parent).stdout.splitlines()[-1].strip()
    network, _ = proposed_network()
    assert second == f"sam3d train data --preset mine.yaml --network {network} --cached"
    line = warm(f"{second} --dry-run", cwd=data.parent).stdout
    assert f"{data.parent / 'mine.yaml'}'] --bundle_root" in line.replace('"', "")
    assert f"--dataset_dir {data} --output_dir {data.parent / 'runs' / 'mine'}" in line


def test_what_nnunet_ignores_is_ignored(data: Path, typed: Typed) -> None:
    (data / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "ball": 3, "ignore": 7}}))
    assert "0 background, 3 ball, 7 ignore" in typed("dataset", data, "--overwrite")
    text = typed("preset", data, "--output", data / "mine.yaml")
    proposed = ConfigParser.load_config_file(str(data / "mine.yaml"))
    assert (proposed["labels"], proposed["ignore_label"]) == ({"0": "background", "3": "ball"}, [7])
    assert "ignore_label: [7]" in text
    listed = read_datalist(data, labels=proposed["labels"], ignore_label=proposed["ignore_label"])
    assert all(part.cases and not part.refused for part in listed.values())


def test_regions_of_nnunet_are_refused_until_the_values_are_named(data: Path, typed: Typed) -> None:
    (data / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "ball": 3, "all": [3, 7]}}))
    assert "a region" in typed("dataset", data, "--overwrite", fails=True)
    assert not (data / "dataset_original.json").exists()
    typed("dataset", data, "--overwrite", "--label-names", "3=ball,7=box")
    assert json.loads((data / "dataset.json").read_text())["labels"]["7"] == "box"


def test_patterns_say_what_names_do_not(tmp_path: Path, typed: Typed) -> None:
    for name, seed in PHANTOMS.items():
        write_case([tmp_path / f"x/{name}_{kind}.nii.gz" for kind in ("a", "b")], tmp_path / f"y/{name}0q.nii.gz", seed)
    words = ("--image", "x/{case}_b.nii.gz", "--image", "x/{case}_a.nii.gz", "--label", "y/{case}*")
    printed = typed("dataset", tmp_path, *words)
    assert "channels    b, a" in printed
    content = json.loads((tmp_path / "dataset.json").read_text())
    first = {"image": ["./x/p00_b.nii.gz", "./x/p00_a.nii.gz"], "label": "./y/p000q.nii.gz", "subject": "p00"}
    assert first in content["training"] + content["validation"]
    assert "must hold {case}" in typed("dataset", tmp_path, "--image", "x/*", "--label", "y/{case}*", fails=True)
    assert "go together" in typed("dataset", tmp_path, *words[:2], fails=True)
    nothing = ("--image", "z/{case}", "--label", "y/{case}*")
    assert "a label must have an image" in typed("dataset", tmp_path, "--overwrite", *nothing, fails=True)
    assert "none matches z/{case}" in typed("dataset", tmp_path, "--overwrite", *nothing[:3], "q/{case}", fails=True)


def test_a_folder_that_may_not_be_written_to_is_used_from_elsewhere(data: Path, tmp_path: Path, typed: Typed) -> None:
    before = sorted(data.rglob("*"))
    typed("dataset", data, "--dataset-json", tmp_path / "work" / "dataset.json")
    assert sorted(data.rglob("*")) == before
    cases = read_datalist(tmp_path / "work")["training"].cases
    assert len(cases) == 3
    assert all(Path(case["image"]).is_relative_to(data) for case in cases)
    typed("preset", tmp_path / "work", "--output", tmp_path / "mine.yaml")
    assert "must be called dataset.json" in typed("dataset", data, "--dataset-json", tmp_path / "a.json", fails=True)


def test_a_dataset_json_elsewhere_reaches_no_file_outside_its_data(data: Path, tmp_path: Path) -> None:
    entries = [{"image": f"./{name}/image.nii.gz", "label": f"./{name}/label.nii.gz"} for name in PHANTOMS]
    shutil.copy(data / "p00" / "image.nii.gz", tmp_path / "outside.nii.gz")
    entries[0]["image"] = "../outside.nii.gz"
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "dataset.json").write_text(json.dumps({"data": str(data), "training": entries}))
    ((_, error),) = read_datalist(tmp_path / "work")["training"].refused
    assert "must lie inside" in str(error)


def test_merged_labels_of_a_failed_run_and_those_of_others_are_not_left_or_taken(tmp_path: Path, typed: Typed) -> None:
    for name, seed in PHANTOMS.items():
        write_case([tmp_path / f"{name}/ct.nii.gz"], None, seed)
        for k, organ in enumerate(("liver", "spleen")):
            mask = np.zeros((40, 24, 12), np.uint8)
            mask[10 * k : 10 * k + 12] = 1
            write(tmp_path / f"{name}/segmentations/{organ}.nii.gz", mask)
    whole = (tmp_path / "p03/segmentations/spleen.nii.gz").read_bytes()
    (tmp_path / "p03/segmentations/spleen.nii.gz").write_bytes(whole[:-20])
    assert "spleen.nii.gz" in typed("dataset", tmp_path, fails=True)
    assert not (tmp_path / "labels_merged").exists()
    (tmp_path / "p03/segmentations/spleen.nii.gz").write_bytes(whole)
    printed = typed("dataset", tmp_path)
    assert "labels      0 background, 1 liver, 2 spleen" in printed
    assert "overlap in 2304 voxels" in printed
    typed("dataset", tmp_path, "--overwrite")
    (tmp_path / "dataset.json").unlink()
    assert "move it away" in typed("dataset", tmp_path, fails=True)


def slicer(path: Path, truth: np.ndarray, segments: dict[str, int]) -> None:
    image = sitk.GetImageFromArray(truth.T)
    for k, (name, value) in enumerate(segments.items()):
        image.SetMetaData(f"Segment{k}_Name", name)
        image.SetMetaData(f"Segment{k}_LabelValue", str(value))
    sitk.WriteImage(image, path)


@pytest.mark.parametrize("swapped", [False, True])
def test_segments_of_slicer_are_known_by_name_whatever_their_values(tmp_path: Path, typed: Typed, swapped: bool) -> None:
    for name, seed in PHANTOMS.items():
        write_case([tmp_path / f"{name}.nii.gz"], None, seed)
        image = nib.load(tmp_path / f"{name}.nii.gz")
        write(tmp_path / f"{name}.nii.gz", np.asanyarray(image.dataobj), np.diag([-1.0, -1.0, 1.0, 1.0]))
        truth = np.zeros((40, 24, 12), np.uint8)
        truth[5:20], truth[20:30] = (2, 1) if swapped and seed else (1, 2)
        slicer(tmp_path / f"{name}.seg.nrrd", truth, {"liver": truth[5, 0, 0], "spleen": truth[20, 0, 0]})
    assert "labels      0 background, 1 liver, 2 spleen" in typed("dataset", tmp_path)
    for case in json.loads((tmp_path / "dataset.json").read_text())["training"]:
        label = open_image(str(tmp_path / case["label"])).read()[0]
        assert (set(np.unique(label[5:20])), set(np.unique(label[20:30]))) == ({1}, {2})


def test_links_that_stay_inside_are_followed_and_count_once(tmp_path: Path, typed: Typed) -> None:
    folder_each(tmp_path / "store")
    for kind in ("image", "label"):
        (tmp_path / f"{kind}s").mkdir()
        for name in PHANTOMS:
            (tmp_path / f"{kind}s/{name}.nii.gz").symlink_to(f"../store/{name}/{kind}.nii.gz")
    (tmp_path / "images" / "around").symlink_to("..")
    typed("dataset", tmp_path)
    content = json.loads((tmp_path / "dataset.json").read_text())
    assert {case["image"] for case in content["training"] + content["validation"]} == {
        f"./images/{name}.nii.gz" for name in PHANTOMS
    }


def test_folds_of_a_list_are_kept(data: Path, typed: Typed) -> None:
    entries = [
        {"fold": i % 2, "image": f"{name}/image.nii.gz", "label": f"{name}/label.nii.gz"} for i, name in enumerate(PHANTOMS)
    ]
    (data / "folds.json").write_text(json.dumps({"training": entries}))
    assert "fold 0 is taken for validation" in typed("dataset", data)
    content = json.loads((data / "dataset.json").read_text())
    assert [case["image"] for case in content["validation"]] == ["./p00/image.nii.gz", "./p02/image.nii.gz"]


def test_one_patient_is_never_on_both_sides_and_the_subjects_are_shown(tmp_path: Path, typed: Typed) -> None:
    for i in range(1, 5):
        for visit in (1, 2):
            folder = tmp_path / f"patient_{i}/visit_{visit}"
            write_case([folder / "image.nii.gz"], folder / "label.nii.gz", 10 * i + visit)
    printed = typed("dataset", tmp_path)
    assert "subjects    patient_" in printed
    content = json.loads((tmp_path / "dataset.json").read_text())
    sides = [{case["image"].split("/")[1] for case in content[part]} for part in ("training", "validation")]
    assert [len(side) for side in sides] == [3, 1]
    assert not sides[0] & sides[1]
