"""Naive attention against torch's, and its place within any network."""

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from scripts.research.measure import NaiveAttention, peak_memory


@pytest.mark.parametrize("masked", [False, True])
def test_equals_fused_attention(masked: bool) -> None:
    query, key, value = (torch.randn(2, 3, length, 8, dtype=torch.double) for length in (5, 7, 7))
    mask = torch.rand(2, 1, 5, 7) < 0.7 if masked else None
    if masked:
        mask[..., 0] = True  # something to attend to
    fused = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    with NaiveAttention():
        naive = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    assert_close(naive, fused, atol=1e-12, rtol=0)
    assert not torch.equal(naive, fused)  # another computation


def test_holds_all_pairs_in_memory_where_fused_attention_does_not() -> None:
    tokens = torch.randn(1, 1, 2000, 4)

    def naive() -> torch.Tensor:
        with NaiveAttention():
            return F.scaled_dot_product_attention(tokens, tokens, tokens)

    pairs = 4 * 2000**2  # bytes
    assert peak_memory(naive) >= 1.9 * pairs  # scores and weights
    assert peak_memory(lambda: F.scaled_dot_product_attention(tokens, tokens, tokens)) <= 0.2 * pairs
