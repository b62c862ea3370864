"""What an encoder hands to a decoder -> the same after attention among all levels: Dual Cross-Attention, for any host."""

from .cross_attention_decoder import CrossAttentionDecoder
from .dual_cross_attention import DualCrossAttention, SkipControl
from .skip_network import SkipNetwork

__all__ = ["CrossAttentionDecoder", "DualCrossAttention", "SkipControl", "SkipNetwork"]
