"""Tensors in, tensors out: volume -> slice encoder -> embeddings -> decoder -> logits; and the networks to compare with."""

from .any_size import AnySize
from .attention_decoder import AttentionDecoder
from .cotr import CoTr
from .cross_attention_decoder import CrossAttentionDecoder
from .dual_cross_attention import DualCrossAttention, SkipControl
from .hosts import DoubleUNet, MultiResUNet, R2UNet, ResUNetPlusPlus
from .medt import MedT
from .monai_hosts import UNetHost, VNetHost
from .residual_decoder import ResidualDecoder
from .sam3d import SAM3D, EmbeddingsToLogits
from .sam_encoder import SAMSliceEncoder
from .skip_network import SkipNetwork
from .transunet import TransUNet

__all__ = [
    "SAM3D",
    "AnySize",
    "AttentionDecoder",
    "CoTr",
    "CrossAttentionDecoder",
    "DoubleUNet",
    "DualCrossAttention",
    "EmbeddingsToLogits",
    "MedT",
    "MultiResUNet",
    "R2UNet",
    "ResUNetPlusPlus",
    "ResidualDecoder",
    "SAMSliceEncoder",
    "SkipControl",
    "SkipNetwork",
    "TransUNet",
    "UNetHost",
    "VNetHost",
]
