"""Attention by its formula, `softmax(Q K^T / sqrt(d)) V`, with all pairs in memory, which fused attention avoids."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


def naive_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attn_mask: torch.Tensor | None = None
) -> torch.Tensor:
    """What `scaled_dot_product_attention` computes, for a mask that is true where attention is allowed."""
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
    if attn_mask is not None:
        scores = scores.masked_fill(~attn_mask, -math.inf)
    return scores.softmax(-1) @ value


class NaiveAttention(TorchFunctionMode):
    """Within `with NaiveAttention():` every call of `scaled_dot_product_attention` is `naive_attention`, in any network."""

    def __torch_function__(
        self, function: Callable[..., Any], types: Sequence[type], args: tuple = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if function is F.scaled_dot_product_attention:
            function = naive_attention
        return function(*args, **(kwargs or {}))
