"""Tensors in, tensors out: volume -> slice encoder -> embeddings -> decoder -> logits."""

from .any_size import AnySize
from .detail_pyramid import DetailPyramid
from .no_encoder import NoEncoder
from .parameter_groups import parameter_groups
from .residual_decoder import ResidualDecoder
from .sam3d import SAM3D, EmbeddingsToLogits
from .sam_encoder import SAMSliceEncoder

__all__ = [
    "SAM3D",
    "AnySize",
    "DetailPyramid",
    "EmbeddingsToLogits",
    "NoEncoder",
    "ResidualDecoder",
    "SAMSliceEncoder",
    "parameter_groups",
]
