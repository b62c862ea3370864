"""Masks and references -> tables and pictures."""

from .calibration.case_quality import CaseQuality
from .calibration.sampled_case import SampledCases
from .case_interval import case_interval
from .case_metrics import CaseMetrics
from .class_dice import ClassDice
from .confusion import Confusion
from .detection import detection
from .overlays import draw_overlays
from .segmentation_metrics import segmentation_metrics

__all__ = [
    "CaseMetrics",
    "CaseQuality",
    "ClassDice",
    "Confusion",
    "SampledCases",
    "case_interval",
    "detection",
    "draw_overlays",
    "segmentation_metrics",
]
