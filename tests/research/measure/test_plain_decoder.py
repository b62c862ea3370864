"""The plain decoder computes what the bundle's decoder computes."""

from typing import Any

import pytest
import torch
from torch.testing import assert_close

from scripts.networks import ResidualDecoder
from scripts.research.measure import plain_decoder

ORIGINAL = {"shortcut_kernel": 1, "upsample": "nearest", "supervised_stages": 3, "head": "convolutional", "conv_bias": True}


@pytest.mark.parametrize("options", [{}, ORIGINAL], ids=["default", "original"])
def test_equals_the_decoder_at_every_stage_and_leaves_it_alone(options: dict[str, Any]) -> None:
    decoder = ResidualDecoder(12, 3, (16, 8, 8, 4), **options).double()
    embeddings = torch.randn(2, 12, 3, 2, 4, dtype=torch.double)
    before = decoder(embeddings)
    plain = plain_decoder(decoder)(embeddings)
    for level, reference, again in zip(plain, before, decoder(embeddings), strict=True):
        assert_close(level, reference, atol=1e-10, rtol=0)
        assert torch.equal(again, reference)
