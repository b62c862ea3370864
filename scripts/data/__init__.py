"""Files and dictionaries: finding cases, reading, checking, preparing and writing them. Knows no network.

dataset.json, folder -> read_datalist, find_images -> listed cases -> check_headers (open_case -> open_image) -> opened cases
opened case -> ReadCased -> MONAI's transforms -> network ... -> mask -> ClassesToLabelsd -> SaveMaskd, MaskRecords
"""

from .cases.annotated import label_sets
from .cases.case_error import CaseError
from .cases.check_headers import check_headers
from .cases.check_split import check_split
from .cases.check_training import check_training
from .cases.datalist import read_datalist
from .cases.find_images import find_images, read_references
from .cases.label_values import ClassesToLabelsd, open_label
from .cases.read_case import ReadCased
from .cases.structures import structures
from .cases.tried_cases import ReadAhead, TriedCases
from .embeddings.draw_embeddings import DrawEmbeddingsd
from .embeddings.embedding_cache import EmbeddingCache
from .embeddings.embedding_store import EmbeddingStore
from .embeddings.join_pixels import JoinPixelsd
from .formats.open_image import open_image
from .masks.case_report import CaseReport
from .masks.clean_mask import CleanMaskd
from .masks.logits_to_classes import LogitsToClassesd
from .masks.map_names import map_names
from .masks.mask_records import MaskRecords
from .masks.resampled_classes import ResampledClassesd
from .masks.sample_voxels import SampleVoxelsd
from .masks.save_maps import SaveMapsd
from .masks.save_mask import SaveMaskd
from .masks.split_output import SplitOutputd
from .preprocessing.check_contrast import CheckContrastd
from .preprocessing.check_memory import CheckMemoryd
from .preprocessing.crop_labelled import RandCropLabelledd
from .preprocessing.per_channel import PerChanneld, per_channel
from .preprocessing.resize_in_plane import ResizeInPlane, ResizeInPlaned
from .preprocessing.shift_classes import ShiftClassesd

__all__ = [
    "CaseError",
    "CaseReport",
    "CheckContrastd",
    "CheckMemoryd",
    "ClassesToLabelsd",
    "CleanMaskd",
    "DrawEmbeddingsd",
    "EmbeddingCache",
    "EmbeddingStore",
    "JoinPixelsd",
    "LogitsToClassesd",
    "MaskRecords",
    "PerChanneld",
    "RandCropLabelledd",
    "ReadAhead",
    "ReadCased",
    "ResampledClassesd",
    "ResizeInPlane",
    "ResizeInPlaned",
    "SampleVoxelsd",
    "SaveMapsd",
    "SaveMaskd",
    "ShiftClassesd",
    "SplitOutputd",
    "TriedCases",
    "check_headers",
    "check_split",
    "check_training",
    "find_images",
    "label_sets",
    "map_names",
    "open_image",
    "open_label",
    "per_channel",
    "read_datalist",
    "read_references",
    "structures",
]
