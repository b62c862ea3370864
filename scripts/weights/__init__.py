"""Files -> parameters of a network that is handed in: SAM's official ones, the bundle's own, seeded random. And back."""

from .bundle_checkpoint import load_checkpoint
from .init_from import init_from
from .load_ensemble import load_ensemble
from .merged_encoder import save_merged_encoder
from .sam_checkpoint import load_sam_encoder

__all__ = ["init_from", "load_checkpoint", "load_ensemble", "load_sam_encoder", "save_merged_encoder"]
