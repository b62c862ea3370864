"""Sizes, spacings and intensities of a dataset -> a preset that suits them and says why."""

from typing import Any

import numpy as np
import pytest
import yaml

from scripts.data.onboarding.measure_dataset import Measured
from scripts.data.onboarding.propose_preset import propose_preset

MRI = {"modalities": ["T1"], "minimum": 0.0, "foreground": (10.0, 900.0)}


def text_for(shape: tuple = (200, 160, 40), spacing: tuple = (1.0, 1.0, 3.0), **others: Any) -> str:
    """The preset of ten cases, equal but where `shape` or `spacing` is a list of one for each."""
    values = {
        "network": "detail",
        "name": "x",
        "labels": {"0": "background", "1": "liver"},
        "ignore_label": [],
        "sampled": 10,
        "is_whole": True,
        **MRI,
        **others,
    }
    shapes, spacings = (np.array(np.broadcast_to(np.asarray(value, dtype=float), (10, 3))) for value in (shape, spacing))
    network = values.pop("network")
    return propose_preset(Measured(shapes=shapes, spacings=spacings, **values), network)


def preset(*arguments: Any, **others: Any) -> dict[str, Any]:
    return yaml.safe_load(text_for(*arguments, **others))


@pytest.mark.parametrize(
    ("shape", "spacing", "axcodes"),
    [
        ((20, 200, 200), (4.0, 0.9, 0.9), "ASR"),
        ((200, 20, 200), (0.9, 4.0, 0.9), "SRA"),
        ((200, 200, 20), (0.9, 0.9, 4.0), "RAS"),
        ((200, 200, 180), (1.0, 1.2, 1.0), "RAS"),
        ((12, 200, 200), (1.0, 1.0, 1.0), "ASR"),
    ],
    ids=["sagittal", "coronal", "axial", "isotropic", "a stack by its shape alone"],
)
def test_slices_lie_along_the_coarsest_axis_and_nothing_is_mirrored(shape: tuple, spacing: tuple, axcodes: str) -> None:
    assert preset(shape, spacing)["axcodes"] == axcodes
    permutation = np.eye(3)[["RAS".index(letter) for letter in axcodes]]
    assert np.linalg.det(permutation) == pytest.approx(1)


def test_sizes_follow_the_order_of_the_axes() -> None:
    proposed = preset((20, 200, 100), (4.0, 1.0, 1.0))
    assert (proposed["axcodes"], proposed["spatial_size"], proposed["roi_depth"]) == ("ASR", [208, 112], 20)


@pytest.mark.parametrize(
    ("plane", "size"),
    [
        ((35, 51), [64, 96]),
        ((100, 120), [112, 128]),
        ((512, 512), [224, 224]),
        ((400, 300), [224, 176]),
        ((30, 200), [48, 224]),
    ],
)
def test_slices_keep_their_aspect_and_are_neither_tiny_nor_huge(plane: tuple[int, int], size: list[int]) -> None:
    assert preset((*plane, 40))["spatial_size"] == size


@pytest.mark.parametrize(("depths", "expected"), [(9, 9), (32, 32), (300, 32)])
def test_crops_are_as_deep_as_the_median_case_and_at_most_32_slices(depths: int, expected: int) -> None:
    assert preset((200, 200, depths))["roi_depth"] == expected


def test_what_is_stored_alike_is_not_resampled() -> None:
    assert preset()["spacing"] == [-1.0, -1.0, -1.0]
    wide = [(size, size, 3.0) for size in np.linspace(0.6, 1.4, 10)]  # scaled to fit the plane anyway
    assert preset(spacing=wide)["spacing"] == [-1.0, -1.0, -1.0]


def test_slices_at_very_different_distances_are_brought_to_the_median_one() -> None:
    proposed = preset((512, 512, 300), [(0.8, 0.8, distance) for distance in (0.7, 1, 1.5, 2, 2.5, 2.5, 2.5, 3, 5, 5)])
    assert proposed["spacing"] == [-1.0, -1.0, 2.5]


def test_pixels_that_are_no_squares_become_squares() -> None:
    proposed = preset((200, 100, 30), (1.0, 2.0, 6.0))
    assert proposed["spacing"] == [1.5, 1.5, -1.0]
    assert proposed["spatial_size"] == [144, 144]


@pytest.mark.parametrize(
    "others", [{"modalities": ["CT"]}, {"modalities": ["unknown"], "minimum": -1024.0}, {"modalities": ["ceCT"]}]
)
def test_ct_gets_the_window_of_its_structures(others: dict[str, Any]) -> None:
    intensity = preset(**{"foreground": (-93.2, 201.0), **others})["intensity"]
    assert intensity["_target_"] == "ScaleIntensityRanged"
    assert (intensity["a_min"], intensity["a_max"]) == (-100.0, 210.0)


@pytest.mark.parametrize(
    "others", [{}, {"modalities": ["T1", "CT"]}, {"modalities": ["direct"]}, {"minimum": -1024.0, "is_whole": False}]
)
def test_others_are_scaled_by_their_own_percentiles(others: dict[str, Any]) -> None:
    proposed = preset(**others)
    assert proposed["intensity"]["_target_"] == "ScaleIntensityRangePercentilesd"
    assert proposed["modalities"] == len(others.get("modalities", ["T1"]))


def test_headers_that_say_one_millimetre_of_a_flat_stack_are_doubted_not_decided() -> None:
    text = text_for((216, 256, 9), (1.0, 1.0, 1.0))
    assert "IN DOUBT: all headers say 1 x 1 x 1 mm" in text
    assert yaml.safe_load(text)["spacing_known"] is True
    assert "IN DOUBT" not in text_for((216, 256, 9), (1.4, 1.4, 10.0))


def test_cases_with_slices_along_another_axis_are_doubted() -> None:
    text = text_for(spacing=[(1, 1, 3)] * 8 + [(4, 1, 1)] * 2)
    assert "2 of 10 cases are coarsest along another axis" in " ".join(text.replace("#", "").split())


@pytest.mark.parametrize("name", ["no", "yes", "1: x", "it's", 'say "a"', "Hüfte 片", "#1", "null", "1.0", "a, b", "- x", "😀"])
def test_a_name_is_written_as_it_is(name: str) -> None:
    assert preset(labels={"0": "background", "3": name, "7": "tumour"})["labels"] == {
        "0": "background",
        "3": name,
        "7": "tumour",
    }
    assert f"# {name}\n" in text_for(modalities=[name])


def test_a_name_that_cannot_be_written_is_refused() -> None:
    with pytest.raises(ValueError, match="printable"):
        text_for(labels={"0": "background", "1": "\x7f"})


def test_many_labels_stand_below_each_other_and_every_line_is_short() -> None:
    text = text_for(labels={str(value): f"structure number {value}" for value in range(100)})
    assert len(yaml.safe_load(text)["labels"]) == 100
    assert max(map(len, text.splitlines())) <= 120


def test_every_value_but_the_labels_has_its_reason() -> None:
    lines = text_for().splitlines()
    assert [line for line in lines if line[0].isalpha() and "#" not in line] == ['labels: {"0": background, "1": liver}']


def test_values_to_be_ignored_are_taken_over_and_no_line_is_there_without_them() -> None:
    assert preset(ignore_label=[3, 9])["ignore_label"] == [3, 9]
    assert "ignore_label" not in preset()


def test_the_cost_is_that_of_the_network_that_is_proposed() -> None:
    with_encoder, without = (text_for(network=network).splitlines() for network in ("detail", "detail+no_encoder"))
    heads = [" ".join(line for line in lines if line.startswith("#")) for lines in (with_encoder, without)]
    assert all(words in heads[0] for words in ("--network detail:", "beside the encoder", "GB of embeddings and pixels"))
    assert "--network detail+no_encoder:" in heads[1] and "GB of pixels" in heads[1]
    assert "beside the encoder" not in heads[1] and "embeddings" not in heads[1]
    assert [line for line in with_encoder if not line.startswith("#")] == [line for line in without if not line.startswith("#")]
