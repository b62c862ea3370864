"""Slices -> a ResNet's features -> tokens that attend to each other -> an upsampling decoder -> logits: TransUNet."""

from .transunet import TransUNet

__all__ = ["TransUNet"]
