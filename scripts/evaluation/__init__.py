"""Masks and references -> tables, pictures and a page."""

from .calibration.case_quality import CaseQuality
from .calibration.sampled_case import SampledCases
from .case_interval import case_interval
from .case_metrics import CaseMetrics
from .class_dice import ClassDice
from .confusion import Confusion
from .detection import detection
from .join_folds import join_folds
from .overlays import draw_overlays
from .report import ReportPage
from .segmentation_metrics import segmentation_metrics

__all__ = [
    "CaseMetrics",
    "CaseQuality",
    "ClassDice",
    "Confusion",
    "ReportPage",
    "SampledCases",
    "case_interval",
    "detection",
    "draw_overlays",
    "join_folds",
    "segmentation_metrics",
]
