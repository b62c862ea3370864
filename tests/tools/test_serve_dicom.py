"""A PACS sends a series and gets back a segmentation with the voxels of the mask, in their place: on a real Orthanc."""

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from conftest import ROOT
from dicom_frames_phantom import write_enhanced
from dicom_phantom import AXIAL, OBLIQUE, write_series
from monai.bundle import ConfigParser
from pydicom import Dataset, dcmread
from runs.conftest import NARROW_CONFIG

from scripts.files.checkpoint_file import write_checkpoint
from scripts.run.settings import network_settings
from scripts.tools.dicom_inbox import Inbox
from scripts.tools.dicom_node import DicomNode, send
from scripts.tools.dicom_peer import Peer

from .conftest import Typed
from .orthanc import MISSING, Orthanc, free_ports, running_orthanc

SHAPE = (24, 20, 10)  # columns, rows, slices; by SPACING of the phantom anisotropic
VOXELS = np.random.default_rng(3).integers(-200, 300, SHAPE).astype(np.int16)
VOXELS[4:15, 6:16, 2:8] += 900
NAMES = {1: "liver", 2: "kidney", 3: "vessel"}
FLIPPED, CORONAL = AXIAL * [[-1], [1]], np.array([[1.0, 0, 0], [0, 0, -1]])
DCMQI = Path(sys.executable).with_name("segimage2itkimage")


def write_flipped(folder: Path) -> None:
    write_series(folder, VOXELS, FLIPPED, names=[f"{k}.dcm" for k in reversed(range(SHAPE[2]))])


def write_oblique(folder: Path) -> None:
    """Flipped too."""
    write_series(folder, VOXELS, OBLIQUE * [[1], [-1]])


def write_coronal_frames(folder: Path) -> None:
    folder.mkdir()
    write_enhanced(folder / "frames.dcm", VOXELS, CORONAL, order=np.random.default_rng(4).permutation(SHAPE[2]).tolist())


def write_with_a_gap(folder: Path) -> None:
    write_series(folder, VOXELS)[4].unlink()


SERIES = [write_oblique, write_coronal_frames, pytest.param(write_flipped, marks=pytest.mark.slow)]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a network that was not trained: its masks are as good as any."""
    files = [str(ROOT / "configs" / "inference.json"), str(NARROW_CONFIG)]
    parser = ConfigParser(ConfigParser.load_config_files(files))
    parser["bundle_root"] = str(ROOT)
    path = tmp_path_factory.mktemp("checkpoint") / "model.pt"
    about = {**network_settings(parser.config), "encoder_weights": "random"}
    write_checkpoint(path, parser.get_parsed_content("network_def").state_dict(), about)
    return path


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    if MISSING:
        pytest.skip(MISSING)
    with running_orthanc(tmp_path_factory.mktemp("orthanc")) as running:
        yield running


def store(orthanc: Orthanc, folder: Path, aet: str) -> Dataset:
    """Puts the files of a series into the PACS, which sends it on. -> the header of one of them."""
    files = sorted(folder.iterdir())
    answers = [orthanc.post("instances", file.read_bytes()) for file in files]
    orthanc.post(f"modalities/{aet}/store", {"Resources": [answers[0]["ParentSeries"]], "Synchronous": True})
    return dcmread(files[0], stop_before_pixels=True)


@dataclass
class Sent:
    """A series that went from the PACS to the node: its UIDs, and the folder of its mask."""

    study: str
    series: str
    output: Path


@pytest.fixture(scope="module", params=SERIES)
def sent(request: pytest.FixtureRequest, orthanc: Orthanc, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Sent:
    """By C-STORE from the PACS to the node, which has sent the segmentation back."""
    folder = tmp_path_factory.mktemp("node")
    request.param(folder / "series")
    inbox = Inbox(folder / "incoming", "SAM3D", ["ORTHANC"], quiet=0)
    words = ["--checkpoint", str(checkpoint), "--encoder-weights", "random"]
    node = DicomNode(inbox, words, folder / "masks", "SAM3D", Peer("ORTHANC", "127.0.0.1", orthanc.dicom))
    with inbox.listening("127.0.0.1", 0) as port:
        orthanc.knows("SAM3D", port)
        header = store(orthanc, folder / "series", "SAM3D")
        delivery = inbox.take(lambda: False)
        assert delivery is not None
        assert delivery.uid == header.SeriesInstanceUID
        assert len(list(delivery.folder.iterdir())) == len(list((folder / "series").iterdir()))
        node.serve(delivery)
        assert list(folder.glob("incoming/*/*")) == []  # no patient's data stay behind
    return Sent(header.StudyInstanceUID, header.SeriesInstanceUID, folder / "masks" / delivery.folder.name)


def segmentation_in(orthanc: Orthanc, sent: Sent, folder: Path) -> Path:
    """The one that the PACS has for the study: found by QIDO-RS, fetched by WADO."""
    query = f"dicom-web/studies/{sent.study}/instances?Modality=SEG&includefield=SOPInstanceUID"
    (found,) = orthanc.get(query).json()
    series, instance = (found[tag]["Value"][0] for tag in ("0020000E", "00080018"))
    uids = f"studyUID={sent.study}&seriesUID={series}&objectUID={instance}"
    (folder / "seg.dcm").write_bytes(orthanc.get(f"wado?requestType=WADO&{uids}&contentType=application/dicom").content)
    return folder / "seg.dcm"


def mask_of(sent: Sent) -> nib.Nifti1Image:
    (path,) = sent.output.glob("*_seg.nii.gz")
    return nib.load(path)


def test_what_comes_back_has_the_voxels_of_the_mask_at_their_place(sent: Sent, orthanc: Orthanc, tmp_path: Path) -> None:
    """Read by dcmqi, which knows nothing of the library that wrote it."""
    file = segmentation_in(orthanc, sent, tmp_path)
    mask = mask_of(sent)
    values = np.asanyarray(mask.dataobj)
    present = sorted(set(np.unique(values)) - {0})
    assert len(present) > 1, "a mask of one class shows little"
    subprocess.run([DCMQI, "--inputDICOM", file, "--outputDirectory", tmp_path], check=True, capture_output=True)
    for number in present:
        image = sitk.ReadImage(str(tmp_path / f"{number}.nrrd"))
        inside = np.argwhere(sitk.GetArrayFromImage(image).transpose(2, 1, 0))
        places = [image.TransformIndexToPhysicalPoint([int(i) for i in index]) for index in inside]
        places = np.array(places) * [-1, -1, 1]  # to RAS+
        indices = nib.affines.apply_affine(np.linalg.inv(mask.affine), places)
        np.testing.assert_allclose(indices, np.rint(indices), atol=2e-3)
        assert set(map(tuple, np.rint(indices).astype(int))) == set(map(tuple, np.argwhere(values == number)))


def test_plain_pydicom_finds_them_there_too(sent: Sent, orthanc: Orthanc, tmp_path: Path) -> None:
    """From the bits and the place of each frame, by the equation of the standard (PS3.3 C.7.6.2.1-1)."""
    dataset = dcmread(segmentation_in(orthanc, sent, tmp_path))
    mask = mask_of(sent)
    values, found = np.asanyarray(mask.dataobj), np.zeros(mask.shape, int)
    shape = (dataset.NumberOfFrames, dataset.Rows, dataset.Columns)
    bits = np.unpackbits(np.frombuffer(dataset.PixelData, np.uint8), bitorder="little")[: np.prod(shape)].reshape(shape)
    (shared,) = dataset.SharedFunctionalGroupsSequence
    row, column = np.reshape(shared.PlaneOrientationSequence[0].ImageOrientationPatient, (2, 3)).astype(float)
    between_rows, between_columns = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    for frame, groups in zip(bits, dataset.PerFrameFunctionalGroupsSequence, strict=True):
        place = np.array(groups.PlanePositionSequence[0].ImagePositionPatient, float)
        i, j = np.argwhere(frame).T[:, :, None]  # row, column
        places = (place + row * between_columns * j + column * between_rows * i) * [-1, -1, 1]
        indices = np.rint(nib.affines.apply_affine(np.linalg.inv(mask.affine), places)).astype(int)
        number = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        found[tuple(indices.T)] = number
        assert dataset.SegmentSequence[number - 1].SegmentLabel == NAMES[number]
    np.testing.assert_array_equal(found, values)


def test_it_refers_to_the_images_of_its_series(sent: Sent, orthanc: Orthanc, tmp_path: Path) -> None:
    dataset = dcmread(segmentation_in(orthanc, sent, tmp_path), stop_before_pixels=True)
    (referenced,) = dataset.ReferencedSeriesSequence
    assert referenced.SeriesInstanceUID == sent.series
    images = orthanc.get(f"dicom-web/studies/{sent.study}/series/{sent.series}/instances").json()
    there = {image["00080018"]["Value"][0] for image in images}
    assert {item.ReferencedSOPInstanceUID for item in referenced.ReferencedInstanceSequence} == there


@pytest.mark.parametrize(
    ("aet", "why"), [("ORTHANC", "does not answer"), ("ANOTHER", "does not know SAM3D, or is not called so")]
)
def test_why_an_object_is_not_sent_is_said(sent: Sent, orthanc: Orthanc, aet: str, why: str) -> None:
    (file,) = sent.output.glob("*.dcm")
    port = free_ports(1)[0] if aet == "ORTHANC" else orthanc.dicom
    with pytest.raises(ConnectionError, match=rf"{aet}@127\.0\.0\.1:{port} {why}"):
        send(file, "SAM3D", Peer(aet, "127.0.0.1", port))


@pytest.mark.slow
def test_the_command_serves_until_it_is_stopped_and_a_bad_series_does_not_stop_it(
    orthanc: Orthanc, checkpoint: Path, tmp_path: Path
) -> None:
    write_with_a_gap(tmp_path / "gap")
    write_oblique(tmp_path / "series")
    words = ["--checkpoint", checkpoint, "--encoder-weights", "random", "--quiet", "0", "--port", "0", "--aet", "NODE"]
    words += ["--from", "ORTHANC", "--to", f"ORTHANC@127.0.0.1:{orthanc.dicom}", "--output", tmp_path / "masks"]
    command = [sys.executable, "-m", "scripts", "serve-dicom", *map(str, words)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if found := re.search(r"NODE listens at 127\.0\.0\.1:(\d+) for ORTHANC, and sends masks to ORTHANC@", line):
                orthanc.knows("NODE", int(found[1]))
                bad, good = (store(orthanc, tmp_path / name, "NODE") for name in ("gap", "series"))
            if "was sent to" in line and sum("was sent to" in each for each in said) == 1:
                store(orthanc, tmp_path / "series", "NODE")  # again: the mask is there
            elif "was sent to" in line:
                process.terminate()
    assert process.returncode == 143, said
    assert any(f"ERROR series {bad.SeriesInstanceUID}: refused: slices must be evenly spaced; " in line for line in said), said
    assert any(f"series {good.SeriesInstanceUID}: {tmp_path}/masks/" in line for line in said), said
    assert (
        "is there already, made from the same"
        in next((tmp_path / "masks").glob("*/*_seg.dcm")).with_name("log.txt").read_text()
    )
    for header, count in ((bad, 0), (good, 1)):
        assert len(orthanc.get(f"dicom-web/studies/{header.StudyInstanceUID}/instances?Modality=SEG").json()) == count
    assert not (tmp_path / "masks" / ".sam3d_incoming").exists()


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--to", "ORTHANC", "must be AET@HOST:PORT"),
        ("--to", "ORTHANC@127.0.0.1:70000", "must be AET@HOST:PORT"),
        ("--to", "A_TITLE_THAT_IS_TOO_LONG@127.0.0.1:4242", "an AE title has 1 to 16 characters"),
        ("--from", "A\\B", "an AE title has 1 to 16 characters"),
        ("--aet", " ", "an AE title has 1 to 16 characters"),
        ("--port", "70000", "less than or equal to 65535"),
    ],
)
def test_a_wrong_word_is_refused_before_anything_is_written(
    typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, value: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.pt").touch()
    given = {"--checkpoint": "model.pt", "--from": "ORTHANC", "--to": "ORTHANC@127.0.0.1:4242", option: value}
    words = [word for pair in given.items() for word in pair]
    assert said in " ".join(typed("serve-dicom", *words, fails=True).split())
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt"]


def test_without_its_package_the_command_says_how_to_install_it(
    typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.pt").touch()
    monkeypatch.setattr("scripts.tools.serve_dicom.find_spec", lambda name: None)
    words = ["--checkpoint", tmp_path / "model.pt", "--from", "ORTHANC", "--to", "ORTHANC@127.0.0.1:4242"]
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'sam3d-bundle\[dicom\]'"):
        typed("serve-dicom", *words)
