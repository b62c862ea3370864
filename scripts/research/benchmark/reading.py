"""Cases on a slow disk -> how far reading and computing overlap in inference."""

import time
from collections.abc import Hashable, Mapping
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch
from monai.engines import SupervisedEvaluator
from monai.transforms import AsDiscreted, Compose, Invertd, ScaleIntensityd, Transform

from ...basics.case import Listed
from ...data import CaseReport, MaskRecords, ReadAhead, ReadCased, SaveMaskd, TriedCases, check_headers, find_images
from ...data.phantoms import write_phantoms
from ...files.checkpoint_file import write_checkpoint
from ...inferers import VolumeInferer, run_case_by_case
from ..measure import markdown_section
from .setting import QUICK, Setting

DELAY, THREADS = 0.2, (1, 2, 4)  # seconds that the disk takes for a file


class SlowDisk(Transform):
    def __call__(self, data: Mapping[Hashable, Any]) -> Mapping[Hashable, Any]:
        time.sleep(DELAY)
        return data


def reading(setting: Setting) -> str:
    """From files to masks, by the parts that `run inference` is made of; a narrow network, so that neither part vanishes."""
    repeats, cases, setting = setting.repeats, setting.reading_cases, replace(QUICK, device=setting.device)
    ways = {"fast": (1, []), **{str(threads): (threads, [SlowDisk()]) for threads in THREADS}}
    measured: dict[str, list[float]] = {way: [] for way in ways}
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_phantoms(folder / "data", {"test": cases})
        listed = find_images(folder / "data" / "images", folder)
        for turn in range(repeats):
            for way, (threads, first) in ways.items():
                measured[way].append(_seconds(setting, folder / f"{way} {turn}", listed, threads, first))
    seconds = {way: median(values) for way, values in measured.items()}
    rows = []
    for threads in THREADS:
        slow, both = cases * DELAY / threads, seconds[str(threads)]
        rows.append([threads, slow, seconds["fast"], both, both / max(slow, seconds["fast"])])
    return markdown_section(
        "Reading while computing",
        f"{cases} phantoms from files to masks by a narrow network, each file {DELAY} s slower than the disk is. Computing: "
        "the same files without that. At best a run takes as long as the longer of the two.",
        ["threads", "reading / threads, s", "computing, s", "both, s", "ratio to the longer one"],
        rows,
    )


def _seconds(setting: Setting, output: Path, listed: Listed, threads: int, first: list[Transform]) -> float:
    network, checkpoint = setting.network(), output.parent / "model.pt"
    write_checkpoint(checkpoint, network.state_dict())
    report = CaseReport(output)
    records = MaskRecords(output, checkpoint, "random", 0, setting.device, network, reuse=False)
    labels = {str(value): f"class {value}" for value in range(setting.classes)}
    preprocessing: Any = Compose([*first, ReadCased(1, labels), ScaleIntensityd("image")])
    back = Invertd("pred", preprocessing, orig_keys="image", nearest_interp=True)
    dataset = TriedCases(check_headers(listed, 1, report), preprocessing, records)
    evaluator = SupervisedEvaluator(
        device=torch.device(setting.device),
        val_data_loader=[],
        network=network,
        inferer=VolumeInferer(roi_depth=16),
        postprocessing=Compose([AsDiscreted("pred", argmax=True), back, SaveMaskd(output)]),
    )
    start = time.perf_counter()
    run_case_by_case(evaluator, ReadAhead(dataset, threads), report, records)
    if refused := [entry for entry in report.entries if entry["status"] == "refused"]:
        raise RuntimeError(f"{refused[0]['file']} was refused: {refused[0]['reason']}")
    return time.perf_counter() - start
