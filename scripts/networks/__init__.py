"""Tensors in, tensors out: volume -> slice encoder -> embeddings -> decoder -> logits."""

from .any_size import AnySize
from .detail_pyramid import DetailPyramid
from .dino_encoder import DINOSliceEncoder
from .encoder_levels import EncoderLevels
from .ensemble import EmbeddingEnsemble, Ensemble, ensemble_of
from .flipped_depth import Flipped, FlippedDepth
from .mobile_sam_encoder import MobileSAMSliceEncoder
from .no_encoder import NoEncoder
from .parameter_groups import parameter_groups
from .plane_views import EmbeddingPlaneViews, PlaneViews
from .residual_decoder import ResidualDecoder
from .sam2_encoder import SAM2SliceEncoder
from .sam3d import SAM3D, EmbeddingsToLogits
from .sam_encoder import SAMSliceEncoder
from .two_scale_encoder import TwoScaleEncoder

__all__ = [
    "SAM3D",
    "AnySize",
    "DINOSliceEncoder",
    "DetailPyramid",
    "EmbeddingEnsemble",
    "EmbeddingPlaneViews",
    "EmbeddingsToLogits",
    "EncoderLevels",
    "Ensemble",
    "Flipped",
    "FlippedDepth",
    "MobileSAMSliceEncoder",
    "NoEncoder",
    "PlaneViews",
    "ResidualDecoder",
    "SAM2SliceEncoder",
    "SAMSliceEncoder",
    "TwoScaleEncoder",
    "ensemble_of",
    "parameter_groups",
]
