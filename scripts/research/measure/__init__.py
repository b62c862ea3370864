"""Something to run, handed in -> its time, its memory, how far its result is from another's; and numbers -> tables, plots."""

from .growth_fit import Growth, crossing, fit_growth
from .growth_plot import Curve, draw_comparison, draw_growth
from .interleaved import interleaved_medians
from .macs import (
    attended_pairs,
    attention_crossing,
    count_macs,
    head_macs,
    layer_macs,
    pointwise_stage_macs,
    residual_stage_macs,
)
from .markdown import markdown_section, three_digits
from .naive_attention import NaiveAttention
from .peak_memory import peak_memory
from .plain_decoder import plain_decoder, plain_stage
from .published_forward import published_forward, sam_embeddings
from .relative_difference import relative_difference

__all__ = [
    "Curve",
    "Growth",
    "NaiveAttention",
    "attended_pairs",
    "attention_crossing",
    "count_macs",
    "crossing",
    "draw_comparison",
    "draw_growth",
    "fit_growth",
    "head_macs",
    "interleaved_medians",
    "layer_macs",
    "markdown_section",
    "peak_memory",
    "plain_decoder",
    "plain_stage",
    "pointwise_stage_macs",
    "published_forward",
    "relative_difference",
    "residual_stage_macs",
    "sam_embeddings",
    "three_digits",
]
