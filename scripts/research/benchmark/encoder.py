"""Encoder -> its speed and memory against segment_anything's own, and against other encoders."""

import time
from functools import partial

import torch

from ...networks.sam_encoder import attend
from ...networks.segment_anything import get_rel_pos
from ..measure import interleaved_medians, markdown_section, peak_memory, relative_difference, sam_embeddings
from .setting import Setting


@torch.no_grad()
def encoder(setting: Setting) -> str:
    encoder = setting.encoder()
    weights = encoder.image_encoder.state_dict()
    rows = []
    for plane in setting.encoder_planes:
        volume, sam = setting.volume(plane, setting.encoder_depth), setting.sam(weights, plane)
        images = volume[0].movedim(-1, 0)  # (D, 1, H, W)
        runs = {"ours": partial(encoder, volume), "segment_anything": partial(sam_embeddings, sam, images)}
        seconds = interleaved_medians(runs, setting.repeats)
        speed = [setting.encoder_depth / seconds[name] for name in runs]
        difference = relative_difference(encoder(volume)[0].movedim(-1, 0), sam_embeddings(sam, images))
        rows.append([f"{plane} px", *speed, speed[0] / speed[1], difference])
    return markdown_section(
        "Encoder",
        f"{setting.encoder_depth} slices, from pixels in [0, 1] to embeddings. Difference: the largest, relative to the "
        "largest magnitude.",
        ["slice", "ours, slices/s", "segment_anything, slices/s", "ratio", "difference"],
        rows,
    )


@torch.no_grad()
def encoders(setting: Setting) -> str:
    """By the processor's time, which says the same on a machine that others use too."""
    rows, encoders = [], setting.encoders()
    for plane in setting.encoder_planes:
        volume = setting.volume(plane, setting.encoder_depth)
        runs = {name: partial(encoder, volume) for name, encoder in encoders.items()}
        seconds = interleaved_medians(runs, setting.repeats, clock=time.process_time)
        milliseconds = [1000 * value / setting.encoder_depth for value in seconds.values()]
        rows.append([f"{plane} px", *milliseconds, milliseconds[0] / milliseconds[1]])
    return markdown_section(
        "Encoders",
        f"Processor time for each of {setting.encoder_depth} slices, in ms. Ratio: ViT-B's to MobileSAM's.",
        ["slice", *encoders, "ratio"],
        rows,
    )


@torch.no_grad()
def attention(setting: Setting) -> str:
    image_encoder, grid = setting.encoder().image_encoder, setting.attention_grid
    attention = next(block.attn for block in image_encoder.blocks if not block.window_size)
    tables = (get_rel_pos(grid, grid, attention.rel_pos_h), get_rel_pos(grid, grid, attention.rel_pos_w))
    tokens = torch.randn(1, grid, grid, image_encoder.pos_embed.shape[-1], generator=torch.Generator().manual_seed(0))
    runs = {"ours": partial(attend, attention, tokens, tables), "segment_anything": partial(attention, tokens)}
    seconds = interleaved_medians(runs, setting.repeats)
    megabytes = {name: peak_memory(run) / 1e6 for name, run in runs.items()}
    difference = relative_difference(*(run() for run in runs.values()))
    rows = [
        ["peak memory, MB", *megabytes.values(), megabytes["segment_anything"] / megabytes["ours"]],
        ["time, s", *seconds.values(), seconds["segment_anything"] / seconds["ours"]],
    ]
    return markdown_section(
        "Global attention",
        f"One layer on {grid} x {grid} tokens, a slice of {16 * grid} px. Difference: {difference:.1e} of the largest.",
        ["", "ours", "segment_anything", "ratio"],
        rows,
    )
