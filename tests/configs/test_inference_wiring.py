"""inference.json: which images become masks, by what, and which masks are made again."""

import json
import shutil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow
from monai.engines import SupervisedEvaluator

from scripts.files.checkpoint_file import read_about, read_checkpoint, weights_digest, write_checkpoint
from scripts.files.file_digest import file_digest
from scripts.inferers import VolumeInferer
from scripts.networks import EmbeddingEnsemble, EmbeddingPlaneViews
from scripts.run.plain_errors import plain_sentence

from .conftest import SETTINGS, Start, names, parts

IMAGES = 3


@pytest.fixture
def images(phantoms: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for path in sorted((phantoms / "images").iterdir())[:IMAGES]:
        shutil.copy(path, folder)
    return folder


def segment(start: Start, images: Path, checkpoint: Path | list[Any], **settings: Any) -> ConfigWorkflow:
    """Into a folder beside the images; the run, and what ended it."""
    output = images.parent / "masks"
    run = start(
        "inference", "inference.json", input=images, output_dir=output, checkpoint=checkpoint, **{"num_workers": 3, **settings}
    )
    run.run()
    return run


def masks(images: Path) -> dict[str, int]:
    """name -> when it was written."""
    return {path.name: path.stat().st_mtime_ns for path in (images.parent / "masks").glob("*.nii.gz")}


def statuses(images: Path) -> list[str]:
    return [entry["status"] for entry in json.loads((images.parent / "masks" / "report.json").read_text())]


def test_parts_belong_together(start: Start, images: Path, checkpoint: Path) -> None:
    get = segment(start, images, checkpoint).parser.get_parsed_content
    evaluator, network, dataset, loader = (get(part) for part in ("evaluator", "network", "dataset", "dataloader"))
    assert isinstance(evaluator, SupervisedEvaluator)
    assert evaluator.network is network is get("network_def")
    saved = read_checkpoint(checkpoint)
    assert all(torch.equal(value, saved[name]) for name, value in network.state_dict().items())
    assert isinstance(evaluator.inferer, VolumeInferer)
    assert (evaluator.inferer.on_embeddings.roi_depth, evaluator.inferer.on_embeddings.mode) == (8, "windows")
    assert evaluator.inferer is get("inferer")
    assert (loader.dataset, loader.threads) == (dataset, 3)
    assert (dataset.transform, dataset.records) == (get("preprocessing"), get("records"))
    assert (evaluator.amp, evaluator.state.metrics) == (False, {})
    assert parts("inference.json", amp="True", checkpoint=checkpoint, device="cpu")("amp") == "True"


@pytest.fixture
def second(checkpoint: Path, tmp_path: Path) -> Path:
    """Of a network that was trained alike, with another decoder."""
    about = read_about(checkpoint)
    state = read_checkpoint(checkpoint)
    for name, value in state.items():
        if name.startswith("decoder") and value.is_floating_point():
            state[name] = torch.randn_like(value)
    assert about is not None
    write_checkpoint(tmp_path / "second.pt", state, about)
    return tmp_path / "second.pt"


def test_several_checkpoints_are_one_network_which_the_records_name(
    start: Start, images: Path, checkpoint: Path, second: Path
) -> None:
    get = segment(start, images, [str(checkpoint), str(second)]).parser.get_parsed_content
    network = get("evaluator").network
    assert (type(network), network.regions, len(network.networks)) == (EmbeddingEnsemble, False, 2)
    for member, file in zip(network.networks, (checkpoint, second), strict=True):
        saved = read_checkpoint(file)
        assert all(torch.equal(value, saved[name]) for name, value in member.state_dict().items())
    records = [json.loads(path.read_text()) for path in (images.parent / "masks").glob("*_seg.json")]
    files = [
        {"file": str(file), "sha256": file_digest(str(file)), "weights_sha256": weights_digest(file)}
        for file in (checkpoint, second)
    ]
    assert [record["checkpoint"] for record in records] == [files] * IMAGES
    first = masks(images)
    segment(start, images, [str(checkpoint), str(second)])
    assert masks(images) == first
    segment(start, images, [str(checkpoint)])
    anew = masks(images)
    assert all(written != first[name] for name, written in anew.items())
    segment(start, images, checkpoint)
    assert masks(images) == anew


def test_equal_networks_make_the_masks_of_one(start: Start, images: Path, checkpoint: Path, tmp_path: Path) -> None:
    def voxels(checkpoints: Path | list[Any]) -> np.ndarray:
        segment(start, images, checkpoints)
        return np.concatenate([np.ravel(nib.load(images.parent / "masks" / name).dataobj) for name in sorted(masks(images))])

    (tmp_path / "twin.pt").write_bytes(checkpoint.read_bytes())
    alone = voxels(checkpoint)
    assert len(np.unique(alone)) > 1
    np.testing.assert_array_equal(voxels([str(checkpoint), str(tmp_path / "twin.pt")]), alone)


def test_an_ensemble_of_regions_knows_so(checkpoint: Path, second: Path) -> None:
    get = parts("inference.json", regions={"organs": [1, 2], "liver": [1]}, checkpoint=checkpoint, device="cpu")
    assert get("network#ensemble_of")(torch.nn.Identity()).regions is True


def test_temperature_and_views_reach_the_network(checkpoint: Path, second: Path) -> None:
    both = [str(checkpoint), str(second)]
    get = parts("inference.json", temperature=1.5, tta="full", checkpoint=both, device="cpu")
    views, split = get("network"), get("postprocessing").transforms[0]
    assert (type(views), type(views.network)) == (EmbeddingPlaneViews, EmbeddingEnsemble)
    assert (views.network.tta, len(views.network.networks), views.disagreement) == ("full", 4, False)
    assert (split.temperature, split.beside) == ([1.5], ["disagreement"])


def test_a_calibrated_ensemble_is_asked_where_its_networks_disagree(checkpoint: Path, second: Path) -> None:
    calibration = {"structures": [{}] * 3, "told_by": ["members"]}
    both = [str(checkpoint), str(second)]
    assert parts("inference.json", calibration=calibration, checkpoint=both, device="cpu")("network").disagreement is True


def test_maps_are_part_of_what_a_mask_needs_to_be_finished(start: Start, images: Path, checkpoint: Path, second: Path) -> None:
    """They are made where they are missing, and thrown away with the mask that they belong to."""
    folder, both = images.parent / "masks", [str(checkpoint), str(second)]
    suffixes = ["probability_background", "probability_liver", "probability_kidney", "probability_vessel"]
    uncertain = ["entropy", "mutual_information"]

    def expected(*suffixes: str) -> set[str]:
        stems = [path.name.removesuffix(".gz").removesuffix(".nii") for path in images.iterdir()]
        return {f"{stem}_{suffix}.nii.gz" for stem in stems for suffix in ("seg", *suffixes)}

    segment(start, images, both)
    alone = masks(images)
    segment(start, images, both, probabilities=True, uncertainty=True)
    first = masks(images)
    assert first.keys() == expected(*suffixes, *uncertain)
    assert all(first[name] != alone[name] for name in alone)
    segment(start, images, both)
    segment(start, images, both, probabilities=True, uncertainty=True)
    assert masks(images) == first  # finished, with maps and without
    damaged = folder / min(name for name in first if "kidney" in name)
    damaged.write_bytes(damaged.read_bytes()[:-1])
    segment(start, images, both, probabilities=True)
    again = masks(images)
    of_damaged = {name for name in first if name.startswith(damaged.name.partition("_probability")[0])}
    gone = {name for name in of_damaged if any(word in name for word in uncertain)}
    assert first.keys() - again.keys() == gone  # not wanted any more, and of another mask
    assert {name for name in again if again[name] != first[name]} == of_damaged - gone
    segment(start, images, checkpoint, tta="depth", uncertainty=True)
    assert masks(images).keys() == expected(*uncertain)
    segment(start, images, checkpoint, uncertainty=True)
    assert masks(images).keys() == expected("entropy")


def test_a_map_overwrites_no_file_of_another(start: Start, images: Path, checkpoint: Path) -> None:
    segment(start, images, checkpoint)
    image = min(images.iterdir())
    foreign = images.parent / "masks" / image.name.replace(".nii", "_entropy.nii")
    shutil.copy(image, foreign)
    with pytest.raises(SystemExit):
        segment(start, images, checkpoint, uncertainty=True)
    assert sorted(statuses(images)) == ["refused", *["written"] * (IMAGES - 1)]
    assert foreign.read_bytes() == image.read_bytes()


def test_a_list_without_a_path_is_no_checkpoint(start: Start, images: Path) -> None:
    for nothing in ([], [7]):
        with pytest.raises(RuntimeError) as error:
            segment(start, images, nothing)
        assert "checkpoint must be a path, in quotes where it looks like a number, or a list of paths" in str(
            plain_sentence(error.value)
        )


def test_a_mask_goes_back_to_the_file_it_was_made_from(start: Start, images: Path, checkpoint: Path) -> None:
    get = segment(start, images, checkpoint).parser.get_parsed_content
    *_, classes, back, labels, clean, save = get("postprocessing").transforms
    assert names([classes, back, labels, clean, save]) == [
        *("LogitsToClassesd", "Invertd", "ClassesToLabelsd", "CleanMaskd", "SaveMaskd")
    ]
    assert str(classes.checkpoint) == str(checkpoint)
    assert (back.keys, back.orig_keys, back.nearest_interp) == (("pred",), ("image",), (True,))
    assert back.transform is get("preprocessing")
    assert labels.values.tolist() == [int(value) for value in SETTINGS["labels"]]
    assert save.output_dir == images.parent / "masks"
    for path in images.iterdir():
        image, mask = nib.load(path), nib.load(images.parent / "masks" / path.name.replace(".nii", "_seg.nii"))
        assert mask.shape == image.shape
        np.testing.assert_array_equal(mask.affine, image.affine)


def test_a_record_says_what_a_mask_was_made_by(start: Start, images: Path, checkpoint: Path) -> None:
    get = segment(start, images, checkpoint).parser.get_parsed_content
    made_by = get("records").made_by
    assert (made_by["encoder_weights"], made_by["device"], made_by["checkpoint"]["file"]) == (
        "random, seed 3",
        "cpu",
        str(checkpoint),
    )
    assert get("records").folder == images.parent / "masks"
    records = list((images.parent / "masks").glob("*_seg.json"))
    assert len(records) == IMAGES
    assert all(json.loads(path.read_text()).keys() >= made_by.keys() for path in records)


def test_masks_are_made_again_where_they_would_come_out_differently_only(start: Start, images: Path, checkpoint: Path) -> None:
    segment(start, images, checkpoint)
    first = masks(images)
    assert (len(first), statuses(images)) == (IMAGES, ["written"] * IMAGES)
    segment(start, images, checkpoint, num_workers=1)
    assert masks(images) == first
    segment(start, images, checkpoint, inferer={"_target_": "scripts.inferers.VolumeInferer", "roi_depth": 8, "mode": "whole"})
    assert masks(images).keys() == first.keys()
    assert all(written != first[name] for name, written in masks(images).items())


def test_a_refused_image_costs_only_its_own_mask_and_the_exit_code(start: Start, images: Path, checkpoint: Path) -> None:
    segment(start, images, checkpoint)
    bad = sorted(images.iterdir())[0]
    volume = nib.load(bad)
    nib.save(nib.Nifti1Image(np.stack([volume.get_fdata()] * 2, -1), volume.affine), bad)  # two channels, not one
    with pytest.raises(SystemExit):
        segment(start, images, checkpoint)
    assert sorted(statuses(images)) == ["refused", *["written"] * (IMAGES - 1)]
    assert len(masks(images)) == IMAGES - 1
    assert bad.name.replace(".nii", "_seg.nii") not in masks(images)


@pytest.mark.parametrize("settings", [{"roi_depth": 9}, {"spacing": [2.0, 2.0, 2.0]}])
def test_a_checkpoint_of_other_settings_is_refused(
    start: Start, images: Path, checkpoint: Path, settings: dict[str, Any]
) -> None:
    with pytest.raises(RuntimeError) as error:
        segment(start, images, checkpoint, **settings)
    assert f"{next(iter(settings))} was" in plain_sentence(error.value)


def test_images_are_read_as_the_list_or_the_folder_has_them(
    start: Start, phantoms: Path, checkpoint: Path, tmp_path: Path
) -> None:
    run = start("inference", "inference.json", dataset_dir=phantoms, output_dir=tmp_path, checkpoint=checkpoint)
    assert len(run.parser.get_parsed_content("cases").cases) == 2  # its list `test`
