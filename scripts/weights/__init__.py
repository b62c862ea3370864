"""Files -> parameters of a network that is handed in: SAM's official ones, the bundle's own, seeded random."""

from .bundle_checkpoint import load_checkpoint
from .sam_checkpoint import load_sam_encoder

__all__ = ["load_checkpoint", "load_sam_encoder"]
