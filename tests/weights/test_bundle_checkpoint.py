"""The bundle's own checkpoints: both kinds load, and whatever does not fit is an error that names the file."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from scripts.networks import SAM3D, ResidualDecoder
from scripts.weights import load_checkpoint
from scripts.weights.sam_checkpoint import fill_at_random


@pytest.fixture
def other_decoder(narrow_network: SAM3D) -> SAM3D:
    """The same encoder, a decoder with other values."""
    network = copy.deepcopy(narrow_network)
    fill_at_random(network.decoder, seed=1)
    return network


def parameters(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in network.named_parameters()}


@pytest.mark.parametrize("name", ["model.pt", "last.pt"])
def test_both_kinds_of_checkpoint_load(narrow_network: SAM3D, other_decoder: SAM3D, tmp_path: Path, name: str) -> None:
    state = narrow_network.state_dict()
    torch.save({"network": state, "epoch": 3} if name == "last.pt" else state, tmp_path / name)
    assert load_checkpoint(other_decoder, str(tmp_path / name)) is other_decoder
    assert_close(parameters(other_decoder), parameters(narrow_network), atol=0, rtol=0)


def test_a_missing_file_is_named(narrow_network: SAM3D, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as error:
        load_checkpoint(narrow_network, tmp_path / "model.pt")
    assert str(tmp_path / "model.pt") in str(error.value)


def assert_refused(network: nn.Module, path: Path, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as error:
        load_checkpoint(network, path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("content", [[torch.zeros(1)], {"network": [torch.zeros(1)]}, {}, {"network": {}}])
def test_wrong_content_is_refused(narrow_network: SAM3D, tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "model.pt")
    assert_refused(narrow_network, tmp_path / "model.pt", r"model\.pt")


def test_a_damaged_file_is_refused(narrow_network: SAM3D, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save(narrow_network.state_dict(), path)
    path.write_bytes(path.read_bytes()[:-1000])
    assert_refused(narrow_network, path, "damaged")


def test_a_checkpoint_of_another_preset_is_refused(narrow_network: SAM3D, tmp_path: Path) -> None:
    torch.save(narrow_network.state_dict(), tmp_path / "model.pt")
    other = SAM3D(narrow_network.encoder, ResidualDecoder(256, 5, channels=(16, 8, 8, 4)))
    assert_refused(other, tmp_path / "model.pt", "another preset")


def test_a_checkpoint_of_another_encoder_is_refused(narrow_network: SAM3D, tmp_path: Path) -> None:
    torch.save(narrow_network.state_dict(), tmp_path / "model.pt")
    other = copy.deepcopy(narrow_network)
    other.encoder.load_state_dict({key: 2 * value for key, value in narrow_network.encoder.state_dict().items()})
    assert_refused(other, tmp_path / "model.pt", bytes(other.encoder.sha256().tolist()).hex())
