"""Networks and decoders to compare the product's with, behind the same configs: configs/research/networks, a file each."""

from .attention import AttentionDecoder
from .cotr import CoTr
from .hosts import DoubleUNet, MultiResUNet, R2UNet, ResUNetPlusPlus, UNetHost, VNetHost
from .medt import MedT
from .skip_connections import CrossAttentionDecoder, DualCrossAttention, SkipControl, SkipNetwork
from .transunet import TransUNet, load_vit_npz

__all__ = [
    "AttentionDecoder",
    "CoTr",
    "CrossAttentionDecoder",
    "DoubleUNet",
    "DualCrossAttention",
    "MedT",
    "MultiResUNet",
    "R2UNet",
    "ResUNetPlusPlus",
    "SkipControl",
    "SkipNetwork",
    "TransUNet",
    "UNetHost",
    "VNetHost",
    "load_vit_npz",
]
