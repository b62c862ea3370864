"""A picture shows the right slice of the right cases, in the classes' colours and the right way up."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from matplotlib.image import imread
from monai.data import MetaTensor
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard.writer import SummaryWriter

from scripts.basics.figures import OPACITY, colour_of
from scripts.handlers import ValidationImages

SHAPE = (6, 5, 7)
Case = dict[str, MetaTensor]


def case(number: int = 0, flips: tuple[int, int, int] = (1, 1, 1)) -> Case:
    """Dark, with one bright voxel in each slice; the axes of the grid point to R, A and S, or away where they are flipped."""
    image = torch.zeros(1, *SHAPE)
    image[0, 1, 3] = 1
    affine = torch.diag(torch.tensor([*flips, 1.0]))
    empty = torch.zeros(1, *SHAPE)
    tensors = {"image": image, "pred": empty.clone(), "label": empty.clone()}
    file = f"data/images/case_{number}.nii.gz"
    return {key: MetaTensor(value, meta={"filename_or_obj": file, "affine": affine}) for key, value in tensors.items()}


def draw(folder: Path, cases: list[Case], epochs: int = 1, num_classes: int = 3) -> EventAccumulator:
    writer = SummaryWriter(str(folder))
    evaluator = Engine(lambda engine, number: [cases[number]])
    ValidationImages(writer, evaluator, num_classes).attach(Engine(lambda engine, batch: None))
    for epoch in range(1, epochs + 1):
        evaluator.state.iteration = 0  # as MONAI's evaluators do
        evaluator.state.epoch, evaluator.state.epoch_length = epoch - 1, len(cases)
        evaluator.run(range(len(cases)), max_epochs=epoch)
    writer.close()
    return EventAccumulator(str(folder), size_guidance={"images": 0}).Reload()


def picture(folder: Path, shown: Case, **options: int) -> np.ndarray:
    """Image, mask and reference, (3, rows, columns, 3) in [0, 1]."""
    events = draw(folder, [shown], **options)
    (event,) = events.Images(events.Tags()["images"][0])
    pixels = imread(BytesIO(event.encoded_image_string), format="png")
    assert pixels.shape == (SHAPE[1], 3 * SHAPE[0], 3)
    return np.stack(np.split(pixels, 3, 1))


def test_the_first_three_cases_are_drawn_in_every_validation(tmp_path: Path) -> None:
    events = draw(tmp_path, [case(number) for number in range(5)], epochs=2)
    assert events.Tags()["images"] == [f"validation/{n + 1}_case_{n}.nii.gz" for n in range(3)]
    for tag in events.Tags()["images"]:
        assert [event.step for event in events.Images(tag)] == [1, 2]


def test_mask_and_reference_stand_beside_the_image_in_their_classes_colours(tmp_path: Path) -> None:
    shown = case()
    shown["label"][0, 4, 0, 2] = 1
    shown["label"][0, 4, 1, 2] = 3  # to be ignored: no class
    shown["label"][0, 5, 1, 2] = -2  # of a case that is annotated for some classes
    shown["pred"][0, 2, 2, 2] = 2
    image, mask, reference = picture(tmp_path, shown)
    np.testing.assert_allclose(mask[2, 3], OPACITY * np.array(colour_of(2)), atol=1 / 255)  # rows from front, columns from R
    np.testing.assert_allclose(reference[4, 1], OPACITY * np.array(colour_of(1)), atol=1 / 255)
    assert image[1, 4].tolist() == [1, 1, 1]
    assert (mask != image).any(-1).sum() == (reference != image).any(-1).sum() == 1


def test_a_coloured_voxel_lets_the_image_through(tmp_path: Path) -> None:
    shown = case()
    shown["label"][0, 1, 3, 2] = 1
    np.testing.assert_allclose(
        picture(tmp_path, shown)[2][1, 4], (1 - OPACITY) + OPACITY * np.array(colour_of(1)), atol=1 / 255
    )


@pytest.mark.parametrize(("labelled", "middle"), [([1, 2, 6], 2), ([5], 5), ([], 3)])
def test_the_slice_is_the_middle_one_of_those_that_are_labelled(tmp_path: Path, labelled: list[int], middle: int) -> None:
    shown = case()
    shown["label"][0, 0, 0, labelled] = 1
    shown["pred"][0, 5, 4, middle] = 2
    assert (picture(tmp_path, shown)[1] != picture(tmp_path / "again", case())[0]).any(-1).sum() == 1


@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, 1), (1, -1, 1), (-1, -1, -1)])
def test_front_is_up_and_the_patients_right_is_at_the_left(tmp_path: Path, flips: tuple[int, int, int]) -> None:
    shown = case(flips=flips)
    bright = np.argwhere(picture(tmp_path, shown)[0][..., 0] == 1)
    right, front = (index if flip == 1 else size - 1 - index for index, flip, size in zip((1, 3), flips, SHAPE, strict=False))
    assert bright.tolist() == [[SHAPE[1] - 1 - front, SHAPE[0] - 1 - right]]


def test_an_even_slice_is_drawn_too(tmp_path: Path) -> None:
    shown = case()
    shown["image"][:] = 0.5
    assert np.isfinite(picture(tmp_path, shown)).all()
