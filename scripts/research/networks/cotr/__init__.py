"""Volume -> a CNN with deformable attention between its two coarsest levels -> logits: CoTr."""

from .cotr import CoTr

__all__ = ["CoTr"]
