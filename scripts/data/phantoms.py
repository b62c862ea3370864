"""A seed -> labelled volumes that look a little like abdominal scans, as NIfTI files in Decathlon layout."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from ..files.atomic_write import write_json

LABELS = {"0": "background", "1": "liver", "2": "kidney", "3": "vessel"}
SPACING = (1.0, 1.2, 3.0)  # mm, anisotropic as clinical scans are
ORIENTATIONS = ("RAS", "LPS", "ASL")  # the storage orders, in turn


def write_phantoms(folder: Path, counts: Mapping[str, int], shape: Sequence[int] = (64, 56, 20), seed: int = 0) -> Path:
    """Writes `counts[part]` cases for each part (training, validation, test) and their dataset.json, whose path it returns.

    shape: voxels along R, A and S. Each case has its own oblique affine and one of three storage orientations. A phantom has
    sharp organs and white noise; it has no pathology, no artefacts, and organs that never touch the border.
    """
    generator = np.random.default_rng(seed)
    content: dict = {"name": "phantoms", "labels": LABELS, "modality": {"0": "phantom"}}
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "labels").mkdir(exist_ok=True)
    number = 0
    for part, count in counts.items():
        content[part] = []
        for _ in range(count):
            name = f"phantom_{number:03d}.nii.gz"
            image, label = phantom(generator, shape)
            affine = oblique_affine(generator)
            for kind, array in (("images", image), ("labels", label)):
                nib.save(reorient(nib.Nifti1Image(array, affine), ORIENTATIONS[number % 3]), folder / kind / name)
            content[part].append({"image": f"./images/{name}", "label": f"./labels/{name}"})
            number += 1
    path = folder / "dataset.json"
    write_json(path, content)
    return path


def phantom(generator: np.random.Generator, shape: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """An image (int16, arbitrary scale) and its label (uint8), both (R, A, S)."""
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")

    def ellipsoid(centre: Sequence[float], radii: Sequence[float], jitter: float = 0.06) -> np.ndarray:
        cx, cy, cz = np.asarray(centre) + generator.uniform(-jitter, jitter, 3)
        rx, ry, rz = np.asarray(radii) * generator.uniform(0.85, 1.15, 3)
        return ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 + ((z - cz) / rz) ** 2 < 1

    label = np.zeros(tuple(shape), np.uint8)
    label[ellipsoid((0.35, 0.15, 0.1), (0.42, 0.5, 0.65))] = 1
    label[ellipsoid((-0.45, -0.35, 0.0), (0.22, 0.28, 0.55))] = 2
    bend = 0.15 * np.sin(2 * z + generator.uniform(0, 2 * np.pi))
    label[((x + 0.25 + bend) ** 2 + (y - 0.35) ** 2 < 0.17**2) & (abs(z) < 0.85)] = 3
    means = np.array([220, 480, 640, 860]) * generator.uniform(0.95, 1.05, 4)
    body = (x / 0.95) ** 2 + (y / 0.92) ** 2 < 1
    image = np.where(body, means[label], 20.0)
    image *= 1 + 0.1 * gaussian_filter(generator.standard_normal(tuple(shape)), np.asarray(shape) / 4, mode="wrap") * shape[0]
    image += 35 * generator.standard_normal(tuple(shape))
    return np.clip(image * generator.uniform(0.5, 4), 0, 32767).astype(np.int16), label


def oblique_affine(generator: np.random.Generator) -> np.ndarray:
    """Voxels (R, A, S) -> mm: `SPACING`, turned by up to 15 degrees about each axis, moved by up to 100 mm."""
    affine = np.eye(4)
    rotation = Rotation.from_euler("xyz", generator.uniform(-15, 15, 3), degrees=True)
    affine[:3, :3] = rotation.as_matrix() @ np.diag(SPACING)
    affine[:3, 3] = generator.uniform(-100, 100, 3)
    return affine


def reorient(image: nib.Nifti1Image, axcodes: str) -> nib.Nifti1Image:
    """The same volume at the same place, stored in another order of axes."""
    start = nib.io_orientation(image.affine)
    turn = nib.orientations.ornt_transform(start, nib.orientations.axcodes2ornt(axcodes))
    return image.as_reoriented(turn)  # pyright: ignore[reportArgumentType] - annotated as lists, it needs an array
