"""Images in two files -> what SimpleITK and nibabel read; the second file is the one beside the header, whole, or none."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from scripts.data import CaseError, open_image
from scripts.data.formats.open_image import data_files, is_image

SHAPE = (5, 4, 3)
VOXELS = np.random.default_rng(0).integers(-120, 900, SHAPE).astype(np.int16)
BESIDE, WHOLE, MORE = "voxels must lie in one file beside their header", "must be whole", "must hold what its header says"
ITK = {"raw.mhd": "raw.raw", "packed.mhd": "packed.zraw", "raw.nhdr": "raw.raw", "packed.nhdr": "packed.raw.gz"}
NIFTI = {"one.hdr": nib.Nifti1Pair, "two.hdr": nib.Nifti2Pair, "packed.hdr.gz": nib.Nifti1Pair}
NAMES = (*ITK, *NIFTI)
AFFINE = np.eye(4)
AFFINE[:3, :3] = Rotation.from_euler("xyz", (10, -7, 13), degrees=True).as_matrix() @ np.diag([0.7, 1.3, -2.9])
AFFINE[:3, 3] = (-91.3, 126.1, -72.7)


def write(path: Path, voxels: np.ndarray = VOXELS) -> tuple[Path, Path]:
    """Oblique and flipped: the header and the file of its voxels."""
    if path.name.endswith((".mhd", ".nhdr")):
        to_lps, edges = np.diag([-1, -1, 1]), np.linalg.norm(AFFINE[:3, :3], axis=0)
        image = sitk.GetImageFromArray(voxels.T)
        image.SetDirection((to_lps @ AFFINE[:3, :3] / edges).flatten().tolist())
        image.SetSpacing(edges.tolist())
        image.SetOrigin((to_lps @ AFFINE[:3, 3]).tolist())
        sitk.WriteImage(image, str(path), "packed" in path.name)
        return path, path.with_name(ITK[path.name])
    nib.save(NIFTI[path.name](voxels, AFFINE), path)
    return path, path.with_name(path.name.replace("hdr", "img"))


@pytest.mark.parametrize("name", NAMES)
def test_voxels_and_place_are_those_of_the_readers_that_are_not_ours(tmp_path: Path, name: str) -> None:
    header, data = write(tmp_path / name)
    image = open_image(str(header))
    assert (image.path, image.files, image.notes) == (str(header), (str(header), str(data)), ())
    np.testing.assert_allclose(image.affine, AFFINE, atol=1e-4)
    np.testing.assert_array_equal(image.read()[0], VOXELS)
    if name == "two.hdr":  # which ITK does not open
        np.testing.assert_array_equal(nib.load(header).get_fdata(), image.read()[0])
        np.testing.assert_array_equal(nib.load(header).affine, image.affine)
        return
    theirs, corner = sitk.ReadImage(str(header)), [n - 1 for n in SHAPE]
    np.testing.assert_array_equal(sitk.GetArrayFromImage(theirs).T, image.read()[0])
    expected = np.array(theirs.TransformIndexToPhysicalPoint(corner)) * (-1, -1, 1)
    np.testing.assert_allclose(nib.affines.apply_affine(image.affine, corner), expected, atol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_the_second_file_is_no_image_of_its_own(tmp_path: Path, name: str) -> None:
    header, data = write(tmp_path / name)
    assert data_files([header, data]) == {data}
    assert is_image(header)
    assert not is_image(data)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda data: data.unlink(), BESIDE),
        (lambda data: data.write_bytes(b""), WHOLE),
        (lambda data: data.write_bytes(data.read_bytes()[:-1]), WHOLE),
        (lambda data: data.write_bytes(data.read_bytes() + b"\7"), f"{MORE}|{WHOLE}"),
        (lambda data: data.rename(data.with_name("moved")), BESIDE),
        (lambda data: data.symlink_to(data.rename(data.with_name("moved"))), BESIDE),
        (lambda data: (data.unlink(), data.mkdir()), BESIDE),
    ],
    ids=["missing", "empty", "too short", "too long", "renamed", "a link", "a folder"],
)
def test_a_second_file_that_is_not_there_whole_is_refused(tmp_path: Path, name: str, change: object, rule: str) -> None:
    header, data = write(tmp_path / name)
    change(data)
    with pytest.raises(CaseError, match=rule) as caught:
        open_image(str(header)).read()
    assert caught.value.file == str(header)
    assert caught.value.remedy


def with_name(header: Path, name: str) -> None:
    """Of a raw image, whose data are `raw.raw`."""
    header.write_text(header.read_text().replace("raw.raw", name))


ELSEWHERE = {
    "absolute": "{folder}/raw.raw",
    "up": "../raw.raw",
    "up from here": "./../raw.raw",
    "down": "below/raw.raw",
    "down by Windows": "below\\raw.raw",
    "of Windows": "C:\\raw.raw",
    "an address": "https://example.org/raw.raw",
    "a pattern": "raw%01d.raw 0 2 1",
    "a pattern in MetaImage alone": "raw%d.raw",
    "a list": "LIST",
    "like a list": "LISTraw.raw",
    "hidden": ".raw.raw",
    "the header's own word": "Local",
    "behind a second separator": "=raw.raw",
    "the console": "-",
    "a null byte": "raw\0.raw",
}


@pytest.mark.parametrize("name", ["raw.mhd", "raw.nhdr"])
@pytest.mark.parametrize("elsewhere", ELSEWHERE.values(), ids=ELSEWHERE)
def test_a_header_that_leads_elsewhere_is_refused_whatever_lies_there(tmp_path: Path, name: str, elsewhere: str) -> None:
    folder = tmp_path / "images"
    (folder / "below").mkdir(parents=True)
    header, data = write(folder / name)
    for place in (tmp_path, folder / "below"):
        (place / "raw.raw").write_bytes(data.read_bytes())
    for other in (".raw.raw", "LISTraw.raw", "raw%d.raw", "below\\raw.raw", "C:\\raw.raw", "-", "Local", "=raw.raw"):
        (folder / other).write_bytes(data.read_bytes())
    with_name(header, elsewhere.format(folder=folder))
    with pytest.raises(CaseError, match=f"{BESIDE}; the header names|{WHOLE}"):
        open_image(str(header))
    assert data_files([header]) == set()


@pytest.mark.parametrize("name", ["raw.mhd", "raw.nhdr"])
def test_a_header_that_names_itself_is_refused(tmp_path: Path, name: str) -> None:
    header, _ = write(tmp_path / name)
    with_name(header, name)
    with pytest.raises(CaseError, match=f"{BESIDE}; the header names"):
        open_image(str(header))


@pytest.mark.parametrize("name", ["raw.mhd", "raw.nhdr"])
@pytest.mark.parametrize("own", ["./raw.raw", "two words.raw", "Größe.raw", "a=b:c.raw", "localizer.raw", "list.raw"])
def test_any_name_of_a_file_beside_it_will_do_and_another_one_is_doubted(tmp_path: Path, name: str, own: str) -> None:
    header, data = write(tmp_path / name)
    if own != "./raw.raw":
        data.rename(tmp_path / own)
    with_name(header, own)
    image = open_image(str(header))
    np.testing.assert_array_equal(image.read()[0], VOXELS)
    rules = [(note.rule, note.corrected) for note in image.notes]
    assert rules == ([] if own == "./raw.raw" else [("a header should have the name of its voxels' file", False)])


@pytest.mark.parametrize("ending", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_the_last_line_of_a_metaimage_may_have_no_end_and_blanks(tmp_path: Path, ending: str) -> None:
    header, _ = write(tmp_path / "raw.mhd")
    text = header.read_text().strip()
    for tail in ("", ending, " ", f"\t{ending}"):
        header.write_bytes(text.replace("\n", ending).encode() + tail.encode())
        np.testing.assert_array_equal(open_image(str(header)).read()[0], VOXELS)


@pytest.mark.parametrize("ending", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_an_nrrd_header_may_end_with_the_file(tmp_path: Path, ending: str) -> None:
    header, _ = write(tmp_path / "raw.nhdr")
    for tail in ("", ending):
        header.write_bytes(header.read_text().strip().replace("\n", ending).encode() + ending.encode() + tail.encode())
        np.testing.assert_array_equal(open_image(str(header)).read()[0], VOXELS)


def test_a_header_cut_after_any_line_or_byte_is_refused(tmp_path: Path) -> None:
    """Also where the name of the second file comes early, and what is missing would only move the voxels."""
    for name in ("raw.mhd", "raw.nhdr"):
        header, _ = write(tmp_path / name)
        lines = header.read_text().strip().splitlines(keepends=True)
        lines[-1] = f"{lines[-1].strip()}\n"
        moved = [lines[0], lines[-1], *lines[1:-1]] if name == "raw.nhdr" else lines
        for whole in (lines, moved):
            text = "".join(whole)
            for end in range(len(text) - 1 - (whole is lines)):
                header.write_text(text[:end])
                with pytest.raises(CaseError):
                    open_image(str(header))


def test_keys_may_follow_the_name_of_the_second_file(tmp_path: Path) -> None:
    header, _ = write(tmp_path / "raw.nhdr")
    header.write_text(f"{header.read_text().strip()}\nmodality:=DWMRI\n# made by hand\n")
    np.testing.assert_array_equal(open_image(str(header)).read()[0], VOXELS)


@pytest.mark.parametrize("line", ["data file: raw.raw", "DATAFILE: raw.raw", " data file: raw.raw"])
def test_two_names_of_second_files_are_refused(tmp_path: Path, line: str) -> None:
    header, _ = write(tmp_path / "raw.nhdr")
    header.write_text(header.read_text().replace("data file:", f"{line}\ndata file:"))
    with pytest.raises(CaseError, match=BESIDE):
        open_image(str(header))


@pytest.mark.parametrize(("name", "field"), [("raw.mhd", "HeaderSize = {}\nElement"), ("raw.nhdr", "byte skip: {}\ndata ")])
@pytest.mark.parametrize("skip", [64, -1])
def test_bytes_before_the_voxels_are_those_of_their_file(tmp_path: Path, name: str, field: str, skip: int) -> None:
    header, data = write(tmp_path / name)
    head, word, tail = header.read_text().rpartition("ElementDataFile" if name.endswith("mhd") else "data file")
    start = field.format(skip).replace("\nElement", "\n").replace("\ndata ", "\n")
    header.write_text(head + start + word + tail)
    data.write_bytes(b"\7" * 64 + data.read_bytes())
    np.testing.assert_array_equal(open_image(str(header)).read()[0], VOXELS)


def test_the_length_of_a_stream_in_a_file_of_its_own_need_not_be_said(tmp_path: Path) -> None:
    header, data = write(tmp_path / "packed.mhd")
    text = header.read_text()
    size = f"CompressedDataSize = {data.stat().st_size}\n"
    header.write_text(text.replace(size, ""))
    np.testing.assert_array_equal(open_image(str(header)).read()[0], VOXELS)
    header.write_text(text.replace(size, "CompressedDataSize = 7\n"))
    with pytest.raises(CaseError, match="CompressedDataSize is 7"):
        open_image(str(header)).read()


def test_words_in_a_second_file_are_refused(tmp_path: Path) -> None:
    header, data = write(tmp_path / "raw.mhd")
    header.write_text(header.read_text().replace("BinaryData = True", "BinaryData = False"))
    data.write_text(" ".join(map(str, VOXELS.T.ravel())))
    with pytest.raises(CaseError, match="voxels must be raw or compressed"):
        open_image(str(header))


@pytest.mark.parametrize("name", ["scan.nii.gz", "slice.dcm"])
def test_an_image_that_a_header_names_is_not_passed_over(tmp_path: Path, name: str) -> None:
    header, data = write(tmp_path / "raw.mhd")
    with_name(header, name)
    data.rename(tmp_path / name)
    assert data_files([header]) == set()


def test_a_header_in_capitals_has_an_image_in_capitals(tmp_path: Path) -> None:
    header, data = write(tmp_path / "one.hdr")
    header, data = header.rename(tmp_path / "ONE.HDR"), data.rename(tmp_path / "ONE.IMG")
    assert open_image(str(header)).files == (str(header), str(data))
    data.rename(tmp_path / "ONE.img")
    with pytest.raises(CaseError, match=f"{BESIDE}; there is no file ONE.IMG"):
        open_image(str(header))


def test_analyze_is_refused_since_programs_place_it_in_two_ways(tmp_path: Path) -> None:
    path = tmp_path / "scan.hdr"
    nib.save(nib.AnalyzeImage(VOXELS, None), path)
    (tmp_path / "scan.mat").write_bytes(b"what nibabel would read")
    with pytest.raises(CaseError, match=r"must be the header of a NIfTI image; it is Analyze 7\.5.*convert it to NIfTI"):
        open_image(str(path))
    (tmp_path / "scan.mat").unlink()
    by_itk = sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(sitk.ReadImage(str(path)).GetDirection())
    assert (nib.aff2axcodes(nib.load(path).affine), by_itk) == (("L", "A", "S"), "LPS")


def test_a_header_of_one_file_beside_an_image_is_refused(tmp_path: Path) -> None:
    content = nib.Nifti1Image(VOXELS, AFFINE).to_bytes()
    (tmp_path / "scan.hdr").write_bytes(content[:352])
    (tmp_path / "scan.img").write_bytes(content[352:])
    with pytest.raises(CaseError, match="a NIfTI header must say where its voxels lie"):
        open_image(str(tmp_path / "scan.hdr"))


def test_headers_of_other_programs_are_no_images(tmp_path: Path) -> None:
    for name, content in {"envi.hdr": b"ENVI\nsamples = 3", "empty.hdr": b"", "light.hdr": b"#?RADIANCE\n"}.items():
        (tmp_path / name).write_bytes(content)
        assert not is_image(tmp_path / name)
    header, data = write(tmp_path / "one.hdr")
    data.unlink()
    assert is_image(header)  # whose voxels are missing, which has to be said
    (tmp_path / "link.hdr").symlink_to(header)
    assert not is_image(tmp_path / "link.hdr")
