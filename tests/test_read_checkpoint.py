"""A checkpoint is a dictionary of tensors, or an error that names the file."""

from pathlib import Path

import pytest
import torch

from scripts.read_checkpoint import read_checkpoint


def test_what_was_saved_is_read(tmp_path: Path) -> None:
    torch.save({"weight": torch.arange(3)}, tmp_path / "a.pt")
    assert torch.equal(read_checkpoint(tmp_path / "a.pt")["weight"], torch.arange(3))


def test_a_missing_file_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=rf"no checkpoint at {tmp_path / 'a.pt'}; train one first or give --checkpoint"):
        read_checkpoint(tmp_path / "a.pt")


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None], ids=["empty", "text", "cut"])
def test_damage_is_refused_by_name(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.pt"
    torch.save({"weight": torch.arange(1000)}, path)
    path.write_bytes(path.read_bytes()[:-200] if content is None else content)
    with pytest.raises(ValueError, match=f"{path} cannot be read as a checkpoint"):
        read_checkpoint(path)


def test_anything_but_a_dictionary_is_refused(tmp_path: Path) -> None:
    torch.save([torch.zeros(1)], tmp_path / "a.pt")
    with pytest.raises(ValueError, match="holds a list, a checkpoint must be a dictionary"):
        read_checkpoint(tmp_path / "a.pt")
