"""A mask counts as done only while it, its image, the checkpoint and the configuration are what they were."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from conftest import NARROW
from dicom_phantom import write_series
from raw_nifti import write_nifti

from scripts.data import CaseError, MaskRecords
from scripts.data.cases.open_case import open_case
from scripts.files.checkpoint_file import weights_digest, write_checkpoint
from scripts.networks import SAM3D, SAMSliceEncoder

CPU = torch.device("cpu")
SLICEWISE = SAM3D(SAMSliceEncoder(NARROW), torch.nn.Identity())
FILES = ("scan.nii", "model.pt", "sam.pth", "out/scan_seg.nii.gz", "out/scan_seg.json")


def records(folder: Path, **options: Any) -> MaskRecords:
    arguments = {"encoder_weights": folder / "sam.pth", "encoder_seed": 0, "device": CPU, "settings": {"roi_depth": 8}}
    arguments |= {"checkpoint": folder / "model.pt", "network": SLICEWISE}
    return MaskRecords(folder / "out", **arguments | options)


def write_weights(path: Path, value: float) -> None:
    write_checkpoint(path, {"weight": torch.tensor([value])})


def opened(case: dict[str, Any]) -> dict[str, Any]:
    return {**case, "opened": open_case(case)}


@pytest.fixture
def case(tmp_path: Path) -> dict[str, Any]:
    """Of which there is a mask with its record."""
    (tmp_path / "out").mkdir()
    write_weights(tmp_path / "model.pt", 1)
    (tmp_path / "sam.pth").write_bytes(b"more weights")
    case = {"image": write_nifti(tmp_path / "scan.nii"), "name": "scan_seg"}
    write_mask(tmp_path, case)
    return case


def write_mask(folder: Path, case: dict[str, Any], **options: Any) -> None:
    made = records(folder, **options)
    record = made.begin(opened(case))
    made.write(case, record, write_nifti(folder / "out" / f"{case['name']}.nii.gz", edit=sign))


def sign(header: nib.Nifti1Header) -> None:
    header["descrip"] = b"SAM-3D segmentation"


def finished(folder: Path, case: dict[str, Any], **options: Any) -> bool:
    made = records(folder, **options)
    found = made.finished(case, made.begin(opened(case)))
    assert found in (None, str(folder / "out" / f"{case['name']}.nii.gz"))
    return found is not None


def test_a_mask_whose_record_says_so_is_done(tmp_path: Path, case: dict[str, Any]) -> None:
    assert finished(tmp_path, case)
    assert not finished(tmp_path, case, reuse=False)
    assert not finished(tmp_path, case | {"name": "other_seg"})


def test_the_record_holds_what_the_mask_was_made_from(tmp_path: Path, case: dict[str, Any]) -> None:
    record = json.loads((tmp_path / "out" / "scan_seg.json").read_text())
    sha256 = {name: hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in FILES[:4]}
    assert record["image"] == [{"file": case["image"], "sha256": sha256["scan.nii"]}]
    model = tmp_path / "model.pt"
    expected = {"file": str(model), "sha256": sha256["model.pt"], "weights_sha256": weights_digest(model)}
    assert record["checkpoint"] == expected
    assert record["encoder_weights"] == {"file": str(tmp_path / "sam.pth"), "sha256": sha256["sam.pth"]}
    assert record["mask_sha256"] == sha256["out/scan_seg.nii.gz"]
    assert record["versions"]["torch"].partition("+")[0] == torch.__version__.partition("+")[0]
    assert record["device"] == "cpu"
    assert record["written"].endswith("+00:00")


def test_random_weights_are_known_by_their_seed(tmp_path: Path, case: dict[str, Any]) -> None:
    write_mask(tmp_path, case, encoder_weights="random", encoder_seed=3)
    assert json.loads((tmp_path / "out" / "scan_seg.json").read_text())["encoder_weights"] == "random, seed 3"
    assert finished(tmp_path, case, encoder_weights="random", encoder_seed=3)
    assert not finished(tmp_path, case, encoder_weights="random", encoder_seed=4)


def test_the_record_of_a_network_without_an_encoder_names_none(tmp_path: Path, case: dict[str, Any]) -> None:
    write_mask(tmp_path, case, encoder_weights="random", network=torch.nn.Identity())
    assert json.loads((tmp_path / "out" / "scan_seg.json").read_text())["encoder_weights"] is None
    assert finished(tmp_path, case, encoder_weights="random", encoder_seed=4, network=torch.nn.Identity())
    assert not finished(tmp_path, case)


def said(folder: Path, caplog: pytest.LogCaptureFixture, **options: Any) -> list[str]:
    caplog.clear()
    records(folder, **options)
    return caplog.messages


def test_masks_of_another_checkpoint_or_other_settings_in_the_folder_are_named_once(
    tmp_path: Path, case: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    write_mask(tmp_path, case | {"name": "second_seg"})
    write_nifti(tmp_path / "out" / "theirs_seg.nii.gz")  # without a record
    assert said(tmp_path, caplog) == []
    assert said(tmp_path, caplog, reuse=False) == []
    words = (
        f"{tmp_path}/out holds 2 masks that another checkpoint made, or this one with other settings, such as scan_seg.nii.gz"
    )
    (sentence,) = said(tmp_path, caplog, settings={"roi_depth": 4})
    assert sentence.startswith(words)
    assert sentence.endswith("those of this run's images are made anew, the others stay")
    shutil.copy(tmp_path / "model.pt", tmp_path / "renamed.pt")
    write_weights(tmp_path / "model.pt", 2)
    (sentence,) = said(tmp_path, caplog)
    assert f"by {tmp_path}/model.pt; " in sentence
    shutil.copy(tmp_path / "renamed.pt", tmp_path / "model.pt")
    (tmp_path / "sam.pth").rename(tmp_path / "moved.pth")
    assert said(tmp_path, caplog, encoder_weights=tmp_path / "moved.pth") == []


def test_a_mask_of_an_ensemble_is_done_while_all_its_checkpoints_are_the_same(
    tmp_path: Path, case: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    for number, name in enumerate("ab"):
        write_weights(tmp_path / f"{name}.pt", number)
    both = [str(tmp_path / f"{name}.pt") for name in "ab"]
    assert not finished(tmp_path, case, checkpoint=both)
    write_mask(tmp_path, case, checkpoint=both)
    assert said(tmp_path, caplog, checkpoint=both) == []
    assert finished(tmp_path, case, checkpoint=both)
    assert not finished(tmp_path, case, checkpoint=both[:1])
    assert not finished(tmp_path, case)
    write_weights(tmp_path / "b.pt", 3)
    assert not finished(tmp_path, case, checkpoint=both)
    (sentence,) = said(tmp_path, caplog, checkpoint=both)
    assert f"by {both[0]}, {both[1]}; " in sentence


def flip(path: Path, position: int = -1) -> None:
    """One bit, a second later."""
    later = path.stat().st_mtime_ns + 10**9
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(later, later))


@pytest.mark.parametrize("name", FILES[:4])
def test_one_flipped_bit_of_what_it_depends_on_is_noticed(tmp_path: Path, case: dict[str, Any], name: str) -> None:
    flip(tmp_path / name)
    if name == "model.pt":
        with pytest.raises(ValueError, match=r"model\.pt cannot be read as a checkpoint: it is damaged"):
            records(tmp_path)
    else:
        assert not finished(tmp_path, case)


@pytest.mark.parametrize("name", ["pair.hdr", "pair.img"])
def test_one_flipped_bit_of_either_of_two_files_is_noticed(tmp_path: Path, case: dict[str, Any], name: str) -> None:
    nib.save(nib.Nifti1Pair(np.arange(60, dtype=np.int16).reshape(5, 4, 3), np.eye(4)), tmp_path / "pair.hdr")
    case = {"image": str(tmp_path / "pair.hdr"), "name": "pair_seg"}
    write_mask(tmp_path, case)
    assert finished(tmp_path, case)
    flip(tmp_path / name, 148 if name.endswith("hdr") else -1)  # of the header, in its description
    assert not finished(tmp_path, case)


def test_one_flipped_bit_of_any_slice_of_a_series_is_noticed(tmp_path: Path, case: dict[str, Any]) -> None:
    files = write_series(tmp_path / "series")
    case = {"image": str(tmp_path / "series"), "name": "series_seg"}
    write_mask(tmp_path, case)
    assert finished(tmp_path, case)
    for file in files:
        flip(file)
        assert not finished(tmp_path, case)
        flip(file)
        assert finished(tmp_path, case)


def test_every_modality_counts(tmp_path: Path, case: dict[str, Any]) -> None:
    several = {"image": [case["image"], write_nifti(tmp_path / "t2.nii")], "name": "both_seg"}
    write_mask(tmp_path, several)
    assert finished(tmp_path, several)
    assert not finished(tmp_path, several | {"image": several["image"][::-1]})
    flip(tmp_path / "t2.nii")
    assert not finished(tmp_path, several)


def test_another_setting_that_changes_the_mask_is_noticed_and_other_circumstances_do_not_matter(
    tmp_path: Path, case: dict[str, Any]
) -> None:
    settings = {"labels": {"0": "a", "1": "b"}, "inferer": {"mode": "windows"}, "learning_rate": 0.1}
    write_mask(tmp_path, case, settings=settings)
    assert finished(tmp_path, case, settings=settings)
    for same in ({"output_dir": "there"}, {"learning_rate": 0.2}, {"inferer": {"mode": "windows", "memory": 5}}):
        assert finished(tmp_path, case, settings=settings | same)
    for other in ({"labels": {"0": "a", "2": "b"}}, {"inferer": {"mode": "whole"}}, {"roi_depth": 4}):
        assert not finished(tmp_path, case, settings=settings | other)
    assert not finished(tmp_path, case, settings={})


def edited(**change: Any) -> Callable[[bytes], bytes]:
    return lambda content: json.dumps(json.loads(content) | change).encode()


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:-20],
        lambda content: b"\xff" + content,
        lambda content: b"[1, 2]",
        lambda content: b"7",
        edited(mask_sha256=None),
        edited(written=None),
        edited(versions={}),
        edited(more="than it wrote"),
        lambda content: json.dumps({k: v for k, v in json.loads(content).items() if k != "mask_sha256"}).encode(),
    ],
    ids=["empty", "cut", "no text", "a list", "a number", "no digest", "no time", "versions", "more", "less"],
)
def test_a_mask_with_a_damaged_record_is_not_done(
    tmp_path: Path, case: dict[str, Any], damage: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "out" / "scan_seg.json"
    path.write_bytes(damage(path.read_bytes()))
    assert not finished(tmp_path, case)


@pytest.mark.parametrize("name", FILES[3:])
def test_half_of_a_pair_is_not_done(tmp_path: Path, case: dict[str, Any], name: str) -> None:
    (tmp_path / name).unlink()
    assert not finished(tmp_path, case)


def test_what_is_discarded_is_the_mask_and_its_record(tmp_path: Path, case: dict[str, Any]) -> None:
    (tmp_path / "out" / "scan_seg.nii").touch()
    records(tmp_path).discard(case)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["scan_seg.nii"]
    records(tmp_path).discard(case)


def test_what_has_no_record_is_not_ours_and_stays(tmp_path: Path, case: dict[str, Any]) -> None:
    (tmp_path / "out" / "scan_seg.json").unlink()
    records(tmp_path).discard(case)
    assert (tmp_path / "out" / "scan_seg.nii.gz").is_file()


@pytest.mark.parametrize("theirs", ["scan_seg.nii.gz", "scan_seg.json"])
def test_another_s_file_of_that_name_is_not_overwritten(tmp_path: Path, case: dict[str, Any], theirs: str) -> None:
    for file in (tmp_path / "out").iterdir():
        file.unlink()
    path = tmp_path / "out" / theirs
    path.write_text("{}") if path.suffix == ".json" else write_nifti(path)
    with pytest.raises(CaseError, match="a mask must not overwrite another file") as caught:
        records(tmp_path).begin(opened(case))
    assert caught.value.file == case["image"]
    assert str(path) in str(caught.value)
    records(tmp_path).discard(case)
    assert path.is_file()


@pytest.mark.parametrize("theirs", FILES[3:])
@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("nothing")])
def test_what_is_no_file_is_neither_read_nor_overwritten(
    tmp_path: Path, case: dict[str, Any], theirs: str, make: Callable[[Path], object]
) -> None:
    """Beside the other half of a pair of ours: a pipe would be waited for."""
    (tmp_path / theirs).unlink()
    make(tmp_path / theirs)
    with pytest.raises(CaseError, match="a mask must not overwrite another file"):
        records(tmp_path).begin(opened(case))


def test_an_image_that_cannot_be_read_has_no_record(tmp_path: Path, case: dict[str, Any]) -> None:
    case = opened(case)
    Path(case["image"]).unlink()
    with pytest.raises(CaseError, match=r"scan\.nii: an image must be readable"):
        records(tmp_path).begin(case)


@pytest.mark.parametrize("name", ["with space", "Hüfte_片", "sub/deep", "\udcfcfte"], ids=ascii)
def test_names_of_any_kind_are_found_again(tmp_path: Path, case: dict[str, Any], name: str) -> None:
    case = {"image": write_nifti(tmp_path / f"{Path(name).name}.nii"), "name": f"{name}_seg"}
    (tmp_path / "out" / name).parent.mkdir(exist_ok=True)
    write_mask(tmp_path, case)
    assert finished(tmp_path, case)
