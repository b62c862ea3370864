"""A trained network as a file, and the example of the docs that applies it without this bundle."""

import ast
import runpy
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from conftest import ROOT

from scripts.data.phantoms import write_phantoms
from scripts.exporting.formats import FORMATS
from scripts.files.file_digest import file_digest
from scripts.tools.export import CHECKED

from .conftest import Command

EXAMPLE = ROOT / "docs" / "examples" / "segment_onnx.py"
EXPORT = ["inference.json", "overlays/export.yaml"]


def segment_by_the_example(image: Path, model: Path, mask: Path) -> None:
    """Each in this process, which has imported what it needs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [str(EXAMPLE), *map(str, (image, model, mask))])
        runpy.run_path(str(EXAMPLE), run_name="__main__")


def test_the_example_imports_neither_torch_nor_this_bundle() -> None:
    imports = [node for node in ast.walk(ast.parse(EXAMPLE.read_text())) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {alias.name for node in imports for alias in node.names}
    assert names == {"json", "nibabel", "numpy", "onnxruntime", "sys"}


def assert_the_example_gives_our_masks(images: Path, masks: Path, model: Path, folder: Path) -> None:
    files = sorted(images.glob("*.nii.gz"))
    assert files
    for image in files:
        ours, own = masks / image.name.replace(".nii.gz", "_seg.nii.gz"), folder / image.name
        segment_by_the_example(image, model, own)
        expected, found = nib.load(ours), nib.load(own)
        np.testing.assert_array_equal(np.asarray(found.dataobj), np.asarray(expected.dataobj), err_msg=image.name)
        np.testing.assert_array_equal(found.affine, expected.affine)
        assert len(np.unique(np.asarray(expected.dataobj))) > 1


@pytest.mark.slow
def test_numpy_and_onnxruntime_alone_give_the_masks_of_the_bundle(
    bundle_run: Command, trained: Path, phantoms: Path, tmp_path: Path
) -> None:
    model, checkpoint = tmp_path / "model.onnx", trained / "model.pt"
    bundle_run("exporting", EXPORT, checkpoint=checkpoint, **{"export#path": model})
    about = FORMATS["onnx"].about(model)
    assert about["checkpoints"] == [{"file": "model.pt", "sha256": file_digest(str(checkpoint))}]
    assert about["axcodes"] == "RAS" and about["intensity"]["upper"] == 99.5 and about["labels"]["3"] == "vessel"
    images = phantoms / "images"
    bundle_run("inference", ["inference.json"], checkpoint=checkpoint, input=images, output_dir=tmp_path / "masks")
    assert_the_example_gives_our_masks(images, tmp_path / "masks", model, tmp_path)


@pytest.mark.slow
def test_the_example_resizes_and_pads_as_the_bundle_does(bundle_run: Command, tmp_path: Path) -> None:
    """The phantoms of `sam3d demo` at 1.5 times their size, a plane that is padded, and one volume below a window's depth."""
    write_phantoms(tmp_path / "data", {"training": 4, "validation": 2, "test": 2}, shape=(64, 56, 20))
    write_phantoms(tmp_path / "shallow", {"test": 1}, shape=(40, 64, 5), seed=1)
    size = {"spatial_size": [96, 96]}
    bundle_run("training", ["train.json"], dataset_dir=tmp_path / "data", output_dir=tmp_path / "run", **size)
    checkpoint, model = tmp_path / "run" / "model.pt", tmp_path / "model.onnx"
    bundle_run("exporting", EXPORT, checkpoint=checkpoint, **size, **{"export#path": model})
    for name in ("data", "shallow"):
        images, masks = tmp_path / name / "images", tmp_path / f"masks_{name}"
        bundle_run("inference", ["inference.json"], checkpoint=checkpoint, input=images, output_dir=masks, **size)
        assert_the_example_gives_our_masks(images, masks, model, tmp_path)


def test_masks_of_images_are_compared_too(bundle_run: Command, trained: Path, phantoms: Path, tmp_path: Path) -> None:
    options = {"export#path": tmp_path / "model.ts", "export#format": "torchscript", "export#cases": CHECKED}
    options |= {"input": phantoms / "images" / "phantom_000.nii.gz", "output_dir": tmp_path}
    output = bundle_run("exporting", EXPORT, checkpoint=trained / "model.pt", **options)
    assert "mask of image 1: identical" in output.stdout + output.stderr
    refused = bundle_run("exporting", EXPORT, checkpoint=trained / "model.pt", fails=True, **options)
    assert "is there already; give another --output" in refused.stderr
