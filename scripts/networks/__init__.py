"""Tensors in, tensors out: volume -> slice encoder -> embeddings -> decoder -> logits; and the networks to compare with."""

from .any_size import AnySize
from .attention import AttentionDecoder
from .cotr import CoTr
from .hosts import DoubleUNet, MultiResUNet, R2UNet, ResUNetPlusPlus, UNetHost, VNetHost
from .medt import MedT
from .residual_decoder import ResidualDecoder
from .sam3d import SAM3D, EmbeddingsToLogits
from .sam_encoder import SAMSliceEncoder
from .skips import CrossAttentionDecoder, DualCrossAttention, SkipControl, SkipNetwork
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
