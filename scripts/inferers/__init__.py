"""How a network is applied: windows over embeddings of long volumes, and case by case over a list of files."""

from .case_by_case import run_case_by_case
from .embedding_window import EmbeddingWindowInferer

__all__ = ["EmbeddingWindowInferer", "run_case_by_case"]
