"""What tests share: a narrow encoder with strong weights, and phantoms on disk."""

from pathlib import Path

import pytest
import torch

from scripts.data.phantoms import write_phantoms
from scripts.networks import SAM3D, MobileSAMSliceEncoder, ResidualDecoder, SAMSliceEncoder
from scripts.weights.sam_checkpoint import fill_at_random

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared" / "data"

# A ViT of every kind of block (windowed and global) that is fast: 0.4 M parameters instead of 89.7 M.
NARROW = {"embed_dim": 32, "depth": 3, "num_heads": 2, "global_attn_indexes": (1,)}
# A TinyViT of every kind of block, likewise: windows of both sizes, 0.7 M parameters, most of them the neck's.
NARROW_TINY_VIT = {
    "embed_dims": (8, 12, 16, 24),
    "depths": (1, 1, 2, 1),
    "num_heads": (1, 2, 2, 3),
    "window_sizes": (7, 7, 14, 7),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Peaks of memory are known where nothing ran before. The longest files come next, lest all wait for one at the end."""
    first = ["test_peak_memory.py", "test_networks.py", "test_cached.py", "test_folds.py", "test_kill.py", "test_runs.py"]
    items.sort(key=lambda item: first.index(item.path.name) if item.path.name in first else len(first))


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def narrow_encoder() -> SAMSliceEncoder:
    """Weights ten times those of `encoder_weights: random`, so that a mistake in any table shows."""
    encoder = SAMSliceEncoder(NARROW)
    fill_at_random(encoder, seed=0, std=0.2)
    return encoder


@pytest.fixture
def narrow_mobile_encoder() -> MobileSAMSliceEncoder:
    encoder = MobileSAMSliceEncoder(NARROW_TINY_VIT)
    fill_at_random(encoder, seed=0, std=0.3)
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            if name.endswith("attention_biases"):
                parameter.mul_(5)  # else attention is hardly more than a mean
    return encoder


@pytest.fixture
def narrow_network(narrow_encoder: SAMSliceEncoder) -> SAM3D:
    return SAM3D(narrow_encoder, ResidualDecoder(256, 4, channels=(16, 8, 8, 4))).eval()


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset folder of 4 + 2 + 2 phantoms of 32 x 28 x 12 voxels."""
    folder = tmp_path_factory.mktemp("phantoms")
    write_phantoms(folder, {"training": 4, "validation": 2, "test": 2}, shape=(32, 28, 12))
    return folder
