"""Bad input never becomes a silent wrong mask, and costs nothing but itself: every case of the corpus, in one run."""

import hashlib
import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from conftest import ROOT
from runs.conftest import command_line

from scripts.data.cases.case_error import printable
from scripts.data.phantoms import reorient

from .corpus import IMAGES, write_corpus
from .corpus_case import CORRECTED, DOUBT, LEFT_OUT, REFUSED, WRITTEN, CorpusCase

STATUS = {WRITTEN: "written", DOUBT: "written", CORRECTED: "corrected", REFUSED: "refused"}
ITK = {".mha": "MetaImageIO", ".mhd": "MetaImageIO", ".nrrd": "NrrdImageIO", ".nhdr": "NrrdImageIO"}
WATCHED = Path(__file__).parent / "watched"  # a folder whose sitecustomize.py Python runs at its start
WITHOUT_RULE = "every step must succeed"  # what the report says of an error that nobody foresaw
MASKED = [case for case in IMAGES if case.outcome in (WRITTEN, DOUBT, CORRECTED)]
COMMANDS = [case for case in IMAGES if "pwned" in case.path]


@dataclass
class Run:
    """world: the folder that holds all others. before, after: what lay in the folder of images."""

    world: Path
    images: Path
    output: Path
    exit_code: int
    said: str
    entries: dict[str, list[dict[str, Any]]]
    before: dict[str, str]
    after: dict[str, str]


def contents(folder: Path) -> dict[str, str]:
    """Path -> what is there, time included."""
    found = {}
    for path in sorted(folder.rglob("*")):
        about = path.lstat()
        if path.is_symlink():
            what = os.readlink(path)
        elif path.is_file():
            what = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            what = "a folder or pipe"
        found[str(path)] = f"{what} {about.st_mode:o} {0 if path.is_dir() else about.st_mtime_ns}"
    return found


@pytest.fixture(scope="module")
def run(trained: Path, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    world = tmp_path_factory.mktemp("corpus")
    for name in ("images", "work", "temporary", "log"):
        (world / name).mkdir()
    write_corpus(world / "images")
    before = contents(world / "images")
    options = {"input": world / "images", "output_dir": world / "masks", "checkpoint": trained / "model.pt"}
    result = subprocess.run(
        [sys.executable, *command_line("inference", ["inference.json"], options)],
        cwd=world / "work",
        env={
            **environment,
            "TMPDIR": str(world / "temporary"),
            "PYTHONIOENCODING": "utf-8",
            "PYTHONPATH": str(WATCHED),
            "WATCHED_LOG": str(world / "log" / "watched"),
        },
        capture_output=True,
        timeout=300,
    )
    said = (result.stdout + result.stderr).decode("utf-8")
    assert (world / "masks" / "report.json").exists(), said[-3000:]
    entries = defaultdict(list)
    for entry in json.loads((world / "masks" / "report.json").read_text(encoding="utf-8")):
        entries[entry["file"]].append(entry)
    after = contents(world / "images")
    yield Run(world, world / "images", world / "masks", result.returncode, said, dict(entries), before, after)


@pytest.mark.parametrize("case", IMAGES, ids=lambda case: case.id)
def test_every_input_has_its_outcome(run: Run, case: CorpusCase) -> None:
    file = str(run.images / case.path).rstrip("/")
    if case.outcome == LEFT_OUT:
        assert file not in run.entries
        name = printable(case.path)
        assert not case.rule or any(case.rule in line and name in line for line in run.said.splitlines())
        return
    (entry,) = run.entries[file]
    assert entry["status"] == STATUS[case.outcome], entry
    if case.outcome == WRITTEN:
        assert entry["rule"] is entry["reason"] is None
    else:
        assert re.search(case.rule, entry["rule"]), entry
        assert entry["reason"]
        said = [line for line in run.said.splitlines() if printable(file) in line]
        assert any(entry["rule"].split("; ")[0] in line for line in said), said
    if case.outcome == REFUSED:
        assert entry["mask"] is None
        assert entry["rule"] != WITHOUT_RULE
        found, _, remedy = entry["reason"].rpartition("; ")
        assert found
        assert remedy
    else:
        assert Path(entry["mask"]).is_relative_to(run.output)
        assert_on_its_image(run.images / case.path, Path(entry["mask"]))


def assert_on_its_image(image: Path, mask: Path) -> None:
    """By programs that are not ours: nibabel for NIfTI, ITK for the rest."""
    labels = nib.load(mask)
    values = np.unique(np.asanyarray(labels.dataobj))
    assert labels.get_data_dtype() == np.uint8
    assert set(values) <= {0, 1, 2, 3}
    if image.name.lower().endswith((".nii", ".nii.gz", ".hdr", ".hdr.gz")) and image.is_file():
        source = nib.load(image)
        assert labels.shape == source.shape[:3]
        np.testing.assert_array_equal(labels.affine, source.affine)
        return
    if image.is_dir():
        reader = sitk.ImageSeriesReader()
        files = reader.GetGDCMSeriesFileNames(str(image))
        reader.SetFileNames([file for file in files if not Path(file).is_symlink()])
        frames = image / "frames.dcm"
        source = sitk.ReadImage(str(frames), imageIO="GDCMImageIO") if frames.exists() else reader.Execute()
    else:
        source = sitk.ReadImage(str(image), imageIO=ITK[image.suffix.lower()])
    assert labels.shape == source.GetSize()
    if min(source.GetSize()) > 1:  # of one slice ITK's DICOM reader takes another thickness
        corners = np.array(np.meshgrid(*([0, n - 1] for n in labels.shape))).reshape(3, -1).T
        places = [source.TransformIndexToPhysicalPoint([int(i) for i in corner]) for corner in corners]
        expected = np.array(places) * [-1, -1, 1]
        np.testing.assert_allclose(nib.affines.apply_affine(labels.affine, corners), expected, atol=1e-3)


def in_reference_order(mask: str) -> np.ndarray:
    return np.asanyarray(reorient(nib.load(mask), "RAS").dataobj)


@pytest.mark.parametrize("case", [case for case in MASKED if case.same], ids=lambda case: case.id)
def test_one_volume_has_one_mask_however_it_is_stored(run: Run, case: CorpusCase) -> None:
    plain, other = (
        in_reference_order(run.entries[str(run.images / path)][0]["mask"]) for path in ("names/plain.nii.gz", case.path)
    )
    assert len(np.unique(plain)) > 1, "a mask without structures shows nothing"
    assert (plain != other).mean() < 0.002


def test_the_run_ends_with_exit_code_1(run: Run) -> None:
    assert run.exit_code == 1


def test_the_report_names_no_other_file(run: Run) -> None:
    assert set(run.entries) == {str(run.images / case.path) for case in IMAGES if case.outcome != LEFT_OUT}


def test_nobody_sees_a_traceback_or_a_line_without_a_file(run: Run) -> None:
    for words in ("Traceback", "Logging error", 'File "', "Exception ignored", "terminate called", "Segmentation fault"):
        assert words not in run.said
    assert "\x1b[31m" not in run.said  # colours that a file's name would switch on


def test_nothing_is_changed_where_the_images_are(run: Run) -> None:
    assert run.after == run.before


def test_nothing_is_written_beside_the_masks(run: Run) -> None:
    assert {path.name for path in run.world.iterdir()} == {"images", "masks", "work", "temporary", "log", "elsewhere"}
    assert [*(run.world / "work").iterdir(), *(run.world / "temporary").iterdir()] == []


def test_the_output_holds_masks_their_records_and_the_reports_alone(run: Run) -> None:
    masks = {entry["mask"] for entries in run.entries.values() for entry in entries if entry["mask"]}
    records = {f"{mask.removesuffix('.nii.gz')}.json" for mask in masks}
    own = {str(run.output / name) for name in ("report.json", "report.html", ".lock")}
    assert {str(path) for path in run.output.rglob("*") if not path.is_dir()} == masks | records | own
    assert len(masks) == len(MASKED)
    folders = {str(parent) for mask in masks for parent in Path(mask).parents if parent.is_relative_to(run.output)}
    assert {str(path) for path in run.output.rglob("*") if path.is_dir()} <= folders


def watched(run: Run) -> list[tuple[str, str]]:
    """What the process did by Python's own account: (event, path or address)."""
    entries = (run.world / "log" / "watched").read_bytes().split(b"\0\0")[:-1]
    return [(event.decode(), os.fsdecode(name)) for event, name in (entry.split(b"\0", 1) for entry in entries)]


def test_no_program_is_started_but_the_decoder_and_nothing_connected_to(run: Run) -> None:
    """It decodes compressed DICOM, and is one for each such series."""
    assert {event for event, _ in watched(run)} == {"open", "subprocess.Popen"}
    started = [program for event, program in watched(run) if event == "subprocess.Popen"]
    assert set(started) == {sys.executable}
    assert len(started) == len([case for case in IMAGES if "jpeg" in case.path])


def test_no_file_is_opened_but_those_of_the_run(run: Run, trained: Path) -> None:
    """ITK opens files without Python's knowledge: that it follows no pointer is shown by the masks that are not there."""
    own = [run.images, run.output, run.world / "temporary", trained, ROOT, sys.prefix, sys.base_prefix]
    system = ["/proc", "/sys", "/dev/null", "/dev/urandom", "/usr", "/lib", Path.home() / ".cache" / "matplotlib"]
    allowed = tuple(f"{place}" for folder in [*own, *system] for place in {str(folder), os.path.realpath(folder)})
    opened = {
        os.path.join(run.world / "work", name)
        for event, name in watched(run)
        if event == "open" and not name.startswith("__editable__")
    }  # pip -e
    assert {file for file in opened if not file.startswith(allowed)} == set()
    assert len([file for file in opened if file.startswith(str(run.images))]) > 300
    behind_links = {file for file in opened if not os.path.realpath(file).startswith(allowed)}
    assert behind_links == set()


def test_no_name_and_no_text_in_a_header_is_run(run: Run) -> None:
    assert len(COMMANDS) > 3
    assert [path for path in run.world.rglob("*") if path.name == "pwned"] == []
