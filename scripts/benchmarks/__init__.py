"""Something to run, handed in -> its time, its memory, how far its result is from another's; and numbers -> tables, plots."""

from .growth_plot import draw_growth
from .interleaved import interleaved_medians
from .markdown import markdown_section
from .peak_memory import peak_memory
from .plain_decoder import plain_decoder, plain_stage
from .published_forward import published_forward, sam_embeddings
from .relative_difference import relative_difference

__all__ = [
    "draw_growth",
    "interleaved_medians",
    "markdown_section",
    "peak_memory",
    "plain_decoder",
    "plain_stage",
    "published_forward",
    "relative_difference",
    "sam_embeddings",
]
