"""Labels and dataset.json: what is wrong is said of each case by name, and the others go on."""

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from runs.conftest import Command

from scripts.basics.case import Case, Listed, as_list, file_of
from scripts.data import CaseError, CaseReport, ReadCased, check_headers, check_training, find_images, read_datalist
from scripts.data.cases.find_images import read_references
from scripts.data.onboarding.label_names import name_values
from scripts.data.phantoms import LABELS as NAMES
from scripts.data.phantoms import phantom

from .corpus import IMAGES, write_corpus
from .corpus_case import CORRECTED, REFUSED, WRITTEN
from .datasets import COMMAND, ENTRIES, FILES, GOOD, OTHERS, write_dataset
from .labels import EMPTY, LABEL, LABELS, LabelCase
from .nifti import AFFINE, PLAIN, SHAPE, VOXELS, image, patched, put

SECRETS = ("root:", "/bin/")


def names(listed: Listed) -> set[str]:
    return {Path(file_of(case)).name for case in listed.cases}


def check(folder: Path, case: Case) -> dict[str, Any]:
    """One case as training would look at it: its line in the report."""
    other: Case = {"image": str(folder / "other.nii.gz"), "label": str(folder / "other_label.nii.gz")}
    put(image((VOXELS + 1).astype(np.int16)).to_bytes())(Path(other["image"]))
    put(image(LABEL).to_bytes())(Path(other["label"]))
    report = CaseReport(folder / "report")
    cases = {"training": Listed([case], []), "validation": Listed([other], [])}
    refused = False
    try:
        check_training(cases, 1, [ReadCased(1, NAMES)], report, folder / "checked.json", skip_bad=False)
    except CaseError as error:
        assert "1 of 2 are refused" in str(error)
        refused = True
    (entry,) = [entry for entry in report.entries if entry["file"] == case["image"]]
    assert (entry["status"] == "refused") == refused
    return entry


@pytest.mark.parametrize("case", LABELS, ids=lambda case: case.name)
def test_a_label_is_read_turned_or_refused_by_name(tmp_path: Path, case: LabelCase) -> None:
    files: Case = {"image": str(tmp_path / "image.nii.gz"), "label": str(tmp_path / "label.nii.gz")}
    put(PLAIN)(Path(files["image"]))
    case.write(Path(files["label"]))
    entry = check(tmp_path, files)
    assert entry["status"] == {REFUSED: "refused", CORRECTED: "corrected"}.get(case.outcome, "accepted")
    if case.outcome == REFUSED:
        assert case.rule in entry["rule"]
        assert files["label"] in entry["reason"]
    else:
        assert case.rule in (entry["rule"] or "")
        assert np.array_equal(ReadCased(1, NAMES)(files)["label"][0].numpy(), LABEL)


@pytest.mark.parametrize("case", LABELS, ids=lambda case: case.name)
def test_evaluation_refuses_the_same_labels_but_empty_ones(tmp_path: Path, case: LabelCase) -> None:
    files = {"image": str(tmp_path / "image.nii.gz"), "reference": str(tmp_path / "label.nii.gz")}
    put(PLAIN)(Path(files["image"]))
    case.write(Path(files["reference"]))
    if case.outcome == REFUSED and case.name != EMPTY:
        with pytest.raises(CaseError, match=case.rule) as caught:
            ReadCased(1, NAMES)(files)
        assert caught.value.file == files["reference"]
    else:
        expected = np.zeros_like(LABEL) if case.name == EMPTY else LABEL
        assert np.array_equal(ReadCased(1, NAMES)(files)["reference"][0].numpy(), expected)


@pytest.mark.parametrize(
    ("second", "rule"),
    [
        (image(VOXELS, AFFINE @ np.diag([1, 1, 1.1, 1])), "on one grid"),
        (image(VOXELS[:-1]), "on one grid"),
        (image(VOXELS, AFFINE @ np.diag([-1, 1, 1, 1])), "on one grid"),
        (image(np.stack([VOXELS, VOXELS], -1)), "expects 2 modalities"),
        (None, "expects 2 modalities"),
    ],
    ids=["other_spacing", "other_shape", "mirrored", "three_in_all", "one_in_all"],
)
def test_modalities_that_do_not_belong_together_are_refused(tmp_path: Path, second: nib.Nifti1Image | None, rule: str) -> None:
    put(PLAIN)(tmp_path / "first.nii.gz")
    files = [str(tmp_path / "first.nii.gz")]
    if second is not None:
        put(second.to_bytes())(tmp_path / "second.nii.gz")
        files.append(str(tmp_path / "second.nii.gz"))
    report = CaseReport(tmp_path / "report")
    assert check_headers(Listed([{"image": files}], []), 2, report) == []
    (entry,) = report.entries
    assert entry["file"] == files[0]
    assert rule in entry["rule"]


@pytest.mark.parametrize("name", FILES)
def test_what_is_no_dataset_is_refused_in_one_sentence(tmp_path: Path, name: str) -> None:
    content, words = FILES[name]
    folder = write_dataset(tmp_path / "data", content)
    with pytest.raises(CaseError) as caught:
        read_datalist(folder)
    assert words in str(caught.value)
    assert str(folder / "dataset.json") in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize("content", [b"\xef\xbb\xbf" + json.dumps({"training": [GOOD, *OTHERS], "x": None}).encode()])
def test_a_byte_order_mark_and_unknown_keys_do_no_harm(tmp_path: Path, content: bytes) -> None:
    found = read_datalist(write_dataset(tmp_path / "data", content))
    assert names(found["training"]) | names(found["validation"]) == {f"{name}.nii.gz" for name in "abcd"}


@pytest.mark.parametrize("name", ENTRIES)
def test_a_bad_entry_costs_itself_alone(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    entry, rule = ENTRIES[name]
    folder = write_dataset(tmp_path / "data", {"training": [GOOD, OTHERS[0], entry], "validation": OTHERS[1:]})
    monkeypatch.chdir(tmp_path)
    found = read_datalist(folder)
    assert (names(found["training"]), names(found["validation"])) == ({"a.nii.gz", "b.nii.gz"}, {"c.nii.gz", "d.nii.gz"})
    report = CaseReport(tmp_path / "report")
    check_headers(found["training"], 1, report)
    (line,) = [line for line in report.entries if line["status"] == "refused"]
    assert rule in line["rule"]
    assert not any(word in json.dumps(line) for word in SECRETS)
    assert not list(tmp_path.rglob("pwned"))


@pytest.mark.parametrize("name", [name for name in ENTRIES if "label" not in name and name != "an_image_alone"])
def test_inference_on_a_list_leaves_out_the_same_entries(tmp_path: Path, name: str) -> None:
    entry, rule = ENTRIES[name]
    folder = write_dataset(tmp_path / "data", {"test": [GOOD, "./images/b.nii.gz", entry]})
    report = CaseReport(tmp_path / "report")
    good = check_headers(find_images(folder / "dataset.json", tmp_path / "report"), 1, report)
    assert [case["name"] for case in good] == ["a_seg", "b_seg"]
    (line,) = report.entries
    assert rule in line["rule"]


def test_a_case_of_training_and_validation_serves_validation_alone(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "data", {"training": [GOOD, *OTHERS], "validation": [OTHERS[2]]})
    found = read_datalist(folder)
    assert names(found["training"]) == {"a.nii.gz", "b.nii.gz", "c.nii.gz"}
    ((case, error),) = found["training"].refused
    assert (Path(file_of(case)).name, error.rule) == ("d.nii.gz", "training and validation must not share images")


SHARED = "training and validation should not share images"


def doubts(folder: Path, **parts: list[Case]) -> dict[str, str]:
    """Name -> rule, of the cases that are noted by the check before training."""
    report = CaseReport(folder / "report")
    listed = {part: Listed(cases, []) for part, cases in parts.items()}
    channels = len(as_list(parts["training"][0]["image"]))
    check_training(listed, channels, [ReadCased(channels, NAMES)], report, folder / "checked.json")
    return {entry["file"]: entry["rule"] for entry in report.entries if entry["rule"]}


def scan(folder: Path, name: str, image_data: bytes, label_data: bytes | None = None) -> Case:
    """By default the label has bytes of its own, but the voxels of all others."""
    case: Case = {"image": str(folder / f"{name}.nii"), "label": str(folder / f"{name}_label.nii")}
    Path(case["image"]).write_bytes(image_data)
    Path(case["label"]).write_bytes(label_data or image(LABEL).to_bytes() + name.encode())
    return case


COPIES: dict[str, bytes] = {
    "copied": PLAIN,
    "anonymised": patched(PLAIN, descrip=b"anonymous"),
    "in_eight_bits": image(np.rint(VOXELS * (255 / VOXELS.max())).astype(np.uint8)).to_bytes(),
    "scaled_by_a_tenth": patched(image((VOXELS * 10).astype(np.int32)).to_bytes(), scl_slope=0.1, scl_inter=-3),
    "moved": image(affine=AFFINE + np.outer([30, 0, 0, 0], [0, 0, 0, 1])).to_bytes(),
}


@pytest.mark.parametrize("name", COPIES)
def test_one_scan_saved_twice_is_known_on_the_other_side(tmp_path: Path, name: str) -> None:
    label = image(LABEL, nib.Nifti1Image.from_bytes(COPIES[name]).affine).to_bytes()
    copy = scan(tmp_path, "copy", COPIES[name], label)
    assert doubts(tmp_path, training=[scan(tmp_path, "first", PLAIN)], validation=[copy]) == {copy["image"]: SHARED}


def test_one_scan_saved_in_any_format_is_known_on_the_other_side(tmp_path: Path) -> None:
    stored = [case for case in IMAGES if case.same and case.outcome == WRITTEN and not case.path.startswith("names/")]
    write_corpus(tmp_path / "in", stored)
    first = scan(tmp_path, "first", PLAIN)
    others: list[Case] = [{"image": str(tmp_path / "in" / case.path), "label": first["label"]} for case in stored]
    noted = doubts(tmp_path, training=[first], validation=others)
    assert {file: rule.rpartition("; ")[2] for file, rule in noted.items()} == {file_of(case): SHARED for case in others}
    assert len(others) > 50


OTHER_SCAN, OTHER_LABEL = (volume for volume in phantom(np.random.default_rng(21), SHAPE))


def test_scans_that_differ_are_not_in_doubt(tmp_path: Path) -> None:
    other = scan(tmp_path, "other", image(OTHER_SCAN).to_bytes(), image(OTHER_LABEL).to_bytes())
    again = scan(tmp_path, "again", PLAIN)  # two labels of one scan, by two readers, may both train
    assert doubts(tmp_path, training=[scan(tmp_path, "first", PLAIN), again], validation=[other]) == {}


def test_a_doubt_of_a_training_run_is_in_its_report_and_its_log(bundle_run: Command, tmp_path: Path) -> None:
    """And training goes on."""
    folder = write_dataset(tmp_path / "data", {"training": [GOOD, OTHERS[0]], "validation": [OTHERS[1]]})
    other = nib.Nifti1Image(OTHER_SCAN.astype(np.int16), AFFINE)
    nib.save(other, folder / "images" / "a.nii.gz")
    result = bundle_run("training", ["train.json"], dataset_dir=folder, output_dir=tmp_path / "run", max_epochs=1)
    entries = {Path(entry["file"]).name: entry for entry in json.loads((tmp_path / "run" / "report.json").read_text())}
    assert {name: entry["status"] for name, entry in entries.items()} == dict.fromkeys(entries, "accepted")
    assert SHARED in entries["c.nii.gz"]["rule"]
    assert f"it shows the same as {folder}/images/b.nii.gz, which is in training" in entries["c.nii.gz"]["reason"]
    assert f"{folder}/images/c.nii.gz: {SHARED}" in result.stdout + result.stderr
    assert entries["a.nii.gz"]["rule"] is None
    assert (tmp_path / "run" / "model.pt").exists()


def test_a_label_that_was_copied_for_another_image_is_in_doubt(tmp_path: Path) -> None:
    other = scan(tmp_path, "other", image(OTHER_SCAN).to_bytes())
    third = scan(tmp_path, "third", image(OTHER_SCAN[::-1]).to_bytes(), image(OTHER_LABEL).to_bytes())
    noted = doubts(tmp_path, training=[scan(tmp_path, "first", PLAIN), other], validation=[third])
    assert noted == {other["image"]: "each image should have a label of its own"}


def test_a_modality_that_was_copied_for_another_is_in_doubt(tmp_path: Path) -> None:
    cases = [scan(tmp_path, name, PLAIN) for name in ("first", "other")]
    for case, voxels in zip(cases, (VOXELS * 2, OTHER_SCAN), strict=True):
        file = Path(file_of(case)).with_suffix(".t2.nii")
        file.write_bytes(image(voxels).to_bytes())
        case["image"] = [file_of(case), str(file)]
    noted = doubts(tmp_path, training=cases[:1], validation=cases[1:])
    assert noted == {file_of(cases[0]): "the modalities of a case should differ", file_of(cases[1]): SHARED}


def test_a_patient_in_a_list_of_ones_own_and_in_training_is_in_doubt(tmp_path: Path) -> None:
    scans = []
    for seed, name in enumerate(("patient01_a", "patient02_a", "patient02_b", "patient03_b")):
        voxels, label = phantom(np.random.default_rng(seed), SHAPE)
        scans.append(scan(tmp_path, name, image(voxels).to_bytes(), image(label).to_bytes()))
    noted = doubts(tmp_path, training=scans[:2], validation=scans[2:])
    assert noted == {scans[2]["image"]: "training and validation should not share subjects"}


def test_a_class_that_the_preset_does_not_have_costs_its_case_alone(tmp_path: Path) -> None:
    more = np.where((LABEL > 0) & (np.arange(SHAPE[0]) > SHAPE[0] // 2)[:, None, None], len(NAMES), LABEL)
    bad = scan(tmp_path, "bad", image(OTHER_SCAN).to_bytes(), image(more.astype(np.uint8)).to_bytes())
    parts = {
        "training": Listed([scan(tmp_path, "first", PLAIN), bad], []),
        "validation": Listed([scan(tmp_path, "v", PLAIN)], []),
    }
    report = CaseReport(tmp_path / "report")
    good = check_training(parts, 1, [ReadCased(1, NAMES)], report, tmp_path / "checked.json", skip_bad=True)
    assert [Path(file_of(case)).name for case in good["training"]] == ["first.nii"]
    (line,) = [line for line in report.entries if line["status"] == "refused"]
    assert (line["file"], f"found {len(NAMES)}" in line["reason"]) == (bad["image"], True)


def test_a_label_that_is_no_path_does_not_stop_the_search_of_a_folder(tmp_path: Path) -> None:
    entries = [{"image": "x", "label": label} for label in ("\0", "\ud800", 7, None, "../..", 5000 * "e")]
    folder = write_dataset(tmp_path / "data", {"training": [*entries, GOOD]})
    found = names(find_images(folder / "images", tmp_path / "out"))
    assert {f"{name}.nii.gz" for name in "abcde"} <= found
    listed = find_images(folder, tmp_path / "out")
    whole = {Path(file_of(case)).relative_to(folder).as_posix() for case in listed.cases}
    assert "labels/a.nii.gz" not in whole
    assert "images/a.nii.gz" in whole


@pytest.mark.parametrize("name", [COMMAND, "@network", "%labels", "$import os"])
def test_a_label_with_the_name_of_an_expression_gets_into_no_preset(name: str) -> None:
    with pytest.raises(ValueError, match="must not be empty or begin with"):
        name_values({0, 1}, {1: name})


BAD = {"label_fractional": "fractional", "label_mirrored": "mirrored", "label_too_large": "too_large"}


@pytest.fixture(scope="module")
def bad_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four good cases, and one with each of several things wrong."""
    by_name = {case.name: case for case in LABELS}
    bad = [{"image": f"./images/{name}.nii.gz", "label": f"./labels/{name}.nii.gz"} for name in BAD]
    broken = {"image": "./images/cut.nii.gz", "label": "./labels/e.nii.gz"}
    content = {
        "training": [GOOD, *OTHERS[:2], *bad[:2], broken, ENTRIES["up"][0], ENTRIES["an_expression"][0], GOOD],
        "validation": [OTHERS[2], bad[2]],
        "test": [GOOD, *bad, broken, OTHERS[0]],
    }
    folder = write_dataset(tmp_path_factory.mktemp("bad") / "data", content)
    for name, label in BAD.items():
        put(image((VOXELS + len(name)).astype(np.int16)).to_bytes())(folder / "images" / f"{name}.nii.gz")
        by_name[label].write(folder / "labels" / f"{name}.nii.gz")
    (folder / "images" / "cut.nii.gz").write_bytes((folder / "images" / "a.nii.gz").read_bytes()[:1000])
    return folder


WRONG_IN_TRAINING = {*(f"{name}.nii.gz" for name in BAD), "cut.nii.gz", "../outside/e.nii.gz", COMMAND, "a.nii.gz"}


def test_training_does_not_start_and_names_all_that_is_wrong_at_once(
    bundle_run: Command, bad_dataset: Path, tmp_path: Path
) -> None:
    output = tmp_path / "run"
    result = bundle_run("training", ["train.json"], fails=True, cwd=tmp_path, dataset_dir=bad_dataset, output_dir=output)
    refused = [entry for entry in json.loads((output / "report.json").read_text()) if entry["status"] == "refused"]
    assert len(refused) == len(WRONG_IN_TRAINING)
    for name in WRONG_IN_TRAINING:
        assert any(name in f"{entry['file']} {entry['reason']}" for entry in refused), name
        assert name in result.stdout
    assert "--skip-bad" in result.stderr
    assert "Traceback" not in result.stdout + result.stderr
    assert not list(output.glob("*.pt"))
    assert not list(tmp_path.rglob("pwned"))


def test_training_goes_on_with_the_rest_if_it_is_told_to(bundle_run: Command, bad_dataset: Path, tmp_path: Path) -> None:
    options = {"dataset_dir": bad_dataset, "output_dir": tmp_path / "run", "skip_bad": "true", "max_epochs": 1}
    result = bundle_run("training", ["train.json"], cwd=tmp_path, **options)
    assert (tmp_path / "run" / "model.pt").is_file()
    accepted = [entry for entry in json.loads((tmp_path / "run" / "report.json").read_text()) if entry["status"] == "accepted"]
    assert {Path(entry["file"]).name for entry in accepted} == {f"{name}.nii.gz" for name in "abcd"}
    assert "Traceback" not in result.stdout + result.stderr
    assert not list(tmp_path.rglob("pwned"))


def test_evaluation_goes_on_with_the_good_cases(bundle_run: Command, bad_dataset: Path, trained: Path, tmp_path: Path) -> None:
    options = {"dataset_dir": bad_dataset, "part": "test", "output_dir": tmp_path, "checkpoint": trained / "model.pt"}
    result = bundle_run("evaluating", ["train.json", "evaluate.json"], fails=True, **options)
    statuses = {Path(entry["file"]).name: entry["status"] for entry in json.loads((tmp_path / "report.json").read_text())}
    good = {"a.nii.gz", "b.nii.gz"}
    assert statuses == {
        **dict.fromkeys(good, "written"),
        **{f"{name}.nii.gz": "refused" for name in BAD},
        "cut.nii.gz": "refused",
    }
    assert json.loads((tmp_path / "metrics.json").read_text())["cases"] == len(good)
    assert {path.name for path in (tmp_path / "masks").glob("*.nii.gz")} == {"a_seg.nii.gz", "b_seg.nii.gz"}
    assert "Traceback" not in result.stdout + result.stderr
    references = read_references(bad_dataset, "test")
    assert len(references.cases) + len(references.refused) == len(statuses)
