"""How a network is applied: to volumes of any depth, and case by case over a list of files."""

from .case_by_case import run_case_by_case
from .embedding_inferer import EmbeddingInferer
from .temporary_store import TemporaryStore
from .volume_inferer import VolumeInferer

__all__ = ["EmbeddingInferer", "TemporaryStore", "VolumeInferer", "run_case_by_case"]
