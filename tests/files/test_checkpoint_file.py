"""A checkpoint is a dictionary of tensors, or an error that names the file: damage never passes for weights."""

import random
import re
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import monai
import pytest
import torch

from scripts.files.checkpoint_file import LONGEST_COMMENT, read_about, read_checkpoint, weights_digest, write_checkpoint

ABOUT = {"labels": {"0": "background", "1": "Läsion"}, "spacing": [1.5, 1.5, 2.0], "modalities": 1}


def state() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    network = {"weight": torch.randn(40, 30, generator=generator), "bias": torch.randn(40, generator=generator)}
    return {"network": network, "optimizer": {"step": torch.tensor(7.0)}, "epoch": 3}


def flipped(content: bytes, position: int, bit: int) -> bytes:
    return content[:position] + bytes([content[position] ^ 1 << bit]) + content[position + 1 :]


def damaged(whole: bytes) -> Iterator[bytes]:
    """A file damaged in 90 ways: a flipped bit, the end missing, something appended."""
    generator, size = random.Random(0), len(whole)
    for position in [*(generator.randrange(size) for _ in range(60)), 0, size - 1]:
        yield flipped(whole, position, position % 8)
    for length in [*(generator.randrange(size) for _ in range(20)), 0, 1, size - 1]:
        yield whole[:length]
    for tail in (b"\0", b"x", b"PK\5\6", bytes(1000), b"}" * 70000):
        yield whole + tail


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.pt"
    write_checkpoint(path, state(), ABOUT)
    return path


def test_what_was_written_is_read(file: Path) -> None:
    content = read_checkpoint(file)
    assert torch.equal(content["network"]["weight"], state()["network"]["weight"])
    assert content["epoch"] == 3
    assert read_about(file) == ABOUT


@pytest.mark.parametrize("about", [{}, ABOUT, {"text": "x" * 60000}], ids=["nothing", "settings", "much"])
def test_torch_and_monai_read_it_as_any_checkpoint(tmp_path: Path, about: dict[str, Any]) -> None:
    path, network = tmp_path / "model.pt", torch.nn.Linear(4, 3)
    write_checkpoint(path, network.state_dict(), about)
    for mapped in (False, True):
        assert torch.equal(torch.load(path, weights_only=True, mmap=mapped)["weight"], network.weight)
    other = torch.nn.Linear(4, 3)
    loader = monai.handlers.CheckpointLoader(str(path), {"model": other})
    loader(monai.engines.SupervisedEvaluator(torch.device("cpu"), [], other))
    assert torch.equal(other.weight, network.weight)


def test_the_same_state_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.pt", "another name.pt"):
        write_checkpoint(tmp_path / name, state(), ABOUT)
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "another name.pt").read_bytes()


def test_the_digest_of_the_weights_is_that_of_names_dtypes_shapes_and_bytes_alone(tmp_path: Path) -> None:
    def digest(content: dict[str, Any], about: dict[str, Any] = ABOUT) -> str:
        write_checkpoint(tmp_path / "a.pt", content, about)
        return weights_digest(tmp_path / "a.pt")

    weight = torch.arange(6.0).reshape(2, 3)
    before = digest({"a": weight, "b": torch.tensor(1.0)})
    assert digest({"b": torch.tensor(1.0), "a": weight.T.contiguous().T}, {"temperature": 1.5}) == before
    others = [
        {"a": weight, "c": torch.tensor(1.0)},
        {"a": weight, "b": torch.tensor([1.0])},
        {"a": weight.reshape(3, 2), "b": torch.tensor(1.0)},
        {"a": weight.bfloat16(), "b": torch.tensor(1.0)},
        {"a": weight.view(torch.int32), "b": torch.tensor(1.0)},
        {"a": weight.where(weight != 0, -0.0), "b": torch.tensor(1.0)},
        {"a": weight},
        {"of": {"a": weight, "b": torch.tensor(1.0)}},
    ]
    assert len({before, *map(digest, others)}) == 1 + len(others)
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        weights_digest(tmp_path / "b.pt")


def test_about_must_fit_into_a_zip_comment(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"a\.pt must fit into {LONGEST_COMMENT} bytes, it takes 70\d\d\d; say less"):
        write_checkpoint(tmp_path / "a.pt", state(), {"text": "x" * 70000})
    assert list(tmp_path.iterdir()) == []


def test_every_damage_to_a_file_of_ours_is_noticed(file: Path) -> None:
    files = list(damaged(file.read_bytes()))
    assert len(files) == 90
    for content in files:
        file.write_bytes(content)
        with pytest.raises(ValueError, match=rf"^{file} cannot be read as a checkpoint.*(damaged|incomplete).*again$"):
            read_checkpoint(file)


def test_no_flipped_bit_of_the_comment_passes(file: Path) -> None:
    """Each bit of each byte from the archive's end on, which tells readers where everything is."""
    whole = file.read_bytes()
    with zipfile.ZipFile(file) as archive:
        end = len(whole) - len(archive.comment) - 22
    for position in range(end, len(whole)):
        for bit in range(8):
            file.write_bytes(flipped(whole, position, bit))
            with pytest.raises(ValueError, match="damaged"):
                read_about(file)


@pytest.mark.parametrize("seed", range(4))
def test_every_flip_in_the_tensors_of_an_archive_of_others_is_noticed(tmp_path: Path, seed: int) -> None:
    path, tensor = tmp_path / "sam.pth", torch.randn(40, 30, generator=torch.Generator().manual_seed(seed))
    torch.save({"weight": tensor, "bias": torch.ones(3)}, path)
    assert read_about(path) is None
    whole, generator = path.read_bytes(), random.Random(seed)
    data = whole.index(tensor.numpy().tobytes())
    for _ in range(40):
        path.write_bytes(flipped(whole, data + generator.randrange(tensor.nbytes), generator.randrange(8)))
        with pytest.raises(
            ValueError, match=rf"{path} cannot be .* \(the CRC-32 of .*/data/\d differs\); copy it, download it"
        ):
            read_checkpoint(path)
    for length in (generator.randrange(len(whole)) for _ in range(20)):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=f"{path} cannot be read as a checkpoint.*incomplete"):
            read_checkpoint(path)
    path.write_bytes(whole + b"x")
    with pytest.raises(ValueError, match="something follows it"):
        read_checkpoint(path)


def test_the_format_from_before_2020_is_read(tmp_path: Path) -> None:
    torch.save({"weight": torch.arange(3)}, tmp_path / "a.pth", _use_new_zipfile_serialization=False)
    assert torch.equal(read_checkpoint(tmp_path / "a.pth")["weight"], torch.arange(3))
    assert read_about(tmp_path / "a.pth") is None


@pytest.mark.parametrize("about", [None, [], "labels", 3])
def test_settings_that_are_no_dictionary_are_refused(tmp_path: Path, about: Any) -> None:
    write_checkpoint(tmp_path / "a.pt", state(), about)
    with pytest.raises(ValueError, match=r"a\.pt cannot be read as a checkpoint.*its settings are no dictionary"):
        read_about(tmp_path / "a.pt")


def test_a_copy_under_another_name_is_whole(file: Path, tmp_path: Path) -> None:
    shutil.copy(file, tmp_path / "b.pt")
    assert read_about(tmp_path / "b.pt") == ABOUT


def test_a_missing_file_is_refused_with_what_to_do(tmp_path: Path) -> None:
    for read in (read_checkpoint, read_about):
        with pytest.raises(
            FileNotFoundError, match=rf"no checkpoint at {tmp_path / 'a.pt'}; train one first, or correct the path"
        ):
            read(tmp_path / "a.pt")


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\3\4"], ids=["empty", "text", "four bytes"])
def test_what_is_no_checkpoint_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.pt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"{path} cannot be read as a checkpoint"):
        read_checkpoint(path)


def test_code_in_a_checkpoint_is_refused_and_not_run(tmp_path: Path) -> None:
    class Code:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
            return (Path.touch, (tmp_path / "it ran",))

    path = tmp_path / "a.pt"
    torch.save({"weight": Code()}, path)
    with pytest.raises(ValueError, match="holds more than weights") as caught:
        read_checkpoint(path)
    assert not re.search("weights_only|safe_globals|trust", str(caught.value)), "torch's advice to run it after all"
    assert not (tmp_path / "it ran").exists()


def test_anything_but_a_dictionary_is_refused(tmp_path: Path) -> None:
    torch.save([torch.zeros(1)], tmp_path / "a.pt")
    with pytest.raises(ValueError, match="holds a list, a checkpoint must be a dictionary"):
        read_checkpoint(tmp_path / "a.pt")
