"""A tuned encoder as a SAM checkpoint: SAM's names, whatever else its file held, and the same embeddings."""

from pathlib import Path

import pytest
import torch
from conftest import NARROW
from torch import nn

from scripts.networks import SAM3D, NoEncoder, ResidualDecoder, SAMSliceEncoder
from scripts.weights import load_sam_encoder, save_merged_encoder

OTHERS = {"prompt_encoder.no_mask_embed.weight": torch.ones(1, 2), "mask_decoder.iou_token.weight": torch.zeros(1, 2)}


def tuned(weights: Path | str = "random") -> SAM3D:
    encoder = load_sam_encoder(SAMSliceEncoder(NARROW, lora_rank=2), weights).eval()
    for update in encoder.lora:
        nn.init.normal_(update.up)
    return SAM3D(encoder, ResidualDecoder(256, 4, channels=(16, 8, 8, 4)))


@pytest.mark.parametrize("wrapper", ["", "module.", "sam."])
def test_the_rest_of_sam_stays_and_the_merged_file_gives_the_embeddings_of_the_tuned_encoder(
    tmp_path: Path, wrapper: str
) -> None:
    plain = load_sam_encoder(SAMSliceEncoder(NARROW), "random", seed=5)
    whole = {**plain.state_dict(), **OTHERS}
    torch.save({wrapper + name: value for name, value in whole.items()}, tmp_path / "sam.pth")
    network = tuned(tmp_path / "sam.pth")
    path = save_merged_encoder(network, tmp_path / "merged" / "encoder.pth", tmp_path / "sam.pth")
    written = torch.load(path, weights_only=True)
    assert written.keys() == whole.keys()
    assert all(torch.equal(written[name], value) for name, value in OTHERS.items())
    volume = torch.rand(1, 1, 32, 48, 2)
    with torch.no_grad():
        expected = network.encoder(volume)
    assert not torch.equal(plain(volume), expected)
    assert (load_sam_encoder(plain, path)(volume) - expected).abs().max() <= 1e-6 * expected.abs().max()


def test_of_a_file_of_the_encoder_alone_nothing_else_is_written(tmp_path: Path) -> None:
    plain = load_sam_encoder(SAMSliceEncoder(NARROW), "random", seed=5)
    torch.save(plain.image_encoder.state_dict(), tmp_path / "encoder_alone.pth")
    path = save_merged_encoder(tuned(tmp_path / "encoder_alone.pth"), tmp_path / "new.pth", tmp_path / "encoder_alone.pth")
    assert torch.load(path, weights_only=True).keys() == plain.state_dict().keys()


def test_a_file_that_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "encoder.pth").write_text("mine")
    with pytest.raises(FileExistsError, match="is there already; give another output folder"):
        save_merged_encoder(tuned(), tmp_path / "encoder.pth", "random")
    assert (tmp_path / "encoder.pth").read_text() == "mine"


@pytest.mark.parametrize("network", [nn.Conv3d(1, 2, 1), SAM3D(NoEncoder(), nn.Identity())], ids=["other", "no encoder"])
def test_a_network_without_sams_encoder_is_refused_in_words(network: nn.Module, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="only a network with SAM's encoder has something to merge"):
        save_merged_encoder(network, tmp_path / "encoder.pth", "random")
    assert not any(tmp_path.iterdir())
