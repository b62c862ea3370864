"""The published forward computes what the bundle's network computes."""

from dataclasses import replace

import torch
from torch.testing import assert_close

from scripts.research.benchmark.setting import QUICK
from scripts.research.measure import plain_decoder, published_forward


@torch.no_grad()
def test_equals_the_network_and_builds_sam_once() -> None:
    setting = replace(QUICK, plane=256)  # windows with and without padding
    network, volume = setting.network(), setting.volume(depth=2)
    built = []

    def build_sam() -> torch.nn.Module:
        built.append(setting.sam(network.encoder.image_encoder.state_dict(), setting.plane))
        return built[-1]

    logits = published_forward(volume, build_sam, plain_decoder(network.decoder))
    assert_close(logits, network(volume), atol=1e-4, rtol=0)
    assert len(built) == 1
