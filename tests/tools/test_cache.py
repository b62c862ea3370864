"""`sam3d cache` lists a folder of embeddings and clears it."""

import os
from pathlib import Path

import pytest
import torch

from scripts.data import EmbeddingStore

from .conftest import Typed


@pytest.fixture
def store(tmp_path: Path) -> EmbeddingStore:
    store = EmbeddingStore(tmp_path / "embeddings")
    for key, encoder, view in [("a" * 64, "1" * 64, "0"), ("b" * 64, "1" * 64, "0"), ("c" * 64, "2" * 64, "1")]:
        store.put(key, {"embedding": torch.zeros(250_000)}, {"image": f"{key}.nii.gz", "view": view, "encoder": encoder})
    (store.folder / f"{'d' * 64}.safetensors").write_bytes(b"junk")
    os.utime(store.folder / f"{'c' * 64}.safetensors", (0, 0))  # 1970
    return store


def test_it_lists_what_lies_in_a_cache_and_leaves_it_there(store: EmbeddingStore, typed: Typed) -> None:
    lines = typed("cache", store.folder).splitlines()
    assert [" ".join(line.split(",")[0].split()) for line in lines] == [
        "1 entries 0.000 GB damaged",
        "2 entries 0.002 GB encoder 111111111111",
        "1 entries 0.001 GB encoder 222222222222",
        f"4 entries 0.003 GB in {store.folder}",
    ]
    assert len(list(store.entries())) == 4


def test_it_clears_everything_or_what_is_old(store: EmbeddingStore, typed: Typed) -> None:
    assert "removed" in typed("cache", store.folder, "--clear", "--older-than", "30")
    assert [entry["key"] for entry in store.entries()] == ["a" * 64, "b" * 64, "d" * 64]
    typed("cache", store.folder, "--clear")
    assert list(store.entries()) == []


def test_a_missing_folder_is_said_and_not_made(tmp_path: Path, typed: Typed) -> None:
    assert f"no folder {tmp_path / 'x'}" in typed("cache", tmp_path / "x", fails=True)
    assert not (tmp_path / "x").exists()
