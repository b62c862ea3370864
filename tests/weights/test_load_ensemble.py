"""Checkpoints of networks that were trained alike become one network; others are refused by their names."""

from pathlib import Path

import pytest
import torch
from conftest import NARROW

from scripts.files.checkpoint_file import write_checkpoint
from scripts.networks import SAM3D, EmbeddingEnsemble, ResidualDecoder, SAMSliceEncoder, ensemble_of
from scripts.weights import load_ensemble
from scripts.weights.sam_checkpoint import fill_at_random

ABOUT = {"roi_depth": 8}


def network(seed: int, encoder_seed: int = 0, trained_blocks: int = 0) -> SAM3D:
    encoder = SAMSliceEncoder(NARROW, trained_blocks=trained_blocks)
    fill_at_random(encoder, seed=encoder_seed, std=0.2)
    torch.manual_seed(seed)
    return SAM3D(encoder, ResidualDecoder(256, 4, channels=(16, 8, 8, 4))).eval()


def saved(folder: Path, network: SAM3D, name: str, about: dict[str, int] = ABOUT) -> str:
    write_checkpoint(folder / name, network.state_dict(), about)
    return str(folder / name)


@pytest.mark.parametrize("listed", [True, False])
def test_one_checkpoint_is_the_network_itself(tmp_path: Path, listed: bool) -> None:
    path, fresh = saved(tmp_path, network(1), "a.pt"), network(2)
    assert load_ensemble(fresh, [path] if listed else path, ensemble_of, ABOUT) is fresh
    volume = torch.rand(1, 1, 32, 32, 4)
    assert torch.equal(fresh(volume), network(1)(volume))


@torch.no_grad()
@pytest.mark.parametrize("trained_blocks", [0, 1])
def test_each_network_has_the_parameters_of_its_checkpoint(tmp_path: Path, trained_blocks: int) -> None:
    """Also where the encoder might have been trained, and is the same in all of them."""
    paths = [saved(tmp_path, network(seed, trained_blocks=trained_blocks), f"{seed}.pt") for seed in (1, 2, 3)]
    ensemble = load_ensemble(network(4, trained_blocks=trained_blocks), paths, ensemble_of, ABOUT)
    assert isinstance(ensemble, EmbeddingEnsemble)
    volume = torch.rand(1, 1, 32, 32, 4)
    for member, seed in zip(ensemble.networks, (1, 2, 3), strict=True):
        assert torch.equal(member(volume), network(seed)(volume))


def test_a_network_on_another_encoder_is_refused(tmp_path: Path) -> None:
    paths = [saved(tmp_path, network(1), "a.pt"), saved(tmp_path, network(2, encoder_seed=1), "b.pt")]
    with pytest.raises(ValueError, match=r"b\.pt.* trained on the encoder with sha256"):
        load_ensemble(network(3), paths, ensemble_of, ABOUT)


def test_a_network_whose_encoder_was_trained_is_refused(tmp_path: Path) -> None:
    first, tuned = network(1, trained_blocks=1), network(2, trained_blocks=1)
    with torch.no_grad():
        for name, parameter in tuned.encoder.named_parameters():
            if name in tuned.encoder.trained:
                parameter += 0.01
    paths = [saved(tmp_path, first, "a.pt"), saved(tmp_path, tuned, "b.pt")]
    with pytest.raises(ValueError, match=r"b\.pt does not fit .*a\.pt: .* must have one and the same encoder"):
        load_ensemble(network(3, trained_blocks=1), paths, ensemble_of, ABOUT)


def test_a_network_of_another_preset_is_refused(tmp_path: Path) -> None:
    paths = [saved(tmp_path, network(1), "a.pt"), saved(tmp_path, network(2), "b.pt", {"roi_depth": 16})]
    with pytest.raises(ValueError, match=r"b\.pt was trained with another preset: roi_depth was 16, now it is 8"):
        load_ensemble(network(3), paths, ensemble_of, ABOUT)


def test_a_checkpoint_that_is_named_twice_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, network(1), "a.pt")
    (tmp_path / "link.pt").symlink_to(path)
    with pytest.raises(ValueError, match=r"link\.pt is named twice"):
        load_ensemble(network(3), [path, str(tmp_path / "link.pt")], ensemble_of, ABOUT)
