"""Cases on a slow disk -> how far reading and computing overlap in inference."""

import time
from collections.abc import Hashable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from monai.engines import SupervisedEvaluator
from monai.transforms import AsDiscreted, Compose, ScaleIntensityd, Transform

from ...basics.case import Listed
from ...data import CaseReport, MaskRecords, ReadAhead, ReadCased, SaveMaskd, TriedCases, check_headers, find_images
from ...data.phantoms import write_phantoms
from ...inferers import VolumeInferer, run_case_by_case
from ..measure import markdown_section
from .setting import Setting

CASES, DELAY, THREADS = 20, 0.2, (1, 2, 4)  # seconds that the disk takes for a file


class SlowDisk(Transform):
    def __call__(self, data: Mapping[Hashable, Any]) -> Mapping[Hashable, Any]:
        time.sleep(DELAY)
        return data


def reading(setting: Setting) -> str:
    """From files to masks, by the parts that `run inference` is made of."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_phantoms(folder / "data", {"test": CASES}, shape=(setting.plane // 2, setting.plane // 2, 16))
        listed = find_images(folder / "data" / "images", folder)
        computing = _seconds(setting, folder / "fast", listed, 1, [])
        rows = []
        for threads in THREADS:
            seconds = _seconds(setting, folder / f"slow {threads}", listed, threads, [SlowDisk()])
            bound = max(CASES * DELAY / threads, computing)
            rows.append([threads, CASES * DELAY / threads, computing, seconds, seconds / bound])
    return markdown_section(
        "Reading while computing",
        f"{CASES} phantoms from files to masks, each file {DELAY} s slower than the disk is; computing: the same files without "
        "that. At best a run takes as long as the longer of the two.",
        ["threads", "reading / threads, s", "computing, s", "both, s", "ratio to the longer one"],
        rows,
    )


def _seconds(setting: Setting, output: Path, listed: Listed, threads: int, first: list[Transform]) -> float:
    network, checkpoint = setting.network(), output.parent / "model.pt"
    checkpoint.touch()
    report = CaseReport(output)
    records = MaskRecords(output, checkpoint, "random", 0, setting.device, network, reuse=False)
    labels = {str(value): f"class {value}" for value in range(setting.classes)}
    preprocessing = Compose([*first, ReadCased(1, labels), ScaleIntensityd("image")])
    dataset = TriedCases(check_headers(listed, 1, report), preprocessing, records)
    evaluator = SupervisedEvaluator(
        device=torch.device(setting.device),
        val_data_loader=[],
        network=network,
        inferer=VolumeInferer(roi_depth=16),
        postprocessing=Compose([AsDiscreted("pred", argmax=True), SaveMaskd(output)]),
    )
    start = time.perf_counter()
    run_case_by_case(evaluator, ReadAhead(dataset, threads), report, records)
    return time.perf_counter() - start
