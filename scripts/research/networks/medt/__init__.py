"""Slices -> gated axial attention on the whole and on its parts -> logits: MedT."""

from .medt import MedT

__all__ = ["MedT"]
