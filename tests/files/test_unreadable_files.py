"""Of an output folder, the damaged files are named, and only they."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from scripts.files.checkpoint_file import write_checkpoint
from scripts.files.unreadable_files import unreadable_files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "masks").mkdir()
    write_checkpoint(tmp_path / "last.pt", {"weight": torch.randn(9)})
    nib.save(nib.Nifti1Image(np.random.default_rng(0).random((9, 9, 9)), np.eye(4)), tmp_path / "masks" / "a.nii.gz")
    (tmp_path / "report.json").write_text(json.dumps([{"file": "a"}]))
    save_file({"embedding": torch.randn(9)}, tmp_path / "b.safetensors")
    (tmp_path / ".partial.host.1.0123abcd.json").write_text("[")
    (tmp_path / "events.out").write_bytes(b"half")
    return tmp_path


def test_a_folder_of_whole_files_has_none(folder: Path) -> None:
    assert list(unreadable_files(folder)) == []


@pytest.mark.parametrize("name", ["last.pt", "masks/a.nii.gz", "report.json", "b.safetensors"])
def test_a_file_that_was_cut_is_named(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-3])
    (found,) = unreadable_files(folder)
    assert found.startswith(f"{name}: ")
