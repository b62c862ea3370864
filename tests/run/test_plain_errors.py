"""Of an error chain, the sentence that the bundle itself wrote is shown, and nothing else is hidden."""

from collections.abc import Callable
from pathlib import Path

import pytest
from monai.data import DataLoader, Dataset
from monai.transforms import Compose

from scripts.data import CaseError, find_images
from scripts.files.atomic_write import atomic_write
from scripts.files.checkpoint_file import read_checkpoint
from scripts.run.plain_errors import plain_sentence


def caught(action: Callable[[], object]) -> BaseException:
    with pytest.raises(Exception) as error:
        action()
    return error.value


def wrapped() -> None:
    try:
        find_images("/nowhere", "/out")
    except FileNotFoundError as error:
        raise RuntimeError("Failed to evaluate ConfigExpression") from error


def test_the_cause_in_our_code_is_the_sentence() -> None:
    assert plain_sentence(caught(wrapped)).startswith("no file or folder /nowhere")


@pytest.mark.parametrize("num_workers", [0, 1])
def test_an_error_in_a_transform_is_found_also_in_a_worker(num_workers: int, tmp_path: Path) -> None:
    def refuse(path: str) -> None:
        find_images(path, "/out")

    (tmp_path / "empty").mkdir()
    loader = DataLoader(Dataset([str(tmp_path / "empty")], Compose([refuse])), num_workers=num_workers)
    sentence = plain_sentence(caught(lambda: list(loader)))
    assert sentence.startswith(f"{tmp_path}/empty: must hold images")
    assert "\n" not in sentence


def test_an_error_that_our_code_raised_from_another_of_ours_is_the_later_one(tmp_path: Path) -> None:
    checkpoint = tmp_path / "model.pt"
    checkpoint.write_bytes(b"PK\3\4 and no more")
    assert plain_sentence(caught(lambda: read_checkpoint(checkpoint))).startswith(
        f"{checkpoint} cannot be read as a checkpoint"
    )


def test_an_error_of_the_disk_is_a_sentence_without_its_number(tmp_path: Path) -> None:
    (tmp_path / "a").touch()

    def write() -> None:
        with atomic_write(tmp_path / "a" / "b.csv"):
            pass

    assert plain_sentence(caught(write)).startswith(f"{tmp_path / 'a' / 'b.csv'} cannot be written: ")


def test_an_interruption_is_a_sentence() -> None:
    assert plain_sentence(KeyboardInterrupt()) == (
        "interrupted: what was written is whole; the same command goes on, a training run with --resume"
    )


def test_errors_of_others_keep_their_traceback() -> None:
    assert plain_sentence(caught(lambda: int("seven"))) is None
    assert plain_sentence(CaseError("a", "b", "c", "d")) is None, "never raised"
