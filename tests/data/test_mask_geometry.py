"""A file -> the network's volume -> a mask in the file's own grid: nothing is flipped, shifted, swapped or cut on the way.

Both directions are those of configs/inference.json. Half of a mistake (an inversion that forgets a flip) and the whole of it
(a flip forgotten both ways) show differently, so labels go there and back, and volumes are stored in several orders.
"""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from conftest import ROOT
from monai.bundle import ConfigParser
from monai.data import MetaTensor, decollate_batch, list_data_collate
from monai.transforms import Compose, Invertd

from scripts.data.phantoms import oblique_affine, phantom, reorient
from scripts.networks import SAM3D

SHAPE = (29, 23, 9)  # voxels along R, A and S: odd, and unlike each other
CLASSES = 4
STORED = ("RAS", "LPS", "ASL", "PIR", "SLP")
AXIAL = {"axcodes": "RAS", "spatial_size": [48, 48], "spacing": [-1.0, -1.0, -1.0]}
SAGITTAL = AXIAL | {"axcodes": "SAR"}  # slices are taken along the last letter
CORONAL = AXIAL | {"axcodes": "LSP"}
RESAMPLED = AXIAL | {"spacing": [1.0, 1.0, 2.0]}  # mm; the phantoms have 1 x 1.2 x 3


def pipeline(output_dir: Path, **preset: Any) -> tuple[Compose, Compose]:
    """Preprocessing and postprocessing of configs/inference.json with a preset laid over it."""
    parser = ConfigParser()
    parser.read_config(ROOT / "configs" / "inference.json")
    labels = {str(value): f"class {value}" for value in range(CLASSES)}
    parser.update({"output_dir": str(output_dir), "labels": labels, **preset})
    return parser.get_parsed_content("preprocessing"), parser.get_parsed_content("postprocessing")


def stored(folder: Path, axcodes: str, image: np.ndarray, label: np.ndarray, affine: np.ndarray) -> dict[str, str]:
    """A case whose arrays are (R, A, S), written in another order of axes."""
    files = {key: str(folder / f"{axcodes}_{key}.nii.gz") for key in ("image", "label")}
    for key, voxels in (("image", image), ("label", label)):
        nib.save(reorient(nib.Nifti1Image(voxels, affine), axcodes), files[key])
    return {**files, "name": f"{axcodes}_seg"}


def stored_phantom(folder: Path, axcodes: str, shape: tuple[int, int, int] = SHAPE) -> dict[str, str]:
    """Always the same phantom on the same oblique, anisotropic grid."""
    generator = np.random.default_rng(3)
    return stored(folder, axcodes, *phantom(generator, shape), oblique_affine(generator))


def stored_noise(folder: Path, axcodes: str, shape: tuple[int, int, int] = SHAPE) -> dict[str, str]:
    """Every voxel has a label of its own making: nothing can move unseen."""
    generator = np.random.default_rng(4)
    image, label = generator.random(shape, np.float32), generator.integers(0, CLASSES, shape, np.uint8)
    return stored(folder, axcodes, image, label, oblique_affine(generator))


def there_and_back(folder: Path, case: dict[str, str], **preset: Any) -> tuple[nib.Nifti1Image, nib.Nifti1Image]:
    """The label as it is stored, and the mask of a network that predicts exactly the label that it was given."""
    preprocessing, postprocessing = pipeline(folder / "masks", **preset)
    data = preprocessing(case)
    data["pred"] = torch.nn.functional.one_hot(data["label"][0].as_tensor().long(), CLASSES).movedim(-1, 0).float()
    return nib.load(case["label"]), nib.load(postprocessing(data)["mask"])


def segment(network: SAM3D, folder: Path, case: dict[str, str], **preset: Any) -> nib.Nifti1Image:
    """The mask of a network, batched and taken apart again as the evaluator does."""
    preprocessing, postprocessing = pipeline(folder / "masks", **preset)
    batch = list_data_collate([preprocessing({key: case[key] for key in ("image", "name")})])
    with torch.no_grad():
        batch["pred"] = network(batch["image"])
    return nib.load(postprocessing(decollate_batch(batch)[0])["mask"])


def voxels(volume: nib.Nifti1Image, axcodes: str | None = None) -> np.ndarray:
    return np.asanyarray((volume if axcodes is None else reorient(volume, axcodes)).dataobj)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * np.count_nonzero((a == b) & (a > 0)) / (np.count_nonzero(a) + np.count_nonzero(b))


def assert_on_one_grid(mask: nib.Nifti1Image, label: nib.Nifti1Image) -> None:
    assert mask.shape == label.shape
    np.testing.assert_allclose(mask.affine, label.affine, atol=1e-5)


@pytest.mark.parametrize("preset", [AXIAL, SAGITTAL, CORONAL], ids=["axial", "sagittal", "coronal"])
@pytest.mark.parametrize("axcodes", STORED)
def test_every_voxel_comes_back_to_its_place(tmp_path: Path, axcodes: str, preset: dict[str, Any]) -> None:
    label, mask = there_and_back(tmp_path, stored_noise(tmp_path, axcodes), **preset)
    assert_on_one_grid(mask, label)
    assert np.array_equal(voxels(mask), voxels(label))


@pytest.mark.parametrize("shape", [(29, 23, 1), (1, 23, 9), (48, 48, 5), (48, 17, 2), (2, 2, 2)])
def test_volumes_of_any_size_come_back_whole(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    label, mask = there_and_back(tmp_path, stored_noise(tmp_path, "LPS", shape), **AXIAL)
    assert_on_one_grid(mask, label)
    assert np.array_equal(voxels(mask), voxels(label))


@pytest.mark.parametrize("axcodes", STORED)
@pytest.mark.parametrize(
    ("shape", "preset"),
    [((61, 75, 11), AXIAL), (SHAPE, RESAMPLED), (SHAPE, RESAMPLED | {"axcodes": "SAR"}), ((61, 75, 11), RESAMPLED)],
    ids=["reduced", "resampled", "sagittal and resampled", "resampled and reduced"],
)
def test_a_resampled_mask_lies_on_its_organ(
    tmp_path: Path, axcodes: str, shape: tuple[int, int, int], preset: dict[str, Any]
) -> None:
    label, mask = there_and_back(tmp_path, stored_phantom(tmp_path, axcodes, shape), **preset)
    assert_on_one_grid(mask, label)
    assert dice(voxels(mask), voxels(label)) > 0.9


@pytest.mark.parametrize("axcodes", STORED)
@pytest.mark.parametrize("preset", [AXIAL, SAGITTAL, RESAMPLED], ids=["axial", "sagittal", "resampled"])
@pytest.mark.parametrize("shape", [SHAPE, (61, 75, 11)])
def test_every_voxel_of_a_mask_is_what_the_network_said_at_that_place(
    tmp_path: Path, axcodes: str, preset: dict[str, Any], shape: tuple[int, int, int]
) -> None:
    """The network's voxels carry their own coordinates, which therefore have to come back in order.

    No size here is 3/2 of the network's: there every third voxel lies exactly between two, and always goes to the same side.
    """
    case = stored_phantom(tmp_path, axcodes, shape)
    preprocessing, postprocessing = pipeline(tmp_path, **preset)
    data = preprocessing({"image": case["image"]})
    image = nib.load(case["image"])
    to_image = np.linalg.inv(image.affine) @ data["image"].affine.numpy()  # the network's voxels -> the file's
    there = np.indices(data["image"].shape[1:])
    predicted = np.tensordot(to_image[:3, :3], there, 1) + to_image[:3, 3].reshape(3, 1, 1, 1)
    for axis in range(3):
        pred = torch.as_tensor(predicted[axis][None])
        (invert,) = (step for step in postprocessing.transforms if isinstance(step, Invertd))
        back = invert(data | {"pred": MetaTensor(pred)})["pred"][0].numpy()
        error = back - np.indices(image.shape)[axis]  # voxels of the file
        assert abs(error.mean()) < 0.1
        assert np.abs(error).max() < 1.2


@pytest.mark.parametrize("preset", [AXIAL, SAGITTAL, RESAMPLED], ids=["axial", "sagittal", "resampled"])
@pytest.mark.parametrize("axcodes", STORED[1:])
def test_the_network_sees_one_volume_however_it_is_stored(tmp_path: Path, axcodes: str, preset: dict[str, Any]) -> None:
    preprocessing, _ = pipeline(tmp_path, **preset)
    first, other = (preprocessing(stored_phantom(tmp_path, order)) for order in ("RAS", axcodes))
    exact = preset is not RESAMPLED  # resampling goes through the affine, whose last digit depends on the order
    torch.testing.assert_close(other["image"].as_tensor(), first["image"].as_tensor(), rtol=0, atol=0 if exact else 1e-4)
    torch.testing.assert_close(other["image"].affine, first["image"].affine, rtol=0, atol=1e-4)
    assert torch.equal(other["label"].as_tensor(), first["label"].as_tensor())


@pytest.mark.parametrize("preset", [AXIAL, SAGITTAL], ids=["axial", "sagittal"])
def test_a_network_draws_one_mask_however_the_volume_is_stored(
    tmp_path: Path, preset: dict[str, Any], narrow_network: SAM3D
) -> None:
    masks = [segment(narrow_network, tmp_path, stored_phantom(tmp_path, axcodes), **preset) for axcodes in STORED]
    first = voxels(masks[0], "RAS")
    assert len(np.unique(first)) > 1
    for axcodes, mask in zip(STORED, masks, strict=True):
        assert "".join(nib.aff2axcodes(mask.affine)) == axcodes
        assert np.array_equal(voxels(mask, "RAS"), first)


@pytest.mark.parametrize("preset", [AXIAL, SAGITTAL, CORONAL], ids=["axial", "sagittal", "coronal"])
def test_slices_lie_along_the_last_letter(tmp_path: Path, preset: dict[str, Any]) -> None:
    preprocessing, _ = pipeline(tmp_path, **preset)
    image = preprocessing(stored_phantom(tmp_path, "PIR"))["image"]
    depth = {"R": SHAPE[0], "P": SHAPE[1], "S": SHAPE[2]}[preset["axcodes"][-1]]
    assert image.shape == (1, 48, 48, depth)
    assert "".join(nib.aff2axcodes(image.affine.numpy())) == preset["axcodes"]
    assert (image.min(), image.max()) == (0, 1)


def test_modalities_in_several_files_are_those_of_one_file(tmp_path: Path) -> None:
    generator = np.random.default_rng(5)
    channels, affine = generator.random((*SHAPE, 2), np.float32), oblique_affine(generator)
    nib.save(nib.Nifti1Image(channels, affine), tmp_path / "both.nii")
    files = [str(tmp_path / f"{i}.nii") for i in range(2)]
    for i, file in enumerate(files):
        nib.save(nib.Nifti1Image(channels[..., i], affine), file)
    preprocessing, _ = pipeline(tmp_path, modalities=2, **AXIAL)
    several, one = preprocessing({"image": files})["image"], preprocessing({"image": str(tmp_path / "both.nii")})["image"]
    assert torch.equal(several.as_tensor(), one.as_tensor())
    assert torch.equal(several.affine, one.affine)
