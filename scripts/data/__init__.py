"""Files and dictionaries: finding cases, reading, checking, preparing and writing them. Knows no network.

dataset.json, folder -> datalist, find_images -> cases -> check_headers (open_case -> open_image -> one file for each format)
case -> ReadCased -> MONAI's transforms -> network ... -> mask -> ClassesToLabelsd -> SaveMaskd, MaskRecords
"""

from .case_error import CaseError
from .case_report import CaseReport
from .check_contrast import CheckContrastd
from .check_headers import check_headers
from .check_training import check_training
from .datalist import read_datalist
from .embeddings.draw_embeddings import DrawEmbeddingsd
from .embeddings.embedding_cache import EmbeddingCache
from .embeddings.embedding_store import EmbeddingStore
from .find_images import find_images, read_references
from .formats.open_image import open_image
from .label_values import ClassesToLabelsd
from .mask_records import MaskRecords
from .read_case import ReadCased
from .resize_in_plane import ResizeInPlane, ResizeInPlaned
from .save_mask import SaveMaskd

__all__ = [
    "CaseError",
    "CaseReport",
    "CheckContrastd",
    "ClassesToLabelsd",
    "DrawEmbeddingsd",
    "EmbeddingCache",
    "EmbeddingStore",
    "MaskRecords",
    "ReadCased",
    "ResizeInPlane",
    "ResizeInPlaned",
    "SaveMaskd",
    "check_headers",
    "check_training",
    "find_images",
    "open_image",
    "read_datalist",
    "read_references",
]
