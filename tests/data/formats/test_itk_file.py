"""NRRD and MetaImage -> the voxels and the place that SimpleITK and nibabel find; nothing is read from another file."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from scripts.data import CaseError
from scripts.data.formats.image_file import ImageFile
from scripts.data.formats.itk_file import open_itk

SHAPE = (5, 4, 3)
SPACING, ORIGIN = (0.7, 1.3, 2.9), (-91.3, 126.1, -72.7)
DTYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8")
KINDS = [(suffix, compressed) for suffix in (".nrrd", ".mha") for compressed in (False, True)]
each_kind = pytest.mark.parametrize(("suffix", "compressed"), KINDS, ids=["NRRD raw", "NRRD gzip", "MHA raw", "MHA zlib"])


def voxels_of(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 120, shape)


def oblique(voxels: np.ndarray, vector: bool = False) -> sitk.Image:
    """voxels: along ITK's axes, x first. vector: the last axis is that of the vectors."""
    image = sitk.GetImageFromArray(voxels.transpose(2, 1, 0, 3) if vector else voxels.T, isVector=vector)
    dimension = image.GetDimension()
    direction = np.eye(dimension)
    direction[:3, :3] = Rotation.from_euler("xyz", (10, -7, 13), degrees=True).as_matrix()
    image.SetDirection(direction.flatten().tolist())
    image.SetSpacing((*SPACING, 1.0)[:dimension])
    image.SetOrigin((*ORIGIN, 0.0)[:dimension])
    return image


def write(path: Path, voxels: np.ndarray, compressed: bool = False, vector: bool = False) -> str:
    sitk.WriteImage(oblique(voxels, vector), str(path), compressed)
    return str(path)


def opened(path: Path, content: bytes) -> ImageFile:
    path.write_bytes(content)
    return open_itk(str(path))


@pytest.mark.parametrize("dtype", DTYPES)
@each_kind
def test_voxels_and_place_are_those_of_the_image_that_simpleitk_writes_as_nifti(
    tmp_path: Path, suffix: str, compressed: bool, dtype: str
) -> None:
    voxels = voxels_of(*SHAPE).astype(dtype)
    path = write(tmp_path / f"scan{suffix}", voxels, compressed)
    image, nifti = open_itk(path), nib.load(write(tmp_path / "scan.nii.gz", voxels))
    assert (image.path, image.files, image.shape, image.channels, image.notes) == (path, (path,), SHAPE, 1, ())
    np.testing.assert_allclose(image.affine, nifti.affine, atol=1e-4)
    stored = image.read()
    assert stored.dtype == np.float32
    np.testing.assert_array_equal(stored[0], nifti.get_fdata(dtype=np.float32))


@each_kind
def test_volumes_one_after_the_other_are_channels_as_in_nifti(tmp_path: Path, suffix: str, compressed: bool) -> None:
    voxels = voxels_of(*SHAPE, 2).astype(np.int16)
    image = open_itk(write(tmp_path / f"scan{suffix}", voxels, compressed))
    nifti = nib.load(write(tmp_path / "scan.nii.gz", voxels))
    assert (image.shape, image.channels) == (SHAPE, 2)
    np.testing.assert_allclose(image.affine, nifti.affine, atol=1e-4)
    np.testing.assert_array_equal(np.moveaxis(image.read(), 0, -1), nifti.get_fdata())


@each_kind
def test_the_numbers_of_a_vector_are_channels_as_in_nifti(tmp_path: Path, suffix: str, compressed: bool) -> None:
    voxels = voxels_of(*SHAPE, 2).astype(np.float32)
    image = open_itk(write(tmp_path / f"scan{suffix}", voxels, compressed, vector=True))
    nifti = nib.load(write(tmp_path / "scan.nii.gz", voxels, vector=True))
    assert (image.shape, image.channels) == (SHAPE, 2)
    np.testing.assert_array_equal(np.moveaxis(image.read(), 0, -1), nifti.get_fdata()[..., 0, :])


def test_the_case_of_the_suffix_does_not_matter(tmp_path: Path) -> None:
    voxels = voxels_of(*SHAPE).astype(np.int16)
    path = Path(write(tmp_path / "scan.mha", voxels)).rename(tmp_path / "SCAN.MHA")
    np.testing.assert_array_equal(open_itk(str(path)).read()[0], voxels)


def test_a_single_slice_is_doubted(tmp_path: Path) -> None:
    (note,) = open_itk(write(tmp_path / "scan.mha", voxels_of(5, 4, 1).astype(np.int16))).notes
    assert (note.rule, note.corrected) == ("a volume should have several slices", False)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_what_is_no_volume_is_refused_with_its_shape(tmp_path: Path, suffix: str) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(voxels_of(4, 5).astype(np.int16)), str(tmp_path / f"scan{suffix}"))
    with pytest.raises(CaseError, match="must be a volume; it has the shape 5 x 4"):
        open_itk(str(tmp_path / f"scan{suffix}"))


def header_of(folder: Path, suffix: str, compressed: bool = False) -> tuple[bytes, bytes]:
    """The lines of a good file's header before its end, and the voxels as they are stored."""
    content = Path(write(folder / f"good{suffix}", voxels_of(*SHAPE).astype(np.int16), compressed)).read_bytes()
    if suffix == ".nrrd":
        header, _, data = content.partition(b"\n\n")
        return header + b"\n", data
    header, _, data = content.partition(b"ElementDataFile = LOCAL\n")
    return header, data


def test_an_nrrd_that_does_not_say_how_the_patient_lies_is_doubted(tmp_path: Path) -> None:
    header, data = header_of(tmp_path, ".nrrd")
    lines = [line for line in header.splitlines(keepends=True) if not line.startswith(b"space")]
    image = opened(tmp_path / "scan.nrrd", b"".join(lines) + b"spacings: 0.7 1.3 2.9\n\n" + data)
    assert [(note.rule, note.corrected) for note in image.notes] == [("the header should say how the patient lies", False)]
    np.testing.assert_allclose(image.affine, np.diag([-0.7, -1.3, 2.9, 1]))


DETACHED = {
    "a file beside it": b"ElementDataFile = secret.raw\n",
    "an absolute path": b"ElementDataFile = %(secret)s\n",
    "a path that leaves the folder": b"ElementDataFile = ../secret.raw\n",
    "a path that begins as if inside": b"ElementDataFile = LOCAL/../secret.raw\n",
    "a list": b"ElementDataFile = LIST\nsecret.raw\n",
    "a pattern": b"ElementDataFile = secret%%d.raw 1 3 1\n",
    "behind a comment": b"Comment = ElementDataFile = LOCAL\nElementDataFile = secret.raw\n",
    "behind a line without =": b"Comment\nElementDataFile = LOCAL\nElementDataFile = secret.raw\n",
    "behind a tab": b"\tElementDataFile = secret.raw\nElementDataFile = LOCAL\n",
    "behind a vertical tab": b"\x0bElementDataFile = secret.raw\nElementDataFile = LOCAL\n",
    "behind a lone carriage return": b"Comment = \rElementDataFile = secret.raw\nElementDataFile = LOCAL\n",
    "with a colon": b"ElementDataFile: secret.raw\n",
    "behind a header without end": b"Comment = " + b"x" * 2**16 + b"\nElementDataFile = secret.raw\n",
}


@pytest.mark.parametrize("line", DETACHED.values(), ids=DETACHED)
def test_a_metaimage_whose_voxels_are_in_another_file_is_refused(tmp_path: Path, line: bytes) -> None:
    header, data = header_of(tmp_path, ".mha")
    (tmp_path / "sub").mkdir()
    for secret in (tmp_path / "secret.raw", tmp_path / "sub" / "secret.raw"):
        secret.write_bytes(data)
    with pytest.raises(CaseError, match=r"scan\.mha: (an image must be one file|the file must be whole)"):
        opened(tmp_path / "sub" / "scan.mha", header + line % {b"secret": bytes(tmp_path / "secret.raw")} + data)


@pytest.mark.parametrize(
    "line", [b"ElementDataFile = LOCAL\n", b"ElementDataFile = LOCAL\r\n", b"0010|0010 = \nElementDataFile=LOCAL\n"]
)
def test_a_metaimage_that_keeps_its_voxels_is_read(tmp_path: Path, line: bytes) -> None:
    header, data = header_of(tmp_path, ".mha")
    np.testing.assert_array_equal(opened(tmp_path / "scan.mha", header + line + data).read()[0], voxels_of(*SHAPE))


@pytest.mark.parametrize(
    "said", [" CompressedData = True", "CompressedData: True", "CompressedData =\x0bTrue", "CompressedData ==True"]
)
@pytest.mark.parametrize("suffix", [".mha", ".mhd"])
def test_raw_voxels_are_not_read_as_compressed_ones_however_the_header_says_it(tmp_path: Path, suffix: str, said: str) -> None:
    """ITK would return what happens to be in memory."""
    header, data = header_of(tmp_path, ".mha")
    header = header.replace(b"CompressedData = False", said.encode())
    assert said.encode() in header
    (tmp_path / "scan.raw").write_bytes(data)
    end = b"ElementDataFile = LOCAL\n" + data if suffix == ".mha" else b"ElementDataFile = scan.raw\n"
    with pytest.raises(CaseError, match="the file must be whole"):
        opened(tmp_path / f"scan{suffix}", header + end).read()


NRRD_DETACHED = {
    "a file beside it": b"data file: secret.raw\n",
    "in one word": b"datafile: secret.raw\n",
    "in capitals": b"DATA FILE: secret.raw\n",
    "an absolute path": b"data file: %(secret)s\n",
    "a path that leaves the folder": b"data file: ../secret.raw\n",
    "a list": b"data file: LIST\nsecret.raw\n",
    "a pattern": b"data file: secret%%d.raw 1 3 1\n",
    "behind a lone carriage return": b"# x\rdata file: secret.raw\n",
    "behind a space": b" data file: secret.raw\n",
}


@pytest.mark.parametrize("ending", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("line", NRRD_DETACHED.values(), ids=NRRD_DETACHED)
def test_an_nrrd_whose_voxels_are_in_another_file_is_refused(tmp_path: Path, line: bytes, ending: bytes) -> None:
    header, data = header_of(tmp_path, ".nrrd")
    (tmp_path / "sub").mkdir()
    for secret in (tmp_path / "secret.raw", tmp_path / "sub" / "secret.raw"):
        secret.write_bytes(data)
    content = (header + line % {b"secret": bytes(tmp_path / "secret.raw")} + b"\n").replace(b"\n", ending)
    with pytest.raises(CaseError, match=r"scan\.nrrd: (an image must be one file|the file must be whole)"):
        opened(tmp_path / "sub" / "scan.nrrd", content + data)


def test_an_nrrd_with_lines_as_windows_writes_them_is_read(tmp_path: Path) -> None:
    header, data = header_of(tmp_path, ".nrrd")
    image = opened(tmp_path / "scan.nrrd", (header + b"\n").replace(b"\n", b"\r\n") + data)
    np.testing.assert_array_equal(image.read()[0], voxels_of(*SHAPE))


def test_bzip2_whose_checksums_nobody_looks_at_is_refused(tmp_path: Path) -> None:
    header, data = header_of(tmp_path, ".nrrd")
    with pytest.raises(CaseError, match="raw or compressed by gzip; they are compressed by bzip2"):
        opened(tmp_path / "scan.nrrd", header.replace(b"encoding: raw", b"encoding: bzip2") + b"\n" + data)


def noticed(path: Path, voxels: np.ndarray) -> bool:
    """Whether it is refused by name; if not, the voxels are the right ones."""
    try:
        found = open_itk(str(path)).read()
    except CaseError as error:
        assert path.name in str(error)
        assert len(str(error).splitlines()) == 1
        return True
    np.testing.assert_array_equal(found[0], voxels)
    return False


@each_kind
def test_a_file_that_ends_too_early_is_refused_wherever_it_ends(tmp_path: Path, suffix: str, compressed: bool) -> None:
    voxels = voxels_of(*SHAPE).astype(np.int16)
    content = Path(write(tmp_path / f"whole{suffix}", voxels, compressed)).read_bytes()
    assert not noticed(tmp_path / f"whole{suffix}", voxels)
    for length in (*range(0, len(content), 13), *range(len(content) - 9, len(content))):
        (tmp_path / f"short{suffix}").write_bytes(content[:length])
        assert noticed(tmp_path / f"short{suffix}", voxels)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_every_flipped_bit_of_compressed_voxels_is_noticed_or_harmless(tmp_path: Path, suffix: str) -> None:
    voxels = voxels_of(*SHAPE).astype(np.int16)
    content = Path(write(tmp_path / f"whole{suffix}", voxels, compressed=True)).read_bytes()
    start = len(content) - len(header_of(tmp_path, suffix, compressed=True)[1])
    bits = np.random.default_rng(0).choice(range(8 * start, 8 * len(content)), 150, replace=False)
    count = 0
    for bit in bits:
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        (tmp_path / f"flipped{suffix}").write_bytes(flipped)
        count += noticed(tmp_path / f"flipped{suffix}", voxels)
    assert count > 0.85 * len(bits)  # the ten bytes before a gzip stream mean little


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
@pytest.mark.parametrize("content", [b"", b"not an image", bytes(1000), b"NRRD0004\n", b"ObjectType = Image\n"])
def test_what_is_no_such_file_is_refused_in_one_line(tmp_path: Path, suffix: str, content: bytes) -> None:
    with pytest.raises(CaseError, match=rf"bad\{suffix}: the file must be whole, readable") as caught:
        opened(tmp_path / f"bad{suffix}", content)
    assert len(str(caught.value).splitlines()) == 1
