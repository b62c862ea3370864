"""Maps of probability and uncertainty lie on the image, hold what the definitions say, and fit into memory one at a time."""

import gc
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from conftest import ROOT
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from monai.transforms import Invertd
from scipy.special import expit, softmax
from scipy.stats import entropy

from scripts.basics.map_files import map_file
from scripts.data import CaseError, LogitsToClassesd, ResampledClassesd, SaveMapsd, find_images, map_names
from scripts.data.masks import probability_maps
from scripts.data.phantoms import oblique_affine, phantom, reorient

SHAPE = (29, 23, 9)  # voxels along R, A and S
LABELS = {"0": "background", "1": "liver", "2": "left/right", "3": "vessel"}
REGIONS = {"whole tumour": [1, 2, 3], "tumour core": [2, 3], "enhancing": [3]}
AS_STORED = {"axcodes": "RAS", "spatial_size": [29, 23], "spacing": [-1.0, -1.0, -1.0]}  # turned at most, never resampled
RESAMPLED = {"axcodes": "RAS", "spatial_size": [48, 48], "spacing": [1.0, 1.0, 2.0]}  # mm; the phantoms have 1 x 1.2 x 3
STORED = ("RAS", "LPS", "ASL", "PIR", "SLP")
HALF = 0.5 / 255 + 1e-6  # of a step of uint8


class Run:
    """A phantom, stored in some order of axes, as inference.json prepares it, and random logits for its postprocessing."""

    def __init__(self, folder: Path, stored: str = "RAS", **settings: Any) -> None:
        generator = np.random.default_rng(3)
        image, _ = phantom(generator, SHAPE)
        nib.save(reorient(nib.Nifti1Image(image, oblique_affine(generator)), stored), folder / "a.nii.gz")
        self.folder, self.image = folder, nib.load(folder / "a.nii.gz")
        parser = ConfigParser()
        parser.read_config(ROOT / "configs" / "inference.json")
        parser.update({"output_dir": str(folder / "out"), "labels": LABELS, **settings})
        parser.update({"probabilities": True, "uncertainty": True, "device": "cpu"})
        self.preprocessing, self.postprocessing = map(parser.get_parsed_content, ("preprocessing", "postprocessing"))
        self.channels = parser.get_parsed_content("out_channels")
        self.data = self.preprocessing({"image": str(folder / "a.nii.gz"), "name": "a_seg"})
        generator = torch.Generator().manual_seed(0)
        self.logits = 3 * torch.randn(self.channels, *self.data["image"].shape[1:], generator=generator)
        self.information = torch.rand(1, *self.data["image"].shape[1:], generator=generator)

    def written(self) -> dict[str, nib.Nifti1Image]:
        """Name of the map -> what is read from its file."""
        self.postprocessing({**self.data, "pred": MetaTensor(torch.cat([self.logits, self.information]))})
        files = [file for file in (self.folder / "out").iterdir() if not file.name.endswith("_seg.nii.gz")]
        return {file.name.removeprefix("a_").removesuffix(".nii.gz"): nib.load(file) for file in files}

    def there(self, volume: np.ndarray) -> np.ndarray:
        """(..., H, W, D) on the network's grid, by their affines alone -> the file's grid, which has the same voxels."""
        to_network = np.linalg.inv(self.data["image"].affine.numpy()) @ self.image.affine
        places = np.tensordot(to_network[:3, :3], np.indices(self.image.shape), 1) + to_network[:3, 3].reshape(3, 1, 1, 1)
        np.testing.assert_allclose(places, places.round(), atol=1e-3)
        return volume[(..., *places.round().astype(int))]


@pytest.mark.parametrize("axcodes", STORED)
def test_probabilities_are_the_softmax_of_the_logits_at_their_places(tmp_path: Path, axcodes: str) -> None:
    run = Run(tmp_path, axcodes, **AS_STORED)
    maps = run.written()
    expected = run.there(softmax(run.logits.double().numpy(), axis=0))
    names = [f"probability_{name}" for name in ("background", "liver", "left_right", "vessel")]
    assert maps.keys() == {*names, "entropy"}
    for name, probability in zip(names, expected, strict=True):
        image = maps[name]
        assert (image.shape, image.get_data_dtype(), image.dataobj.slope) == (run.image.shape, np.uint8, np.float32(1 / 255))
        np.testing.assert_array_equal(image.affine, run.image.affine)
        np.testing.assert_allclose(image.get_fdata(), probability, atol=HALF)
    total = sum(maps[name].get_fdata() for name in names)
    np.testing.assert_allclose(total, 1, atol=4 * HALF)
    uncertain = entropy(expected, axis=0) / np.log(4)
    np.testing.assert_allclose(maps["entropy"].get_fdata(), uncertain, atol=HALF)


def test_each_region_has_a_probability_of_its_own(tmp_path: Path) -> None:
    run = Run(tmp_path, "LPS", regions=REGIONS, region_values=[1, 2, 3], tta="depth", **AS_STORED)
    maps = run.written()
    expected = run.there(expit(run.logits.double().numpy()))
    for name, probability in zip(("whole_tumour", "tumour_core", "enhancing"), expected, strict=True):
        np.testing.assert_allclose(maps[f"probability_{name}"].get_fdata(), probability, atol=HALF)
    uncertain = np.mean([entropy(np.stack([one, 1 - one]), axis=0) / np.log(2) for one in expected], axis=0)
    np.testing.assert_allclose(maps["entropy"].get_fdata(), uncertain, atol=HALF)
    np.testing.assert_allclose(maps["mutual_information"].get_fdata(), run.there(run.information[0].numpy()), atol=HALF)


@pytest.mark.parametrize("axcodes", STORED)
def test_resampled_maps_are_from_0_to_1_and_sum_to_1(tmp_path: Path, axcodes: str) -> None:
    run = Run(tmp_path, axcodes, **RESAMPLED)
    maps = run.written()
    for image in maps.values():
        assert image.shape == run.image.shape
        np.testing.assert_array_equal(image.affine, run.image.affine)
        assert (image.get_fdata().min(), image.get_fdata().max()) >= (0, 0)
        assert image.get_fdata().max() <= 1 + 1e-6
    total = sum(image.get_fdata() for name, image in maps.items() if name.startswith("probability"))
    np.testing.assert_allclose(total, 1, atol=4 * HALF)


def by_hand(run: Run) -> torch.Tensor:
    """All probabilities on the file's grid at once, by MONAI's own inversion."""
    back = Invertd("map", run.preprocessing, orig_keys="image", nearest_interp=False)
    values = run.logits.sigmoid() if run.channels == len(REGIONS) else run.logits.softmax(0)
    return torch.cat([back({"map": MetaTensor(one), "image": run.data["image"]})["map"] for one in values.split(1)])


def test_the_mask_of_resampled_probabilities_is_their_argmax(tmp_path: Path) -> None:
    run = Run(tmp_path, "PIR", **RESAMPLED)
    pred = ResampledClassesd(run.preprocessing)({**run.data, "pred": run.logits})["pred"]
    assert torch.equal(pred[0].long(), by_hand(run).argmax(0))
    configured = Run(tmp_path, "PIR", resample_probabilities=True, **RESAMPLED)
    configured.written()
    np.testing.assert_array_equal(nib.load(tmp_path / "out" / "a_seg.nii.gz").dataobj, pred[0].numpy())
    Run(tmp_path, "PIR", **RESAMPLED).written()
    assert (np.asarray(nib.load(tmp_path / "out" / "a_seg.nii.gz").dataobj) != pred[0].numpy()).any()


def test_regions_of_resampled_probabilities_begin_at_a_half(tmp_path: Path) -> None:
    run = Run(tmp_path, "PIR", regions=REGIONS, region_values=[1, 2, 3], **RESAMPLED)
    step = ResampledClassesd(run.preprocessing, None, LABELS, REGIONS, [1, 2, 3])
    expected = torch.zeros(run.image.shape)
    for number, probability in enumerate(by_hand(run), start=1):
        expected[probability >= 0.5] = number
    assert torch.equal(step({**run.data, "pred": run.logits})["pred"][0].as_tensor(), expected)


def test_where_nothing_is_resampled_both_masks_are_the_same(tmp_path: Path) -> None:
    run = Run(tmp_path, "ASL", **AS_STORED)
    here = ResampledClassesd(run.preprocessing)({**run.data, "pred": run.logits})["pred"]
    there = LogitsToClassesd()({**run.data, "pred": run.logits})["pred"]
    np.testing.assert_array_equal(here[0].numpy(), run.there(there[0].numpy()))


@pytest.mark.parametrize("make", [SaveMapsd, ResampledClassesd])
def test_logits_that_are_no_numbers_become_no_map(tmp_path: Path, make: type) -> None:
    run = Run(tmp_path, **AS_STORED)
    run.logits[1, 0, 0, 0] = torch.nan
    step = make(run.preprocessing) if make is ResampledClassesd else make(tmp_path, ["entropy"], run.preprocessing)
    with pytest.raises(CaseError, match="the network's output must be finite"):
        step({**run.data, "pred": run.logits})
    assert [file.name for file in tmp_path.iterdir()] == ["a.nii.gz"]


def test_names_of_classes_become_names_of_files_of_which_none_is_another() -> None:
    ugly = [
        "../etc",
        "a/b",
        "a\\b",
        "A b",
        "a\nb",
        "a_b_2",
        "...",
        "",
        "Lebergefäß",
        "肝" * 100,
        "x" * 300,
        "x" * 301,
        "CON:",
        "-",
    ]
    names = map_names(dict(enumerate(ugly)), {}, probabilities=True, uncertainty=True, tta="depth")  # pyright: ignore
    assert names[-2:] == ["entropy", "mutual_information"]
    assert len({name.casefold() for name in names}) == len(ugly) + 2
    for name in names:
        file = map_file("case_seg", name)
        assert Path(file).name == file == f"case_{name}.nii.gz"
        assert not set(file) & set('\\/:*?"<>|\n ')
        assert len(file.encode()) < 100


def test_maps_are_not_taken_for_scans(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Run(tmp_path, **AS_STORED).written()
    (tmp_path / "out" / "a_seg.nii.gz").unlink()
    (tmp_path / "out" / "b_entropy.nii.gz").write_bytes((tmp_path / "a.nii.gz").read_bytes())  # only its name is like a map's
    found = find_images(tmp_path, tmp_path / "elsewhere").cases
    assert [case["name"] for case in found] == ["a_seg", "out/b_entropy_seg"]
    assert "5 files are maps of this bundle, and are omitted: out/a_entropy.nii.gz" in caplog.text


def live() -> int:
    """Bytes of all tensors that the garbage collector looks at."""
    tensors = (one for one in gc.get_objects() if issubclass(type(one), torch.Tensor))
    return sum({one.data_ptr(): one.nbytes() for one in map(torch.Tensor.untyped_storage, tensors)}.values())


def test_beside_the_logits_one_class_lies_in_memory_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    class Watched(Invertd):
        def __call__(self, data: Any) -> Any:
            found.append(live() - before)
            return super().__call__(data)

    monkeypatch.setattr(probability_maps, "Invertd", Watched)
    one_map, peaks, found, before = 4 * np.prod(SHAPE), [], [], 0
    request.addfinalizer(gc.unfreeze)
    gc.collect()
    gc.freeze()  # what is there before is not looked through again and again
    for classes in (3, 9):
        (tmp_path / str(classes)).mkdir()
        labels = {str(value): f"class {value}" for value in range(classes)}
        run = Run(tmp_path / str(classes), "PIR", **RESAMPLED, resample_probabilities=True, labels=labels)
        one_map = max(one_map, run.information.nbytes)
        found.clear()
        gc.collect()
        before = live() + run.logits.nbytes + run.information.nbytes  # `written` joins the two
        assert len(run.written()) == classes + 1
        assert len(found) == 2 * classes + 1  # maps, then the mask
        peaks.append(max(found))
    assert peaks[1] - peaks[0] < one_map
    assert peaks[1] < 6 * one_map


RESET_PEAK = "5"  # to /proc/self/clear_refs: the peak becomes the present resident set (man 5 proc)


def resident(field: str) -> int:
    """Bytes."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024


def growth(folder: Path, classes: int, shape: tuple[int, int, int], plane: int) -> int:
    """Bytes by which this process grows at most while it makes the maps of a volume and both kinds of mask from its logits."""
    folder.mkdir()
    image = np.zeros(shape, np.int16)
    image[: shape[0] // 2] = 100
    nib.save(nib.Nifti1Image(image, np.diag([0.8, 0.8, 1.5, 1])), folder / "a.nii")
    labels = {str(value): f"class {value}" for value in range(classes)}
    preset = {"labels": labels, "spatial_size": [plane, plane], "axcodes": "LPS", "spacing": [-1.0, -1.0, -1.0]}
    parser = ConfigParser()
    parser.read_config(ROOT / "configs" / "inference.json")
    parser.update({"output_dir": str(folder), "probabilities": True, "uncertainty": True, "device": "cpu", **preset})
    before, after = map(parser.get_parsed_content, ("preprocessing", "postprocessing"))
    data = before({"image": str(folder / "a.nii"), "name": "a_seg"})
    logits = torch.randn(classes, 1, 1, 1).expand(-1, *data["image"].shape[1:]).clone()
    del image
    gc.collect()
    start = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text(RESET_PEAK)
    after({**data, "pred": MetaTensor(logits)})
    ResampledClassesd(before)({**data, "pred": logits})
    return resident("VmHWM") - start


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="memory is measured as Linux counts it")
def test_a_large_volume_of_20_classes_takes_less_than_4_gb_beside_its_logits(tmp_path: Path) -> None:
    shape = (512, 512, 600)
    assert growth(tmp_path / "large", 20, shape, 128) + 20 * 4 * 128 * 128 * 600 < 4e9
