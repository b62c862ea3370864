"""A volume that resampling would make larger than memory is refused before it is made, and by its name."""

from pathlib import Path

import nibabel as nib
import numpy as np
import psutil
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Orientationd, Spacingd
from test_check_contrast import LABELS

from scripts.data import CaseError, CheckMemoryd, ReadCased


def image(spacing: float, shape: tuple[int, ...] = (1, 40, 48, 36)) -> dict[str, MetaTensor]:
    affine = torch.diag(torch.tensor([spacing, spacing, spacing, 1.0], dtype=torch.float64))
    return {"image": MetaTensor(torch.rand(shape), affine=affine, meta={"filename_or_obj": "scan.nii.gz"})}


@pytest.fixture(autouse=True)
def one_gigabyte(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = psutil.virtual_memory()._replace(available=10**9)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)


@pytest.mark.parametrize(("spacing", "accepted"), [(0.5, True), (1.0, True), (5.0, True), (8.0, False), (40.0, False)])
def test_what_resampling_makes_must_fit(spacing: float, accepted: bool) -> None:
    case = image(spacing)
    if accepted:
        assert CheckMemoryd([1.0, 1.0, 1.0])(case) is case
        return
    with pytest.raises(CaseError, match=r"scan\.nii\.gz: a volume must fit into memory; .* GB; 1 GB are free") as caught:
        CheckMemoryd([1.0, 1.0, 1.0])(case)
    size = " x ".join(str(round(n * spacing)) for n in (40, 48, 36))
    assert f"resampled to 1 x 1 x 1 mm are {size} voxels" in caught.value.found


@pytest.mark.parametrize("spacing", [[-1.0, -1.0, -1.0], [0.0, -1.0, -1.0], [40.0, 40.0, 40.0]])
def test_what_is_kept_as_it_is_needs_no_more(spacing: list[float]) -> None:
    assert CheckMemoryd(spacing)(image(40.0))


def test_the_limit_of_a_container_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("300000000\n")
    (tmp_path / "memory.current").write_text("100000000\n")
    monkeypatch.setattr("scripts.basics.free_memory.free_memory.__defaults__", (tmp_path,))
    with pytest.raises(CaseError, match=r"fit into memory; .* 0\.2 GB are free"):
        CheckMemoryd([1.0, 1.0, 1.0])(image(5.0))


def test_channels_count() -> None:
    assert CheckMemoryd([1.0, 1.0, 1.0])(image(5.5))
    with pytest.raises(CaseError, match="fit into memory"):
        CheckMemoryd([1.0, 1.0, 1.0])(image(5.5, (8, 40, 48, 36)))


def test_the_size_is_that_which_resampling_then_makes_along_the_presets_axes(tmp_path: Path) -> None:
    """Edges of 8, 1 and 2 mm lie along other axes after the reorientation."""
    nib.save(nib.Nifti1Image(np.random.default_rng(0).random((10, 20, 30)), np.diag([8, 1, 2, 1.0])), tmp_path / "scan.nii")
    turned = Compose([ReadCased(1, LABELS), Orientationd("image", "SAR", labels=None)])({"image": str(tmp_path / "scan.nii")})
    spacing = (1e-2, 2e-2, 4.0)
    with pytest.raises(CaseError, match="are 6000 x 1000 x 20 voxels"):
        CheckMemoryd(spacing)(turned)
    made = Spacingd("image", (1.0, 2.0, 4.0))(turned)["image"]
    assert made.shape[3] == pytest.approx(20, abs=1)
