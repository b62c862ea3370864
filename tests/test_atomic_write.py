"""A file under its final name is always whole."""

from pathlib import Path

import pytest

from scripts.atomic_write import atomic_write


def test_the_new_content_replaces_the_old_only_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "masks" / "metrics.csv"
    for content in ("old", "new"):
        with atomic_write(path) as temporary:
            temporary.write_text(content)
            assert not path.exists() if content == "old" else path.read_text() == "old"
        assert path.read_text() == content
    assert list(path.parent.iterdir()) == [path]


def test_an_error_keeps_the_old_file_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_write(path) as temporary:
        temporary.write_text("half of the n")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_written_is_an_error_that_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("old")
    with pytest.raises(FileNotFoundError), atomic_write(path):
        pass
    assert path.read_text() == "old"


@pytest.mark.parametrize("name", ["mask.nii.gz", "model.pt"])
def test_the_temporary_file_has_the_suffixes_and_the_folder(tmp_path: Path, name: str) -> None:
    with atomic_write(tmp_path / name) as temporary:
        temporary.touch()
        assert temporary.name.endswith(name[name.index(".") :])
        assert temporary.parent == tmp_path  # a rename is atomic within one file system only
