"""Slices -> a ResNet's features -> tokens that attend to each other -> an upsampling decoder -> logits: TransUNet."""

from .transunet import TransUNet
from .vit_npz import load_vit_npz

__all__ = ["TransUNet", "load_vit_npz"]
