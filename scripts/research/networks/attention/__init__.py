"""Slice embeddings -> tokens that see each other by self-attention -> logits: the comparator of the residual decoder."""

from .attention_decoder import AttentionDecoder

__all__ = ["AttentionDecoder"]
