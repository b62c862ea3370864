"""What is stored comes back, any slices of it; what is damaged is noticed; limits are kept."""

import random
import shutil
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

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
