"""Cases whose every voxel is known, in any order of axes, and the page that is drawn of them."""

from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from scripts.data import CaseReport, open_image
from scripts.data.phantoms import reorient
from scripts.evaluation import CaseMetrics, ReportPage

LABELS = {"0": "background", "1": "liver", "4": "kidney & co"}
SHAPE = (24, 20, 9)  # along R, A, S
HOSTILE = (
    "<img src=x onerror=window.pwned=1>",
    "</script><script>window.pwned=2</script>",
    "\"onmouseover=window.pwned=3 '{{ 7 * 7 }}",
    "\u2028a&lt;b `${window.pwned=4}`",
)


def volumes(number: int = 0) -> dict[str, np.ndarray]:
    """Image, mask and reference (R, A, S) without any symmetry; the mask is the worse the larger `number`."""
    generator = np.random.default_rng(number)
    reference = np.zeros(SHAPE, np.uint8)
    reference[3:12, 4:14, 1:5] = 1
    reference[14:20, 10:18, 3:8] = 4
    mask = np.zeros_like(reference)
    mask[3 : 12 - number % 6, 5:14, 1:6] = 1
    mask[13:20, 10:17, 3:7] = 4
    image = generator.normal(100, 10, SHAPE) + 40 * reference
    return {"image": image.astype(np.float32), "mask": mask, "reference": reference}


def write_case(
    folder: Path, name: str, number: int = 0, axcodes: str = "RAS", spacing: Sequence[float] = (1, 1, 1)
) -> dict[str, str]:
    """Paths of its three files."""
    files = {}
    for kind, voxels in volumes(number).items():
        files[kind] = str(folder / kind / (f"{name}_seg.nii.gz" if kind == "mask" else f"{name}.nii.gz"))
        Path(files[kind]).parent.mkdir(parents=True, exist_ok=True)
        nib.save(reorient(nib.Nifti1Image(voxels, np.diag([*spacing, 1.0])), axcodes), files[kind])
    return files


def measured(folder: Path, cases: Mapping[str, Mapping[str, str]], **options: Any) -> CaseMetrics:
    """Of files that `write_case` wrote, by the names of the cases."""
    metrics = CaseMetrics(folder, LABELS, open_image, nsd_tolerance=1.0, nsd_unit="voxel", **options)
    for name, files in cases.items():
        read = {key: tensor(files[key]) for key in ("image", "mask", "reference")}
        metrics.add({**read, "pred": read["mask"], "mask": files["mask"], "name": f"{name}_seg"})
    return metrics


def tensor(path: str) -> MetaTensor:
    opened = open_image(path)
    return MetaTensor(torch.from_numpy(opened.read()), affine=torch.from_numpy(opened.affine), meta={"filename_or_obj": path})


def entry(
    files: Mapping[str, str], status: str = "written", rule: str | None = None, reason: str | None = None
) -> dict[str, Any]:
    return {"file": files["image"], "status": status, "rule": rule, "reason": reason, "mask": files.get("mask")}


class Evaluated(NamedTuple):
    page: Path
    metrics: CaseMetrics


def evaluate(
    folder: Path, names: Sequence[str], more: int = 0, regions: Mapping[str, list[int]] = {}, **options: Any
) -> Evaluated:
    """report.html of cases of these names, which become worse one by one, and of `more` that are all like the third."""
    cases = {name: write_case(folder / "files", f"case{k}", k) for k, name in enumerate(names)}
    metrics = measured(folder, cases, regions=regions)
    for number in range(more):
        metrics.files[f"more{number}"] = metrics.files[names[2]]
        metrics.rows += [{**row, "case": f"more{number}"} for row in metrics.rows if row["case"] == names[2]]
    report = CaseReport(folder)
    report.entries += [entry(files) for files in metrics.files.values()]
    ReportPage(folder / "report.html", report, LABELS, open_image, metrics=metrics, **options).write()
    return Evaluated(folder / "report.html", metrics)


def segmentation_page(folder: Path, entries: list[dict[str, Any]], **options: Any) -> Path:
    report = SimpleNamespace(entries=entries)
    ReportPage(folder / "report.html", report, LABELS, open_image, **options).write()
    return folder / "report.html"


class Reading(HTMLParser):
    """tags: name and attributes of each; text: all outside of scripts and styles."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.scripts: list[str] = []
        self.within = ""
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        self.within = tag

    def handle_endtag(self, tag: str) -> None:
        self.within = ""

    def handle_data(self, data: str) -> None:
        if self.within == "script":
            self.scripts.append(data)
        elif self.within != "style":
            self.text += data

    def ids(self) -> list[str]:
        return [str(attributes["id"]) for _, attributes in self.tags if "id" in attributes]


@pytest.fixture(scope="session")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Evaluated:
    """Forty cases, four of them with names that would run if they could."""
    names = ["case_0", "case_1", "case_2", *HOSTILE[:2], "case_5"]
    return evaluate(tmp_path_factory.mktemp("report"), [*names, *HOSTILE[2:]], more=32, arguments=["sam3d", HOSTILE[1]])


@pytest.fixture(scope="session")
def hostile_page(evaluated: Evaluated) -> Path:
    return evaluated.page
