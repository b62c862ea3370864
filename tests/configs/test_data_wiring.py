"""From a file to what the network sees, in every run and with every preset."""

from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.transforms import Compose, Randomizable
from torch import nn

from scripts.data.cases.label_values import label_values

from .conftest import CONFIGS, SETTINGS, names, parts

RUNS = ["train.json", "inference.json"]
PRESETS = sorted((CONFIGS / "datasets").glob("*.yaml"))
BOTH = ("image", "label")
STEPS = [
    *("ReadCased", "Orientationd", "CheckMemoryd", "Spacingd", "ScaleIntensityRangePercentilesd"),
    *("CheckContrastd", "ResizeInPlaned", "ShiftClassesd", "SpatialPadd", "ShiftClassesd"),
]
# name -> labels, axes, mm, plane, depth, tolerance, its unit, whether spacing is known, and what differs from train.json
KNOWN: dict[str, tuple[Any, ...]] = {
    "acdc": (4, "RAS", [-1] * 3, (192, 192), 10, 1.0, "voxel", False, {}),
    "brats": (4, "RAS", [-1] * 3, (224, 224), 32, 5.0, "mm", True, {"batch_size": 1}),
    "custom": (3, "RAS", [-1] * 3, (224, 224), 32, 2.0, "mm", True, {"max_epochs": 100}),
    "hippocampus": (3, "RAS", [-1] * 3, (64, 96), 24, 1.0, "mm", True, {"max_epochs": 10, "val_interval": 5}),
    "left_atrium": (2, "RAS", [-1] * 3, (224, 224), 32, 4.0, "mm", True, {}),
    "lung": (2, "RAS", [-1] * 3, (224, 224), 32, 2.0, "mm", True, {}),
    "synapse": (9, "RAS", [-1] * 3, (224, 224), 32, 2.0, "mm", True, {"crop_classes": "balanced"}),
    "phantoms": (4, "RAS", [-1] * 3, (96, 96), 16, 1.2, "mm", True, {"max_epochs": 8, "batch_size": 1, "val_interval": 4}),
}

WINDOWS = {"custom": (-160, 240), "lung": (-1000, 400), "synapse": (-125, 275)}  # HU; the others scale by percentiles
MODALITIES = {"brats": 4}  # the others have one


@pytest.fixture(params=RUNS)
def steps(request: pytest.FixtureRequest) -> list[Any]:
    return parts(request.param, modalities=2, **{"intensity#upper": 98.0})("deterministic_transforms")


def test_a_volume_is_turned_resampled_scaled_fitted_and_padded_in_this_order(steps: list[Any]) -> None:
    assert names(steps) == STEPS
    read, turn, memory, resample, intensity, _, fit, _, pad, _ = steps
    assert (read.modalities, read.values) == (2, label_values(SETTINGS["labels"]))
    assert (turn.ornt_transform.axcodes, turn.ornt_transform.labels) == (SETTINGS["axcodes"], None)
    assert memory.spacing == tuple(SETTINGS["spacing"])
    assert resample.spacing_transform.pixdim.tolist() == SETTINGS["spacing"]
    assert resample.mode == ("bilinear", "nearest")
    assert (fit.resize.plane, fit.mode) == ((32, 48), ("trilinear", "nearest-exact"))
    assert pad.padder.spatial_size == [32, 48, -1]
    assert intensity.keys == ("image",)
    assert (intensity.scaler.lower, intensity.scaler.upper) == (0.5, 98.0)
    for step in (turn, resample, fit, pad):
        assert (step.keys, step.allow_missing_keys) == (BOTH, True)  # a case to segment has no label
    assert not any(isinstance(step, Randomizable) for step in steps)


def test_both_loaders_of_a_training_run_begin_with_these_steps_and_only_training_goes_on_at_random() -> None:
    given = {"crop_pos": 5, "crop_neg": 3, "crop_classes": "balanced"}
    get = parts("train.json", cases={"training": [{}], "validation": [{}]}, **given)
    steps, train, validate = (
        get(part) for part in ("deterministic_transforms", "train#preprocessing", "validate#preprocessing")
    )
    assert [*validate.transforms] == steps
    shift, back = get("ignored_to_zero"), get("zero_to_ignored")
    assert [*train.transforms] == [*steps, *get("random_crop"), shift, *get("augmentation"), back]
    assert (shift.by, back.by) == (0, 0)
    first, pad, second, crop = get("random_crop")
    assert (first, second, crop.ignore_index, crop.crop_classes) == (shift, back, None, "balanced")
    move, contrast, brightness, noise = get("augmentation")
    assert names([pad, crop]) == ["SpatialPadd", "RandCropLabelledd"]
    assert names([move, contrast, brightness, noise]) == [
        *("RandAffined", "RandAdjustContrastd", "RandScaleIntensityd", "RandGaussianNoised")
    ]
    assert pad is get("pad_depth")
    assert (pad.keys, pad.padder.spatial_size) == (BOTH, [-1, -1, 8])
    assert (crop.keys, crop.label_key, crop.cropper.spatial_size) == (BOTH, "label", [32, 48, 8])
    assert (crop.cropper.pos_ratio, crop.cropper.num_samples) == (5 / 8, 1)
    assert (move.keys, move.prob, move.mode, move.padding_mode) == (BOTH, 0.6, ("bilinear", "nearest"), ("zeros", "zeros"))
    grid = move.rand_affine.rand_affine_grid
    assert (grid.rotate_range, grid.scale_range) == ((0, 0, 0.5), (0.25, 0.25, 0.1))  # turned within slices, by 0.5 rad at most
    assert (contrast.keys, contrast.prob, contrast.adjuster.gamma) == (("image",), 0.5, (0.7, 1.5))
    assert (brightness.keys, brightness.prob, brightness.scaler.factors) == (("image",), 0.3, (-0.25, 0.25))
    assert (noise.keys, noise.prob, noise.rand_gaussian_noise.std) == (("image",), 0.2, 0.05)


@pytest.mark.parametrize("run", RUNS)
def test_intensity_may_be_a_transform_for_each_modality(run: str) -> None:
    window = {"_target_": "ScaleIntensityRanged", "keys": "image", "a_min": -100, "a_max": 300, "b_min": 0, "b_max": 1}
    step = parts(run, modalities=2, intensity=[window, {"_target_": "ScaleIntensityd", "keys": "image"}])
    by_channel = step("deterministic_transforms")[4]
    assert names([by_channel, *by_channel.transforms]) == ["PerChanneld", "ScaleIntensityRanged", "ScaleIntensityd"]


@pytest.mark.parametrize("run", [*RUNS, "evaluate.json"])
@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_a_preset_says_all_that_a_run_sees_of_its_data(path: Path, run: str) -> None:
    labels, axes, spacing, plane, depth, tolerance, unit, known, training = KNOWN[path.stem]
    files = ["train.json", *([run] if run == "evaluate.json" else [])] if run != "inference.json" else [run]
    get = bare(*files, path)
    read, turn, memory, resample, intensity, _, fit, _, pad, _ = get("deterministic_transforms")
    assert (len(read.values), get("num_classes"), read.modalities) == (labels, labels, MODALITIES.get(path.stem, 1))
    assert (turn.ornt_transform.axcodes, memory.spacing, resample.spacing_transform.pixdim.tolist()) == (
        axes,
        tuple(spacing),
        spacing,
    )
    assert (fit.resize.plane, pad.padder.spatial_size) == (plane, [*plane, -1])
    assert get("inferer").on_embeddings.roi_depth == depth
    assert_scaled_to_0_and_1(intensity, path.stem)
    if run != "inference.json":
        assert [get(name) for name in ("nsd_tolerance", "nsd_unit", "spacing_known")] == [tolerance, unit, known]
        defaults = {"max_epochs": 100, "batch_size": 2, "val_interval": 2, "crop_pos": 2, "crop_neg": 1, "crop_classes": None}
        assert {name: get(name) for name in defaults} == {**defaults, **training}


def test_every_preset_is_known() -> None:
    assert sorted(KNOWN) == [path.stem for path in PRESETS]


def assert_scaled_to_0_and_1(intensity: Any, preset: str) -> None:
    """MRI by the percentiles of each channel of each volume, CT by a window."""
    image = torch.from_numpy(np.random.default_rng(0).normal(scale=500, size=(2, 9, 8, 7)).astype("float32"))
    image[1] += 900
    scaled = intensity({"image": image.clone(), "label": image})
    if preset in WINDOWS:
        low, high = WINDOWS[preset]
        expected = [(channel - low) / (high - low) for channel in image]
    else:
        bounds = [np.percentile(channel, (0.5, 99.5)) for channel in image]
        expected = [(channel - low) / (high - low) for channel, (low, high) in zip(image, bounds, strict=True)]
    torch.testing.assert_close(torch.as_tensor(scaled["image"]), torch.stack(expected).clip(0, 1), atol=1e-4, rtol=0)
    assert torch.equal(scaled["label"], image)


def bare(*files: str | Path) -> Any:
    """Of the files alone."""
    parser = ConfigParser()
    parser.read_config([str(CONFIGS / file) for file in files])
    parser.update({"bundle_root": str(CONFIGS.parent)})
    return parser.get_parsed_content


def test_the_steps_in_one() -> None:
    get = parts("inference.json")
    assert isinstance(get("preprocessing"), Compose)
    assert [*get("preprocessing").transforms] == get("deterministic_transforms")


def test_the_merged_classes_reach_all_that_counts_or_names_classes(phantoms: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"merge_labels": {"abdomen": ["vessel", "liver"], "kidney": [2]}, "output_dir": tmp_path}
    classes = {"0": "background", "1": "abdomen", "2": "kidney"}
    cases = {"training": [{}], "validation": [{}]}
    for files, given in ((["train.json"], {"cases": cases}), (["train.json", "evaluate.json"], {}), (["inference.json"], {})):
        get = parts(*files, **settings, **given)
        assert (get("classes"), get("num_classes")) == (classes, 3)
        read = get("deterministic_transforms")[0]
        assert (read.stored, read.values, read.merged) == ([0, 1, 2, 3], [0, 1, 2], {3: 1})
        assert get("network_def").decoder.heads[0].out_channels == 3
    assert [one.values.tolist() for one in get("postprocessing").transforms if hasattr(one, "values")] == [[0, 1, 2]]
    get = parts("train.json", "evaluate.json", **settings)
    assert get("metrics").labels == {1: "abdomen", 2: "kidney"}
    label = get("metrics").open_reference(str(phantoms / "labels" / "phantom_000.nii.gz"))
    assert np.unique(label.read()).tolist() == [0, 1, 2]
    shown = get("validate#postprocessing").transforms
    assert [one.values.tolist() for one in shown if hasattr(one, "values")] == [[0, 1, 2]]
    get = parts("train.json", cases=cases, **settings)
    (of_class,) = get("validate#additional_metrics").values()
    assert (of_class.metric_fn.prefix, of_class.metric_fn.structures) == ("val_dice/", {"abdomen": [1], "kidney": [2]})
    dicom = parts("inference.json", "overlays/dicom_seg.yaml", **settings)("postprocessing").transforms[-1]
    assert dicom.names == {1: "abdomen", 2: "kidney"}


def test_voxels_to_be_ignored_reach_all_that_counts_voxels(tmp_path: Path) -> None:
    settings = {"ignore_label": [255, 9], "class_weights": [1, 2, 3, 4], "output_dir": tmp_path}
    get = parts("train.json", cases={"training": [{}], "validation": [{}]}, **settings)
    loss, read, crop = get("loss").loss, get("deterministic_transforms")[0], get("random_crop")[-1]
    assert (loss.ignore_index, loss.dice.ignore_index, loss.weight) == (4, 4, [1, 2, 3, 4])
    assert (read.ignored, crop.ignore_index) == ([9, 255], 4)
    key, of_class = get("validate#key_metric"), get("validate#additional_metrics")
    assert [one.metric_fn.ignore_index for one in (*key.values(), *of_class.values())] == [4, 4]
    cache = parts("train.json", "overlays/cached.yaml", cases={"training": [], "validation": []}, **settings)("embedding_cache")
    assert cache.ignore_index == 4
    for pipeline in cache.pipelines:
        assert sum(step.by for step in pipeline.transforms if type(step).__name__ == "ShiftClassesd") == 0
    joint = parts("train.json", "overlays/joint_dice.yaml", cases={"training": [], "validation": []}, **settings)("loss").loss
    assert (joint.ignore_index, joint.weight) == (4, [1, 2, 3, 4])
    evaluation = parts("train.json", "evaluate.json", **settings)
    assert evaluation("metrics").ignore_label == [255, 9]


def test_regions_reach_all_that_looks_at_voxels(tmp_path: Path) -> None:
    """The network has an output for each; classes are as many as before."""
    settings = {
        "regions": {"organs": [1, 3], "tubes": [3]},
        "region_values": [1, 3],
        "class_weights": [2, 5],
        "ignore_label": [255],
    }
    settings |= {"cases": {"training": [], "validation": []}, "output_dir": tmp_path, "labels": {"0": "a", "1": "b", "3": "c"}}
    train, evaluate, infer = (
        parts(*files, **settings) for files in (["train.json"], ["train.json", "evaluate.json"], ["inference.json"])
    )
    for get in (train, infer):
        assert [head[-1].out_channels for head in map(list_of_layers, get("network_def").decoder.heads)] == [2] * 4
    loss = train("loss").loss
    assert (loss.regions, loss.weight, loss.ignore_index) == ([[1, 2], [2]], [2, 5], 3)
    assert train("structures") == {"organs": [1, 2], "tubes": [2]}
    assert evaluate("metrics").structures == {"organs": [1, 3], "tubes": [3]}
    steps = [train("validate#postprocessing"), evaluate("validate#postprocessing"), infer("postprocessing")]
    written = [step.written for step in chain(*(each.transforms for each in steps)) if hasattr(step, "written")]
    assert written == [[1, 2]] * 3


def list_of_layers(head: nn.Module) -> list[nn.Conv3d]:
    return [layer for layer in head.modules() if isinstance(layer, nn.Conv3d)]


def test_every_network_has_an_output_for_each_class_or_region() -> None:
    for path in sorted((CONFIGS / "research" / "networks").glob("*.yaml")):
        assert "@num_classes" not in path.read_text(), path


def test_what_nobody_annotated_reaches_the_losses_and_the_metrics() -> None:
    partly = {"annotated": ["liver", "vessel"], "label_set": 5}
    cases = {"training": [{}, partly], "validation": []}
    get, joint = (parts("train.json", *more, cases=cases) for more in ((), ("overlays/joint_dice.yaml",)))
    metrics = [*get("validate#key_metric").values(), *get("validate#additional_metrics").values()]
    for part in (get("loss").loss, joint("loss").loss, *(metric.metric_fn for metric in metrics)):
        assert part.label_sets == {5: [2]}


@pytest.mark.parametrize(("ignore_label", "outside"), [([], 0), ([255], 4)])
def test_what_lies_outside_of_the_image_is_ignored_where_anything_is(ignore_label: list[int], outside: int) -> None:
    """Padding in the plane and along the depth, and what a rotation brings in; the volume is all of one class."""
    turned = {"augmentation#0#prob": 1, "augmentation#0#scale_range": [0, 0, 0]}
    get = parts("train.json", cases={"training": [{}], "validation": [{}]}, ignore_label=ignore_label, **turned)
    steps = [step for step in get("train#preprocessing").transforms if "label" in getattr(step, "keys", "label")]
    padded = {"image": torch.ones(1, 32, 40, 5), "label": torch.ones(1, 32, 40, 5)}
    (first,) = [number for number, name in enumerate(names(steps)) if name == "ResizeInPlaned"]
    data: Any = Compose(steps[first + 1 :]).set_random_state(seed=0)(padded)
    (crop,) = data
    label, image = crop["label"], crop["image"]
    assert label.shape == image.shape == (1, 32, 48, 8)
    assert label.unique().tolist() == sorted([1, outside])
    assert (label[image > 0.99] == 1).all()
    assert (label[image < 0.01] == outside).all()
    assert (image < 0.01).float().mean() > 1 - 5 / 8 * 40 / 48  # more than was padded
