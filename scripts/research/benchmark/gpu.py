"""Encoder -> its speed on a GPU in bf16, against the hardware, segment_anything and compiled code."""

from collections.abc import Callable
from functools import partial

import torch

from ..measure import interleaved_medians, markdown_section, relative_difference, sam_embeddings
from .setting import Setting

# Slices/s by pixels: ViT-B with the windows' padding skipped, at 790 TFLOP/s, what an H200 reaches in dense bf16 products.
CEILING = {128: 70_700, 224: 22_400, 256: 17_200, 512: 4_080, 1024: 850}
PIXELS = 8 * 1024**2  # of all slices of a run


def gpu_encoder(setting: Setting) -> str:
    encoder = setting.encoder()
    weights = encoder.image_encoder.state_dict()
    rows = []
    for plane, ceiling in CEILING.items():
        volume, sam = setting.volume(plane, PIXELS // plane**2), setting.sam(weights, plane)
        images = volume[0].movedim(-1, 0)  # (D, 1, H, W)
        runs = {"ours": partial(_bf16, encoder, volume), "sam": partial(_bf16, partial(sam_embeddings, sam), images)}
        seconds = interleaved_medians(runs, setting.repeats)
        speed = len(images) / seconds["ours"]
        with torch.no_grad():
            difference = relative_difference(_bf16(encoder, volume), encoder(volume))
        rows.append([f"{plane} px", len(images), speed, speed / ceiling, seconds["sam"] / seconds["ours"], difference])
    return markdown_section(
        "GPU: encoder",
        "bf16 autocast, both codes. Ceiling: of one H200, for ViT-B. Difference of bf16 from fp32, relative to the largest "
        "magnitude.",
        ["slice", "slices", "slices/s", "share of the ceiling", "ratio to segment_anything", "difference"],
        rows,
    )


def gpu_compiled(setting: Setting) -> str:
    plane = 256
    encoder, volume = setting.encoder(), setting.volume(plane, PIXELS // plane**2)
    variants = {
        "as it is": encoder,
        "torch.compile": torch.compile(encoder),
        "torch.compile with CUDA graphs": torch.compile(encoder, mode="reduce-overhead"),
    }
    seconds = interleaved_medians({name: partial(_bf16, run, volume) for name, run in variants.items()}, setting.repeats)
    rows = [[name, volume.shape[-1] / seconds[name], seconds["as it is"] / seconds[name]] for name in variants]
    return markdown_section(
        "GPU: encoder, compiled",
        f"{volume.shape[-1]} slices of {plane} px at once, bf16 autocast.",
        ["encoder", "slices/s", "ratio"],
        rows,
    )


def _bf16(run: Callable[[torch.Tensor], torch.Tensor], inputs: torch.Tensor) -> torch.Tensor:
    with torch.no_grad(), torch.autocast(inputs.device.type, torch.bfloat16):
        return run(inputs)
