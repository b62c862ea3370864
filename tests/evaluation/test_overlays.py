"""Images, masks and references -> one picture, as radiologists look at it however the files are stored."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from matplotlib.image import imread
from scipy.ndimage import find_objects, label

from scripts.data import open_image
from scripts.data.phantoms import reorient
from scripts.evaluation import draw_overlays

LABELS = {1: "liver", 2: "kidney"}
SHAPE = (40, 20, 6)  # voxels along R, A, S
MARKER = (slice(30, 36), slice(12, 16), 4)  # to the right and to the front, in one slice


def case(folder: Path, axcodes: str = "RAS", spacing: tuple[float, float, float] = (1, 1, 1)) -> dict[str, str]:
    """A black image with a white marker; mask and reference are the marker."""
    image, organ = np.zeros(SHAPE, np.float32), np.zeros(SHAPE, np.uint8)
    image[MARKER], organ[MARKER] = 1000, 1
    files = {}
    for key, voxels in (("image", image), ("mask", organ), ("reference", organ)):
        files[key] = str(folder / f"{key}.nii")
        nib.save(reorient(nib.Nifti1Image(voxels, np.diag([*spacing, 1.0])), axcodes), files[key])
    return files | {"title": "case"}


def panels(picture: np.ndarray) -> list[np.ndarray]:
    """The parts of a drawn picture that show the black image, from the top, RGB in 0..1."""
    regions, _ = label(picture[..., :3].max(-1) < 0.1)
    sizes = np.bincount(regions.ravel())[1:]
    large = np.flatnonzero(sizes > 0.5 * sizes.max())
    return [picture[place][..., :3] for place in (find_objects(regions)[i] for i in large)]


@pytest.mark.parametrize("count", [1, 2, 6])
def test_every_case_gets_its_image_its_mask_and_its_reference(tmp_path: Path, count: int) -> None:
    draw_overlays([case(tmp_path)] * count, LABELS, tmp_path / "overlays.png", open_image)
    assert (tmp_path / "overlays.png").read_bytes().startswith(b"\x89PNG")
    picture = imread(tmp_path / "overlays.png")
    assert len(panels(picture)) == 3 * count
    assert picture.shape[1] == pytest.approx(220 * count + 44, abs=1)  # pixels


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_images_of_every_format_are_drawn(tmp_path: Path, suffix: str) -> None:
    files = case(tmp_path, spacing=(2, 0.8, 1))
    draw_overlays([files], LABELS, tmp_path / "nifti.png", open_image)
    other = str(tmp_path / f"image{suffix}")
    SimpleITK.WriteImage(SimpleITK.ReadImage(files["image"]), other)
    draw_overlays([files | {"image": other}], LABELS, tmp_path / "other.png", open_image)
    assert (imread(tmp_path / "other.png") == imread(tmp_path / "nifti.png")).all()


def test_without_cases_there_is_no_picture(tmp_path: Path) -> None:
    draw_overlays([], LABELS, tmp_path / "overlays.png", open_image)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("axcodes", ["RAS", "LPS", "ASL", "PIR"])
def test_the_front_is_up_and_the_right_is_left(tmp_path: Path, axcodes: str) -> None:
    """The marker is shown at its place: 30..36 of 40 from the left side, 12..16 of 20 from the back."""
    draw_overlays([case(tmp_path, axcodes)], LABELS, tmp_path / "overlays.png", open_image)
    shown = panels(imread(tmp_path / "overlays.png"))[0]
    row, column = np.argwhere(shown.max(-1) > 0.5).mean(0) / shown.shape[:2]
    assert (row, column) == (pytest.approx(1 - 14 / 20, abs=0.03), pytest.approx(1 - 33 / 40, abs=0.03))


@pytest.mark.parametrize("axcodes", ["RAS", "ASL"])
@pytest.mark.parametrize("spacing", [(1, 1, 5), (0.5, 2, 3), (2, 0.8, 1)])
def test_millimetres_are_equally_long_in_both_directions(
    tmp_path: Path, axcodes: str, spacing: tuple[float, float, float]
) -> None:
    draw_overlays([case(tmp_path, axcodes, spacing)], LABELS, tmp_path / "overlays.png", open_image)
    for panel in panels(imread(tmp_path / "overlays.png")):
        height, width, _ = panel.shape
        assert height / width == pytest.approx((20 * spacing[1]) / (40 * spacing[0]), rel=0.05)


def test_mask_and_reference_are_filled_in_the_colour_of_their_class_and_the_reference_is_outlined_too(tmp_path: Path) -> None:
    files = case(tmp_path)
    reference = np.zeros(SHAPE, np.uint8)
    reference[6:14, 4:8, 4] = 1
    nib.save(nib.Nifti1Image(reference, np.eye(4)), files["reference"])
    draw_overlays([files], LABELS, tmp_path / "overlays.png", open_image)
    plain, with_mask, with_reference = (
        panel[..., 2] - panel[..., 0] > 0.15 for panel in panels(imread(tmp_path / "overlays.png"))
    )
    height, width = plain.shape

    def shown_at(right: tuple[int, int], front: tuple[int, int]) -> tuple[slice, slice]:
        """Rows and columns of these voxels, without the pixels of their edges."""
        left_edge, right_edge = (width - width * r // 40 for r in right[::-1])
        top, bottom = (height - height * a // 20 for a in front[::-1])
        return slice(top + 4, bottom - 4), slice(left_edge + 4, right_edge - 4)

    of_mask, (rows, columns) = shown_at((30, 36), (12, 16)), shown_at((6, 14), (4, 8))
    assert not plain.any()
    assert with_mask[of_mask].all() and with_reference[rows, columns].all()
    assert not with_reference[of_mask].any()
    assert not with_mask[rows, columns].any()  # the reference is hollow there
    assert with_mask[rows, columns.start - 8 : columns.start].any(1).all()  # and has an outline
    assert with_mask[rows.start - 8 : rows.start, columns].any(0).all()
