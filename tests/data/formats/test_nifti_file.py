"""A NIfTI file -> the voxels that nibabel reads too; a damaged one is refused by name, never read as something else."""

import gzip
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from raw_nifti import SHAPE, VOXELS, write_nifti

from scripts.data import CaseError
from scripts.data.formats.nifti_file import SURPLUS, open_nifti

DTYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8")
AFFINE = np.diag([1.0, 2.0, 3.0, 1.0])


def volume(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 900, shape).astype(np.int16)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("order", ["<", ">"], ids=["little", "big"])
@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_type_order_and_version_is_read_to_the_last_voxel(
    tmp_path: Path, dtype: str, version: int, order: str, suffix: str
) -> None:
    voxels = np.random.default_rng(0).integers(0, 120, SHAPE).astype(dtype)
    path = write_nifti(tmp_path / f"scan{suffix}", voxels, AFFINE, version=version, order=order)
    image = open_nifti(path)
    assert (image.path, image.files, image.shape, image.channels, image.notes) == (path, (path,), SHAPE, 1, ())
    assert image.dtype.newbyteorder("=") == np.dtype(dtype)
    np.testing.assert_array_equal(image.affine, AFFINE)
    stored = image.read()
    assert stored.dtype == np.float32
    np.testing.assert_array_equal(stored[0], voxels.astype(np.float32))


@pytest.mark.parametrize("name", ["SCAN.NII", "scan.NII.GZ", "SCAN.NII.GZ"])
def test_a_suffix_may_be_in_capitals(tmp_path: Path, name: str) -> None:
    path = write_nifti(tmp_path / "scan.nii.gz" if name.lower().endswith("gz") else tmp_path / "scan.nii")
    np.testing.assert_array_equal(open_nifti(str(Path(path).rename(tmp_path / name))).read()[0], VOXELS)


@pytest.mark.parametrize("name", ["Scan.Nii", "scan.NII.gz", "scan.nii.GZ"])
def test_a_suffix_for_which_nibabel_would_look_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    path = Path(write_nifti(tmp_path / "scan.nii.gz")).rename(tmp_path / name)
    with pytest.raises(CaseError, match=f"{name}: a suffix must be in small letters, or in capitals"):
        open_nifti(str(path))


@pytest.mark.parametrize("dtype", ["u1", "i2", "f4", "f8"])
@pytest.mark.parametrize(("slope", "inter"), [(1, 0), (0.37, -1024), (-2, 5), (0, 7), (np.nan, 0), (1e-30, 1e6)])
def test_intensities_are_scaled_as_nibabel_scales_them(tmp_path: Path, dtype: str, slope: float, inter: float) -> None:
    def edit(header: nib.Nifti1Header) -> None:
        header["scl_slope"], header["scl_inter"] = slope, inter

    path = write_nifti(tmp_path / "scan.nii.gz", np.abs(VOXELS % 100).astype(dtype), edit=edit)
    np.testing.assert_allclose(open_nifti(path).read()[0], nib.load(path).get_fdata(), rtol=1e-6)


REFUSED = {
    "voxels inside the header": ("vox_offset", 300, "offset 300 too low"),
    "voxels where nothing says": ("vox_offset", 0, "its voxels begin at a byte"),
    "voxels between two bytes": ("vox_offset", 352.5, "its voxels begin at a byte"),
    "voxels nowhere": ("vox_offset", np.nan, "readable NIfTI"),
    "voxels far behind the end": ("vox_offset", 1e30, "the file must be whole"),
    "a header of another size": ("sizeof_hdr", 540, "it has 540 bytes, not 348"),
    "an infinite slope": ("scl_slope", np.inf, "the scaling of intensities must be finite"),
    "no known type": ("datatype", 9999, "9999"),
    "an axis of negative length": ("dim", [3, 5, 4, -3, 1, 1, 1, 1], "an image must have voxels"),
    "no axes": ("dim", [0] * 8, "an image must have voxels"),
}


@pytest.mark.parametrize(("name", "value", "said"), REFUSED.values(), ids=REFUSED)
def test_a_header_by_which_other_voxels_could_be_read_is_refused(
    tmp_path: Path, name: str, value: float | list[int], said: str
) -> None:
    path = write_nifti(tmp_path / "scan.nii", edit=lambda header: header.__setitem__(name, value))
    with pytest.raises(CaseError, match=rf"scan\.nii: .*{said}"):
        open_nifti(path)


def test_a_wrong_size_of_a_voxel_is_doubted_and_its_type_counts(tmp_path: Path) -> None:
    image = open_nifti(write_nifti(tmp_path / "scan.nii", edit=lambda header: header.__setitem__("bitpix", 64)))
    assert [note.corrected for note in image.notes] == [False]
    np.testing.assert_array_equal(image.read()[0], VOXELS)


def test_what_does_not_fit_into_single_precision_becomes_infinite(tmp_path: Path) -> None:
    voxels = VOXELS.astype(np.float64)
    voxels[1, 2, 1], voxels[0, 0, 0] = 1e300, -1e300
    stored = open_nifti(write_nifti(tmp_path / "scan.nii", voxels)).read()[0]
    assert (stored[1, 2, 1], stored[0, 0, 0]) == (np.inf, -np.inf)
    assert np.isfinite(stored).sum() == voxels.size - 2


@pytest.mark.parametrize(
    ("shape", "channels"),
    [((5, 4, 3, 1), 1), ((5, 4, 3, 1, 1, 1, 1), 1), ((5, 4, 3, 2), 2), ((5, 4, 3, 2, 1), 2), ((5, 4, 3, 1, 6), 6)],
    ids=["one volume", "seven axes", "four axes", "four axes and one", "vectors"],
)
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_what_is_stored_beside_the_volume_becomes_channels(
    tmp_path: Path, shape: Sequence[int], channels: int, suffix: str
) -> None:
    voxels = volume(*shape)
    image = open_nifti(write_nifti(tmp_path / f"scan{suffix}", voxels))
    assert (image.shape, image.channels) == ((5, 4, 3), channels)
    np.testing.assert_array_equal(np.moveaxis(image.read(), 0, -1), voxels.reshape(5, 4, 3, channels))


@pytest.mark.parametrize(
    "shape", [(6,), (6, 5), (6, 5, 1, 3, 2), (6, 5, 4, 2, 3), (6, 5, 4, 1, 2, 3)], ids=lambda shape: "x".join(map(str, shape))
)
def test_what_is_no_volume_is_refused_with_its_shape(tmp_path: Path, shape: Sequence[int]) -> None:
    with pytest.raises(CaseError, match=f"must be a volume; it has the shape {' x '.join(map(str, shape))};"):
        open_nifti(write_nifti(tmp_path / "scan.nii", volume(*shape)))


@pytest.mark.parametrize("shape", [(6, 5, 1), (1, 5, 4), (6, 5, 1, 2)])
def test_a_single_slice_is_doubted(tmp_path: Path, shape: Sequence[int]) -> None:
    (note,) = open_nifti(write_nifti(tmp_path / "scan.nii", volume(*shape))).notes
    assert (note.rule, note.corrected) == ("a volume should have several slices", False)


@pytest.mark.parametrize(
    "voxels",
    [np.ones(SHAPE, np.complex64), np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")])],
    ids=["complex", "RGB"],
)
def test_voxels_that_are_no_single_number_are_refused(tmp_path: Path, voxels: np.ndarray) -> None:
    nib.save(nib.Nifti1Image(voxels, AFFINE), tmp_path / "odd.nii")
    with pytest.raises(CaseError, match=r"odd\.nii.*one real number"):
        open_nifti(str(tmp_path / "odd.nii"))


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_extensions_of_the_header_are_passed_over(tmp_path: Path, suffix: str) -> None:
    image = nib.Nifti1Image(VOXELS, AFFINE)
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"word " * 5000))
    nib.save(image, tmp_path / f"scan{suffix}")
    np.testing.assert_array_equal(open_nifti(str(tmp_path / f"scan{suffix}")).read()[0], VOXELS)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_few_surplus_bytes_are_passed_over(tmp_path: Path, suffix: str) -> None:
    path = write_nifti(tmp_path / f"scan{suffix}", more=b"\7" * 599)
    np.testing.assert_array_equal(open_nifti(path).read()[0], VOXELS)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("axis", range(3))
def test_few_bytes_that_are_one_more_step_along_an_axis_are_no_padding(tmp_path: Path, suffix: str, axis: int) -> None:
    """Of a small label it could be a row, a column or a slice that the header leaves out: at most 40 bytes here."""

    def shorter(header: nib.Nifti1Header) -> None:
        header["dim"][1 + axis] -= 1

    path = write_nifti(tmp_path / f"scan{suffix}", edit=shorter)
    with pytest.raises(CaseError, match="a file must hold what its header says"):
        open_nifti(path).read()


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_file_that_holds_far_more_than_its_header_says_is_refused(tmp_path: Path, suffix: str) -> None:
    path = write_nifti(tmp_path / f"bomb{suffix}", more=bytes(SURPLUS + 1))
    with pytest.raises(
        CaseError, match=rf"bomb{suffix}: a file must hold what its header says.*bytes or more follow its voxels"
    ):
        open_nifti(path).read()


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_rows_that_are_longer_than_the_header_says_are_refused(tmp_path: Path, suffix: str) -> None:
    def narrower(header: nib.Nifti1Header) -> None:
        header["dim"][1] = 36

    path = write_nifti(tmp_path / f"scan{suffix}", np.random.default_rng(0).integers(0, 9, (40, 20, 10)), edit=narrower)
    with pytest.raises(CaseError, match="a file must hold what its header says"):
        open_nifti(path).read()


def test_a_file_compressed_in_several_parts_is_read_whole(tmp_path: Path) -> None:
    data = Path(write_nifti(tmp_path / "scan.nii")).read_bytes()
    path = tmp_path / "parts.nii.gz"
    path.write_bytes(b"".join(gzip.compress(data[start : start + 100]) for start in range(0, len(data), 100)))
    np.testing.assert_array_equal(open_nifti(str(path)).read()[0], VOXELS)


def assert_noticed_or_harmless(path: Path) -> bool:
    """True if it was noticed."""
    try:
        image = open_nifti(str(path))
        voxels = image.read()
    except CaseError as error:
        assert path.name in str(error)
        assert len(str(error).splitlines()) == 1
        return True
    assert (image.shape, image.channels) == (SHAPE, 1)
    np.testing.assert_array_equal(image.affine, AFFINE)
    np.testing.assert_array_equal(voxels[0], VOXELS)
    return False


def test_every_flipped_bit_of_a_compressed_file_is_noticed_or_harmless(tmp_path: Path) -> None:
    """Harmless: of the time and the system before the stream; and a copy of a zero from one place in place of another."""
    data = Path(write_nifti(tmp_path / "whole.nii.gz", affine=AFFINE)).read_bytes()
    bits = np.random.default_rng(0).choice(8 * len(data), 400, replace=False)
    noticed = 0
    for bit in (*range(80), *bits):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        (tmp_path / "flipped.nii.gz").write_bytes(flipped)
        noticed += assert_noticed_or_harmless(tmp_path / "flipped.nii.gz") and bit >= 80
    assert noticed > 0.95 * (bits >= 80).sum()


def test_a_compressed_file_that_ends_too_early_is_refused_wherever_it_ends(tmp_path: Path) -> None:
    data = Path(write_nifti(tmp_path / "whole.nii.gz", affine=AFFINE)).read_bytes()
    for length in (*range(0, len(data), 7), *range(len(data) - 9, len(data))):
        (tmp_path / "short.nii.gz").write_bytes(data[:length])
        assert assert_noticed_or_harmless(tmp_path / "short.nii.gz")


@pytest.mark.parametrize("missing", [1, 60, 119, 120, 121, 300, 471])
def test_an_uncompressed_file_that_ends_too_early_is_refused_before_a_voxel_is_read(tmp_path: Path, missing: int) -> None:
    path = Path(write_nifti(tmp_path / "short.nii"))
    path.write_bytes(path.read_bytes()[:-missing])
    with pytest.raises(CaseError, match=r"short\.nii: the file must be whole"):
        open_nifti(str(path))


def test_whatever_a_damaged_header_says_the_error_names_the_file(tmp_path: Path) -> None:
    """A header has no checksum: a damaged one may be read as another. But it costs only its own case."""
    data = Path(write_nifti(tmp_path / "whole.nii", affine=AFFINE)).read_bytes()
    values = np.random.default_rng(0).integers(0, 256, 352)
    refused = 0
    for position, value in enumerate(values):
        (tmp_path / "odd.nii").write_bytes(data[:position] + bytes([value]) + data[position + 1 :])
        try:
            open_nifti(str(tmp_path / "odd.nii")).read()
        except CaseError as error:
            refused += "odd.nii" in str(error)
    assert refused > 30


@pytest.mark.parametrize("content", [b"", b"not an image", bytes(1000), b"\x1f\x8b" + bytes(1000)])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_what_is_no_nifti_is_refused_in_one_line(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"bad{suffix}"
    path.write_bytes(content)
    with pytest.raises(CaseError, match=r"bad\.nii.*whole, readable NIfTI") as caught:
        open_nifti(str(path))
    assert len(str(caught.value).splitlines()) == 1


def test_another_format_under_the_name_of_nifti_is_refused(tmp_path: Path) -> None:
    nib.save(nib.MGHImage(VOXELS.astype(np.int32), AFFINE), tmp_path / "scan.mgz")
    path = (tmp_path / "scan.mgz").rename(tmp_path / "scan.nii.gz")
    with pytest.raises(CaseError, match=r"scan\.nii\.gz.*readable NIfTI"):
        open_nifti(str(path))
