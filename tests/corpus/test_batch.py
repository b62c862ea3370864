"""A batch of five hundred cases, one in five of them bad: each healthy mask is the one of its case alone."""

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow
from runs.conftest import Command, command_line

from scripts.data import CaseReport, check_headers, find_images
from scripts.data.phantoms import ORIENTATIONS, oblique_affine, phantom, reorient

from .corpus import IMAGES
from .corpus_case import REFUSED, CorpusCase

pytestmark = pytest.mark.slow

CASES, BAD = 500, 100
SECONDS_FOR_HEADERS = 10.0  # of computing, which a busy machine does not make longer
SHAPE = (16, 14, 5)
ALONE = 20  # healthy cases that are run once more


@dataclass
class Batch:
    images: Path
    output: Path
    healthy: list[Path]
    bad: dict[Path, CorpusCase]
    seconds: float


@pytest.fixture(scope="module")
def batch(bundle_run: Command, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Batch]:
    generator = np.random.default_rng(16)
    folder = tmp_path_factory.mktemp("batch")
    # Without those that concern two files, or a folder outside.
    drawable = [
        case for case in IMAGES if case.outcome == REFUSED and not case.path.startswith(("names/", "trees/", "itk/pointers/"))
    ]
    drawn = iter(generator.choice(len(drawable), BAD, replace=False))
    is_bad = generator.permutation(CASES) < BAD
    healthy, bad = [], {}
    for number in range(CASES):
        place = folder / "images" / f"case_{number:03d}"
        place.parent.mkdir(exist_ok=True)
        if is_bad[number]:
            case = drawable[next(drawn)]
            path = place / Path(case.path).name
            place.mkdir()
            case.write(path)
            bad[path] = case
        else:
            path = place.with_suffix(".nii.gz")
            volume = nib.Nifti1Image(phantom(generator, SHAPE)[0], oblique_affine(generator))
            nib.save(reorient(volume, ORIENTATIONS[number % 3]), path)
            healthy.append(path)
    options = {"input": folder / "images", "output_dir": folder / "masks", "checkpoint": trained / "model.pt"}
    start = time.perf_counter()
    bundle_run("inference", ["inference.json"], fails=True, **options)
    yield Batch(folder / "images", folder / "masks", healthy, bad, time.perf_counter() - start)


def voxels(mask: Path) -> np.ndarray:
    return np.asanyarray(nib.load(mask).dataobj)


def mask_of(folder: Path, image: Path) -> Path:
    return folder / f"{image.name.removesuffix('.nii.gz')}_seg.nii.gz"


def test_every_file_stands_in_the_report_once(batch: Batch) -> None:
    entries = json.loads((batch.output / "report.json").read_text())
    assert sorted(entry["file"] for entry in entries) == sorted(map(str, [*batch.healthy, *batch.bad]))
    assert {entry["file"] for entry in entries if entry["status"] == "refused"} == set(map(str, batch.bad))
    assert {entry["status"] for entry in entries} == {"written", "refused"}
    with_mask = {str(path) for path in batch.output.rglob("*.nii.gz")}
    assert with_mask == {str(mask_of(batch.output, image)) for image in batch.healthy}


def test_every_mask_lies_on_its_image(batch: Batch) -> None:
    for image in batch.healthy:
        source, mask = nib.load(image), nib.load(mask_of(batch.output, image))
        assert mask.shape == source.shape
        assert np.array_equal(mask.affine, source.affine)


def test_a_mask_of_the_batch_is_that_of_the_case_alone(
    batch: Batch, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # which a run replaces
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the batch: sums of floats depend on it
    structures = 0
    for number in np.random.default_rng(17).choice(len(batch.healthy), ALONE, replace=False):
        image = batch.healthy[number]
        run_alone(image, tmp_path / image.name, trained / "model.pt")
        alone = voxels(mask_of(tmp_path / image.name, image))
        assert alone.tobytes() == voxels(mask_of(batch.output, image)).tobytes(), image
        structures += len(np.unique(alone)) > 1
    torch.set_num_threads(threads)
    assert structures > ALONE // 2, "masks without structures would all be equal"


def run_alone(image: Path, output: Path, checkpoint: Path) -> None:
    """In this process: `run inference` for one file."""
    words = command_line("inference", ["inference.json"], {})
    configs = json.loads(words[words.index("--config_file") + 1].replace("'", '"'))
    root = words[words.index("--bundle_root") + 1]
    options = {"bundle_root": root, "input": str(image), "output_dir": str(output), "checkpoint": str(checkpoint)}
    workflow = ConfigWorkflow(configs, run_id="inference", workflow_type="infer", logging_file=False, **options)
    workflow.initialize()
    workflow.run()
    workflow.finalize()


def test_what_is_wrong_in_the_headers_of_five_hundred_cases_is_known_in_seconds(batch: Batch, tmp_path: Path) -> None:
    report = CaseReport(tmp_path)
    start = time.process_time()
    listed = find_images(batch.images, tmp_path)
    good = check_headers(listed, 1, report)
    seconds = time.process_time() - start
    refused = sum(entry["status"] == "refused" for entry in report.entries)
    count = len(listed.cases) + len(listed.refused)
    print(
        f"\n{count} cases: headers in {seconds:.2f} s, {refused} of {len(batch.bad)} bad ones found by them; "
        f"the whole run {batch.seconds:.1f} s, {1000 * batch.seconds / count:.0f} ms a case"
    )
    assert count == CASES
    assert len(good) + refused == CASES
    assert seconds < SECONDS_FOR_HEADERS
