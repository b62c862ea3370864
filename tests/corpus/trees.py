"""Trees of files as data sets, archives and discs have them: images beside labels, indices, reports and what is no file."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
from dicom_phantom import write_series
from pydicom.uid import ComprehensiveSRStorage, MediaStorageDirectoryStorage, RTStructureSetStorage, SegmentationStorage

from .corpus_case import LEFT_OUT, REFUSED, WRITTEN, CorpusCase
from .dicom import all_of, series
from .nifti import AFFINE, PLAIN, VOXELS, image, put, raw

LABEL = (VOXELS > 600).astype(np.uint8) + (VOXELS > 900)
LABELS = "are labels"
TOLD_APART = "must be told from a label"


def label(kind: str = "uint8", affine: np.ndarray = AFFINE) -> Callable[[Path], object]:
    return put(image(LABEL.astype(kind), affine).to_bytes())


def other(kind: str) -> Callable[[Path], object]:
    """A folder with one object that is no image, as archives have it beside its series."""

    def write(folder: Path) -> None:
        for file in write_series(folder, edit=all_of(SOPClassUID=kind))[1:]:
            file.unlink()

    return write


def index(folder: Path) -> None:
    """A disc's, beside its slices, under the name that Philips gives it."""
    series()(folder)
    (file,) = write_series(folder / "x", np.zeros((2, 2, 1), np.int16), names=["DIRFILE"], edit=_as_index)
    file.rename(folder / "DIRFILE")
    file.parent.rmdir()


def _as_index(dataset: object, k: int) -> None:
    dataset.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    for keyword in ("SOPClassUID", "SeriesInstanceUID", "PixelData"):
        delattr(dataset, keyword)


def socket(path: Path) -> None:
    os.mknod(path, stat.S_IFSOCK | 0o600)


def record_that_is_a_pipe(path: Path) -> None:
    put(PLAIN)(path)
    os.mkfifo(path.with_name(path.name.replace(".nii.gz", ".json")))


def json(text: bytes) -> Callable[[Path], object]:
    """Odd JSON in the place of an image's record."""

    def write(path: Path) -> None:
        put(PLAIN)(path)
        path.with_name(path.name.replace(".nii.gz", ".json")).write_bytes(text)

    return write


IMAGES = (
    "nnunet/imagesTr/case_0000.nii.gz",
    "amos/imagesVa/amos_0001.nii.gz",
    "amos/imagesVa/amos_0002.nii.gz",
    "patients/p1/image.nii.gz",
    "patients/p2/image.nii.gz",
    "total/s0000/ct.nii.gz",
    "unnamed/scans/a.nii.gz",
    "beside/scan.nii.gz",
    "other_grid/scan.nii.gz",
)
LABEL_FILES = {
    "nnunet/labelsTr/case.nii.gz": label(),
    "amos/labelsVa/amos_0001.nii.gz": label("int16"),
    "amos/labelsVa/amos_0002.nii.gz": label("float64"),
    "patients/p1/label.nii.gz": label(),
    "patients/p2/label.nii.gz": label("float32"),
    "total/s0000/segmentations/liver.nii.gz": label(),
    "unnamed/scans_truth/a.nii.gz": label(),  # neither folder nor name is a word for labels
    "beside/tumour.nii.gz": label("int32"),
    "elsewhere/masks/scan.nii.gz": label(affine=np.eye(4)),
    "elsewhere/empty_label.nii.gz": put(image(np.zeros_like(LABEL)).to_bytes()),
}
CANNOT_BE_TOLD = {
    "other_grid/thing.nii.gz": label("float32", np.diag([2.0, 2, 2, 1])),
    "unnamed_labels/liver_1.nii.gz": label(),
    "unnamed_labels/liver_2.nii.gz": label(),
    "contradiction/labels/probabilities.nii.gz": put(PLAIN),
}
OTHER_CLASSES = {
    "seg": (SegmentationStorage, "Segmentation Storage"),
    "rtstruct": (RTStructureSetStorage, "RT Structure Set Storage"),
    "sr": (ComprehensiveSRStorage, "Comprehensive SR Storage"),
}
NO_FILES = "are links, pipes, sockets or devices"

CASES = [
    *(CorpusCase(f"trees/{path}", WRITTEN, put(PLAIN), same=True) for path in IMAGES),
    *(CorpusCase(f"trees/{path}", LEFT_OUT, write, LABELS) for path, write in LABEL_FILES.items()),
    *(CorpusCase(f"trees/{path}", REFUSED, write, TOLD_APART) for path, write in CANNOT_BE_TOLD.items()),
    CorpusCase("trees/nnunet/dataset.json", LEFT_OUT, raw(b'{"labels": {"background": 0, "liver": 1}}')),
    CorpusCase("trees/tcia/P1/ct", WRITTEN, series()),
    *(CorpusCase(f"trees/tcia/P1/{name}", LEFT_OUT, other(uid), kind) for name, (uid, kind) in OTHER_CLASSES.items()),
    CorpusCase("trees/disc", WRITTEN, index),
    CorpusCase("trees/analyze/Other.HDR", REFUSED, raw(PLAIN[:348]), "where its voxels lie"),
    CorpusCase("trees/analyze/other.img.gz", LEFT_OUT, put(PLAIN[352:]), "no images"),
    CorpusCase("trees/envi.hdr", LEFT_OUT, raw(b"ENVI"), "no images"),
    CorpusCase("trees/pipe", LEFT_OUT, os.mkfifo, NO_FILES),
    CorpusCase("trees/pipe.dcm", LEFT_OUT, os.mkfifo, NO_FILES),
    CorpusCase("trees/report.json", LEFT_OUT, os.mkfifo, NO_FILES),
    CorpusCase("trees/socket", LEFT_OUT, socket, NO_FILES),
    CorpusCase("trees/socket.nii.gz", REFUSED, socket, "must be a file"),
    CorpusCase("trees/linked", LEFT_OUT, lambda path: path.symlink_to("tcia"), "links to folders"),
    CorpusCase("trees/linked.nii.gz", LEFT_OUT, lambda path: path.symlink_to("tcia"), "links to folders"),
    CorpusCase("trees/pipe_beside_it_seg.nii.gz", WRITTEN, record_that_is_a_pipe, same=True),
    *(
        CorpusCase(f"trees/json_{number}_seg.nii.gz", WRITTEN, json(text), same=True)
        for number, text in enumerate([b"", b"[" * 100_000, b"\xff", b"9" * 5000, b'{"software": {}}', b"[1]", b"null"])
    ),
]
