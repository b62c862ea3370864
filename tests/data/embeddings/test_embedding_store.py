"""What is stored comes back, any slices of it; what is damaged is noticed; limits are kept."""

import json
import os
import random
import shutil
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save

from scripts.data import EmbeddingStore

KEY, OTHER = "a" * 64, "b" * 64
ABOUT = {"image": "a.nii.gz", "view": "0", "encoder": "ab" * 32}


def tensors() -> dict[str, torch.Tensor]:
    return {"embedding": torch.randn(9, 4, 3, 2).half(), "label": torch.randint(0, 3, (9, 48, 32), dtype=torch.uint8)}


@pytest.mark.parametrize("in_memory", [True, False])
def test_any_slices_come_back_as_they_were_stored(tmp_path: Path, in_memory: bool) -> None:
    store, stored = EmbeddingStore("memory" if in_memory else tmp_path), tensors()
    store.put(KEY, stored, ABOUT)
    for name, tensor in stored.items():
        assert torch.equal(store.read(KEY, name), tensor)
        assert torch.equal(store.read(KEY, name, 3, 7), tensor[3:7])
    assert store.is_whole(KEY)
    assert not store.is_whole(OTHER)
    assert store.size() >= sum(tensor.nbytes for tensor in stored.values())


def flip_a_bit(data: bytes) -> bytes:
    return data[:-100] + bytes([data[-100] ^ 1]) + data[-99:]


@pytest.mark.parametrize(
    "damage",
    [flip_a_bit, lambda data: data[:-1], lambda data: data[:20], lambda data: b"", lambda data: b"\0" * len(data)],
    ids=["one bit", "last byte", "header", "empty", "zeros"],
)
def test_a_damaged_entry_is_noticed_named_and_removed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[bytes], bytes]
) -> None:
    store = EmbeddingStore(tmp_path)
    store.put(KEY, tensors(), ABOUT)
    path = tmp_path / f"{KEY}.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    assert not store.is_whole(KEY)
    assert f"{path} is damaged" in caplog.text
    assert not path.exists()


def exchanged(path: Path, other: Path) -> None:
    contents = other.read_bytes()
    path.replace(other)
    path.write_bytes(contents)


def linked(path: Path, other: Path) -> None:
    path.unlink()
    path.symlink_to(other)


def linked_to_nothing(path: Path, other: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def a_folder(path: Path, other: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "somebody's").touch()


def a_pipe(path: Path, other: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def without_its_key(path: Path, other: Path) -> None:
    """As an earlier version of the bundle wrote it: another sum under the same name."""
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    path.write_bytes(save(tensors, {"about": json.dumps(ABOUT), "sha256": "0" * 64}))


@pytest.mark.parametrize("tamper", [exchanged, linked, linked_to_nothing, a_folder, a_pipe, without_its_key])
def test_what_is_not_the_entry_of_its_name_is_named_and_written_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, tamper: Callable[[Path, Path], None]
) -> None:
    store, path = EmbeddingStore(tmp_path), tmp_path / f"{KEY}.safetensors"
    for key in (KEY, OTHER):
        store.put(key, tensors(), ABOUT)
    other = tmp_path / f"{OTHER}.safetensors"
    tamper(path, other)
    assert [entry["key"] for entry in store.entries()] == [KEY, OTHER]
    assert not store.is_whole(KEY)
    assert f"{path} is damaged, or another's, and is computed again" in caplog.text
    assert store.is_whole(OTHER) == (tamper is not exchanged)
    stored = tensors()
    store.put(KEY, stored, ABOUT)
    assert store.is_whole(KEY)
    assert torch.equal(store.read(KEY, "label"), stored["label"])
    kept = [file.name for file in tmp_path.rglob("*") if file.name == "somebody's"]
    assert kept == (["somebody's"] if tamper is a_folder else [])


@pytest.mark.parametrize("change", [Path.unlink, lambda path: path.write_bytes(b"")], ids=["removed", "emptied"])
def test_an_entry_that_changes_while_it_is_used_is_named(tmp_path: Path, change: Callable[[Path], object]) -> None:
    store = EmbeddingStore(tmp_path)
    store.put(KEY, tensors(), ABOUT)
    change(tmp_path / f"{KEY}.safetensors")
    with pytest.raises(OSError, match=rf"{tmp_path / KEY}\.safetensors was removed or changed during this run"):
        store.read(KEY, "label")


@pytest.mark.parametrize("about", ["[]", "{}", "7", "[" * 100_000], ids=["list", "empty", "number", "deep"])
def test_an_entry_that_says_nothing_of_itself_is_listed_as_damaged(tmp_path: Path, about: str) -> None:
    (tmp_path / f"{KEY}.safetensors").write_bytes(save(tensors(), {"about": about}))
    (entry,) = EmbeddingStore(tmp_path).entries()
    assert (entry["key"], entry["damaged"]) == (KEY, True)


@pytest.mark.parametrize("part", ["header", "tensors"])
def test_no_flipped_bit_passes_for_an_embedding(tmp_path: Path, part: str) -> None:
    store, path, generator = EmbeddingStore(tmp_path), tmp_path / f"{KEY}.safetensors", random.Random(part)
    store.put(KEY, tensors(), ABOUT)
    whole = path.read_bytes()
    data = 8 + int.from_bytes(whole[:8], "little")  # safetensors: the header's length, the header, the tensors
    for _ in range(60):
        position = generator.randrange(data) if part == "header" else generator.randrange(data, len(whole))
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1 << generator.randrange(8)]) + whole[position + 1 :])
        assert not store.is_whole(KEY), position


def test_tensors_under_each_other_s_names_are_damage(tmp_path: Path) -> None:
    store, stored = EmbeddingStore(tmp_path), {"a": torch.zeros(2), "b": torch.ones(2)}
    store.put(KEY, stored, ABOUT)
    path = tmp_path / f"{KEY}.safetensors"
    path.write_bytes(path.read_bytes().replace(b'"a"', b'"c"', 1))
    assert not store.is_whole(KEY)


@pytest.mark.parametrize("in_memory", [True, False])
def test_more_than_the_limit_is_refused_with_what_to_do(tmp_path: Path, in_memory: bool) -> None:
    store = EmbeddingStore("memory" if in_memory else tmp_path, limit=1e-5)  # 10 kB
    store.check_room(9000)
    with pytest.raises(
        OSError, match=r"would hold 1.1e-05 GB of embeddings and cache_limit allows 1e-05 GB; raise it, cache fewer views"
    ):
        store.check_room(11000)
    store.put(KEY, {"a": torch.zeros(2000)}, ABOUT)
    with pytest.raises(OSError, match="cache_limit"):
        store.check_room(9000)


def test_more_than_the_disk_has_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10, 4, 6))
    EmbeddingStore(tmp_path).check_room(6)
    with pytest.raises(OSError, match=f"{tmp_path} has 6e-09 GB free; give cache_dir"):
        EmbeddingStore(tmp_path).check_room(7)


def test_files_of_others_and_files_not_yet_whole_are_left_alone(tmp_path: Path) -> None:
    for name in ("model.safetensors", f".{1}.partial.{KEY}.safetensors", f"{KEY}.safetensors.bak"):
        (tmp_path / name).write_bytes(b"theirs")
    store = EmbeddingStore(tmp_path)
    assert list(store.entries()) == []
    assert store.size() == 0


def test_entries_say_what_they_are(tmp_path: Path) -> None:
    store = EmbeddingStore(tmp_path)
    store.put(KEY, tensors(), ABOUT)
    (tmp_path / f"{OTHER}.safetensors").write_bytes(b"junk")
    first, second = store.entries()
    assert (first["key"], first["image"], first["bytes"]) == (KEY, "a.nii.gz", (tmp_path / f"{KEY}.safetensors").stat().st_size)
    assert (second["key"], second["damaged"]) == (OTHER, True)
    store.remove(KEY)
    assert [entry["key"] for entry in store.entries()] == [OTHER]
