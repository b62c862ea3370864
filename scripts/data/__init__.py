"""Files and dictionaries: finding cases, reading, checking, preparing and writing them. Knows no network."""

from .case_error import CaseError
from .case_report import CaseReport
from .check_case import CheckCased
from .datalist import find_images, read_datalist, read_references
from .draw_embeddings import DrawEmbeddingsd
from .embedding_cache import EmbeddingCache
from .embedding_store import EmbeddingStore
from .read_image import ReadImaged
from .resize_in_plane import ResizeInPlane, ResizeInPlaned
from .save_mask import SaveMaskd

__all__ = [
    "CaseError",
    "CaseReport",
    "CheckCased",
    "DrawEmbeddingsd",
    "EmbeddingCache",
    "EmbeddingStore",
    "ReadImaged",
    "ResizeInPlane",
    "ResizeInPlaned",
    "SaveMaskd",
    "find_images",
    "read_datalist",
    "read_references",
]
