"""Network -> its forward against the published one, its training step with and without cache, its growth with size."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from monai.losses import DiceCELoss

from ...losses import DeepSupervision
from ...networks import SAM3D
from ..measure import (
    draw_growth,
    interleaved_medians,
    markdown_section,
    peak_memory,
    plain_decoder,
    published_forward,
    relative_difference,
    sam_embeddings,
)
from ..measure.published_forward import Sam
from .setting import Setting


@torch.no_grad()
def forward(setting: Setting) -> str:
    encoder, decoder = setting.parts()
    network, volume, plain = SAM3D(encoder, decoder).eval(), setting.volume(), plain_decoder(decoder)
    with TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "image_encoder.pth"
        torch.save(encoder.image_encoder.state_dict(), checkpoint)

        def build() -> Sam:
            return setting.sam(torch.load(checkpoint, weights_only=True), setting.plane)

        once = build()
        runs = {
            "ours": partial(network, volume),
            "published, SAM built once": partial(published_forward, volume, lambda: once, plain),
            "published, SAM built in every forward": partial(published_forward, volume, build, plain),
        }
        seconds = interleaved_medians(runs, setting.repeats)
        logits = network(volume)
        rows = [
            [name, seconds[name], seconds[name] / seconds["ours"], relative_difference(run(), logits)]
            for name, run in runs.items()
        ]
    return markdown_section(
        "Whole forward",
        f"Volume {_shape(volume)}, K = {setting.classes}. Published: slice by slice through segment_anything's encoder, then "
        "the same decoder written plainly, on the same weights. Building SAM: its image encoder, filled from a checkpoint on "
        "disk; the published code builds the rest of SAM too.",
        ["forward", "time, s", "ratio to ours", "difference"],
        rows,
    )


def step(setting: Setting) -> str:
    encoder, decoder = setting.parts()
    network, volume = SAM3D(encoder, decoder).train(), setting.volume()
    sam = setting.sam(encoder.image_encoder.state_dict(), setting.plane)
    images = volume[0].movedim(-1, 0)  # (D, 1, H, W)
    label = (setting.classes * setting.volume()).long()
    loss = DeepSupervision(DiceCELoss(to_onehot_y=True, softmax=True, squared_pred=True), [8 / 15, 4 / 15, 2 / 15, 1 / 15])
    optimizer = torch.optim.AdamW(decoder.parameters())
    cache = encoder(volume).half()
    # As in training: bf16 where a GPU computes, fp32 on a CPU.
    autocast = torch.autocast(setting.device, torch.bfloat16, enabled=setting.device == "cuda")

    def train(embed: Callable[[], torch.Tensor]) -> None:
        with autocast:
            with torch.no_grad():
                embeddings = embed()
            logits = network.decode(embeddings, (setting.plane, setting.plane))
        optimizer.zero_grad()
        loss([level.float() for level in logits], label).backward()
        optimizer.step()

    runs = {
        "embeddings cached": partial(train, cache.float),
        "our encoder": partial(train, partial(encoder, volume)),
        "segment_anything's encoder": partial(train, lambda: sam_embeddings(sam, images).movedim(0, -1)[None]),
    }
    seconds = interleaved_medians(runs, setting.repeats)
    rows = [[name, seconds[name], seconds[name] / seconds["embeddings cached"]] for name in runs]
    return markdown_section(
        "Training step",
        f"Volume {_shape(volume)}, K = {setting.classes}, on {setting.device}: embeddings, decoder, Dice and cross-entropy at "
        "four stages, backward, AdamW. The encoder is frozen; cached embeddings are fp16 in memory.",
        ["step", "time, s", "ratio to cached"],
        rows,
    )


@torch.no_grad()
def size(setting: Setting) -> str:
    network = setting.network()
    axes = {
        "slices D": ([(setting.plane, depth) for depth in setting.size_depths], setting.size_depths),
        "pixels H x W": (
            [(plane, setting.size_plane_depth) for plane in setting.size_planes],
            [plane**2 for plane in setting.size_planes],
        ),
    }
    rows = []
    for (axis, (shapes, sizes)), name in zip(axes.items(), ("depth", "plane"), strict=True):
        runs = {f"{plane} x {plane} x {depth}": partial(network, setting.volume(plane, depth)) for plane, depth in shapes}
        seconds = list(interleaved_medians(runs, setting.repeats).values())
        megabytes = [peak_memory(run) / 1e6 for run in runs.values()]
        rows += [list(row) for row in zip(runs, seconds, megabytes, strict=True)]
        if setting.plots is not None:
            title = f"Forward against {axis}: {next(iter(runs))} to {list(runs)[-1]}"
            measured = {"time, s": seconds, "peak memory, MB": megabytes}
            draw_growth(title, axis, sizes, measured, setting.plots / f"growth_{name}.png")
    return markdown_section(
        "Size",
        f"Forward of one volume at once, K = {setting.classes}; memory above weights and input.",
        ["volume", "time, s", "peak memory, MB"],
        rows,
    )


def _shape(volume: torch.Tensor) -> str:
    return " x ".join(str(length) for length in volume.shape)
