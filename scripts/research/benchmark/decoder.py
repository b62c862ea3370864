"""Decoder -> its speed and memory against the same formulas written plainly, and its memory against depth."""

import math
from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch

from ...inferers import EmbeddingInferer
from ...networks import SAM3D
from ...networks.depth_stream import unchanged
from ..measure import interleaved_medians, markdown_section, peak_memory, plain_decoder, plain_stage, relative_difference
from .setting import Setting


@torch.no_grad()
def decoder(setting: Setting) -> str:
    _, decoder = setting.parts()
    embeddings = _features(256, setting.plane // 16, setting.depth)
    runs = {"ours": partial(decoder, embeddings), "plain": partial(plain_decoder(decoder), embeddings)}
    seconds = interleaved_medians(runs, setting.repeats)
    voxels = setting.plane**2 * setting.depth
    bytes_per_voxel = {name: peak_memory(run) / voxels for name, run in runs.items()}
    difference = relative_difference(*(run()[0] for run in runs.values()))
    rows = [
        ["whole, time in s", *seconds.values(), seconds["plain"] / seconds["ours"]],
        [
            "whole, bytes per voxel",
            *bytes_per_voxel.values(),
            bytes_per_voxel["plain"] / bytes_per_voxel["ours"],
        ],
    ]
    for index, stage in enumerate(decoder.stages[:2]):
        for depth in setting.stage_depths:
            features = _features(stage.conv1.in_channels, setting.plane // 16 * 2**index, depth)
            runs = {
                "ours": partial(stage, features.movedim(-1, 2).contiguous(), unchanged),
                "plain": partial(plain_stage(stage), features),
            }
            seconds = interleaved_medians(runs, setting.repeats)
            name = f"stage {index + 1} alone, D = {depth}, time in s"
            rows.append([name, *seconds.values(), seconds["plain"] / seconds["ours"]])
    return markdown_section(
        "Decoder",
        f"Embeddings of a volume 1 x 1 x {setting.plane} x {setting.plane} x {setting.depth} (stages alone: x D), "
        f"K = {setting.classes}, without gradients. Plain: the same weights, D last, every convolution by itself, heads after "
        f"the upsampling; the logits differ by {difference:.1e} of the largest. Memory above weights and embeddings, with the "
        "logits. The first stages meet torch's slow convolution: batch 1, channels times first two axes 20480 or less.",
        ["", "ours", "plain", "ratio"],
        rows,
    )


@torch.no_grad()
def memory(setting: Setting) -> str:
    network, plane = setting.network(), setting.plane
    whole = partial(EmbeddingInferer, roi_depth=setting.depth, mode="whole")
    inferers = {"streamed": whole(memory=0), "at once": whole(memory=math.inf)}
    rows = []
    first = 0
    for depth in setting.memory_depths:
        volume, short = setting.volume(depth=depth), setting.volume(depth=setting.memory_depths[0])
        runs = {name: partial(inferer, volume, network) for name, inferer in inferers.items()}
        logits = {name: run() for name, run in runs.items()}
        difference = relative_difference(logits["streamed"], logits["at once"])
        streamed_run, warm_up = (partial(inferers["streamed"], v, without_output(network)) for v in (volume, short))
        streamed = peak_memory(streamed_run, warm_up, setting.device)
        at_once = peak_memory(runs["at once"], partial(inferers["at once"], short, network), setting.device)
        first = first or streamed
        slower = ""
        if depth <= setting.timed_depth:
            seconds = interleaved_medians(runs, setting.repeats)
            slower = seconds["streamed"] / seconds["at once"]
        beside_output = at_once - logits["at once"].nbytes
        rows.append([depth, streamed / 1e6, beside_output / 1e6, streamed / first, slower, difference])
    return markdown_section(
        "Memory in D",
        f"Volumes 1 x 1 x {plane} x {plane} x D through EmbeddingInferer(mode='whole'), K = {setting.classes}, on the "
        f"{setting.device}; memory above weights, input and output. Streamed: layers between temporary files (memory=0).",
        ["D", "streamed, MB", "at once, MB", "growth of streamed", "time, streamed / at once", "difference"],
        rows,
    )


def without_output(network: SAM3D) -> Any:
    """The network for streaming, with a single pixel left of every part of its logits.

    The output would outgrow all else, and subtracting it afterwards would hide a peak from before it existed.
    """

    def stream(*args: Any) -> Iterator[torch.Tensor]:
        for part in network.stream(*args):
            yield part[:, :, :1, :1]

    return SimpleNamespace(encoder=network.encoder, encode=network.encode, decoder=network.decoder, stream=stream)


def _features(channels: int, side: int, depth: int) -> torch.Tensor:
    """(1, C, side, side, depth)."""
    return torch.randn(1, channels, side, side, depth, generator=torch.Generator().manual_seed(0))
