"""Of an error chain, the sentence that the bundle itself wrote is shown; of any other error what failed and where."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT
from monai.bundle import ConfigParser
from monai.data import DataLoader, Dataset
from monai.transforms import Compose

from scripts.basics.case import file_of
from scripts.data import find_images
from scripts.files.atomic_write import atomic_write
from scripts.files.checkpoint_file import read_checkpoint
from scripts.files.file_digest import file_digest
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


def out_of_memory() -> None:
    raise MemoryError


def test_a_lack_of_memory_is_no_bug() -> None:
    assert plain_sentence(caught(out_of_memory)).startswith("memory ran out; lower batch_size")


def own_code(*_: object) -> None:
    {}["a"]


@pytest.mark.parametrize("num_workers", [0, 1])
def test_of_the_user_s_own_code_the_line_is_named(num_workers: int) -> None:
    loader = DataLoader(Dataset([1], Compose([own_code])), num_workers=num_workers)
    line = own_code.__code__.co_firstlineno + 1
    assert plain_sentence(caught(lambda: list(loader))) == f"{__file__}, line {line}, failed: KeyError: 'a'"


def parsed(config: dict[str, object]) -> object:
    return ConfigParser(config).get_parsed_content("x")


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"x": "$1 / 0"}, "$1 / 0 of the configuration failed: ZeroDivisionError: division by zero"),
        ({"x": "$@a + '1'", "a": 2}, "$@a + '1' of the configuration failed: TypeError: unsupported operand"),
        ({"x": f"${' + '.join(['1'] * 100)} + b"}, f"${' + '.join(['1'] * 100)} + b of the configuration failed: NameError"),
        (
            {"x": {"_target_": "DiceLoss", "sigmoid": True, "softmax": True}},
            "monai.losses.dice.DiceLoss of the configuration failed: ValueError: Incompatible values",
        ),
        (
            {"x": {"_target_": "scripts.losses.DeepSupervision"}},
            "scripts.losses.DeepSupervision of the configuration failed: TypeError: ",
        ),
    ],
    ids=["expression", "reference", "long", "component", "ours"],
)
def test_of_the_user_s_configuration_the_part_is_named(config: dict[str, object], said: str) -> None:
    assert plain_sentence(caught(lambda: parsed(config))).startswith(said)


BUG = (
    "No rule foresaw this: it is a bug of the bundle. Please report it, with the command and what it says with "
    "SAM3D_TRACEBACK=1 in the environment. Nothing half-written was left"
)


def slip_in_the_bundle(*_: object) -> None:
    file_of({})


@pytest.mark.parametrize("num_workers", [None, 0, 1])
def test_a_slip_of_the_bundle_is_a_bug_to_be_reported(num_workers: int | None) -> None:
    loader = DataLoader(Dataset([1], Compose([slip_in_the_bundle])), num_workers=num_workers or 0)
    sentence = plain_sentence(caught(slip_in_the_bundle if num_workers is None else lambda: list(loader)))
    line = file_of.__code__.co_firstlineno + 2
    assert sentence == f"KeyError: 'image' ({ROOT / 'scripts' / 'basics' / 'case.py'}, line {line}). {BUG}"


def test_an_expression_of_the_bundle_s_configs_that_fails_is_a_bug() -> None:
    sentence = plain_sentence(caught(lambda: parsed({"x": "$len(@classes)", "classes": 3})))
    assert sentence == f"TypeError: object of type 'int' has no len() ($len(@classes)). {BUG}"


def test_a_file_that_the_system_does_not_give_is_no_bug(tmp_path: Path) -> None:
    sentence = plain_sentence(caught(lambda: file_digest(tmp_path / "a")))
    assert sentence == (
        f"No such file or directory: '{tmp_path / 'a'}'; make sure that it is there, and that you may read and write it"
    )


def test_the_last_line_of_a_process_is_never_of_a_traceback() -> None:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import scripts.run.plain_errors as p; p.show_plain_errors()"
    slip = "; from scripts.basics.case import file_of; file_of({})"
    for switch in ("0", "1"):
        environment = {**os.environ, "SAM3D_TRACEBACK": switch}
        result = subprocess.run([sys.executable, "-c", code + slip], env=environment, capture_output=True, text=True)
        assert result.returncode == 1
        assert ("Traceback" in result.stderr) == (switch == "1")
        assert (BUG in result.stderr) == (switch == "0")
