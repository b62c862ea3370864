"""Masks and references -> tables and pictures."""

from .case_metrics import CaseMetrics
from .class_dice import ClassDice
from .overlays import draw_overlays
from .segmentation_metrics import segmentation_metrics

__all__ = ["CaseMetrics", "ClassDice", "draw_overlays", "segmentation_metrics"]
