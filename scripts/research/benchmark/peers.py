"""MONAI's networks and ours on one volume -> time, memory and parameters of each."""

from functools import partial
from typing import Any

import torch
from monai.networks.nets import UNETR, BasicUNetPlusPlus, DynUNet, SegResNet, SwinUNETR, UNet
from torch import nn

from ..measure import interleaved_medians, markdown_section, peak_memory
from .setting import Setting


@torch.no_grad()
def peers(setting: Setting) -> str:
    volume = setting.volume()
    networks = {"ours": setting.network(), **_peers(setting)}
    runs = {name: partial(network, volume) for name, network in networks.items()}
    seconds = interleaved_medians(runs, setting.repeats)
    peaks = {name: peak_memory(run) for name, run in runs.items()}
    rows = [
        [
            name,
            seconds[name],
            seconds[name] / seconds["ours"],
            peaks[name] / 1e6,
            peaks[name] / peaks["ours"],
            _millions(network, trained_only=False),
            _millions(network, trained_only=True),
        ]
        for name, network in networks.items()
    ]
    return markdown_section(
        "Other networks",
        f"Forward of a volume 1 x 1 x {setting.plane} x {setting.plane} x {setting.depth}, {setting.classes} classes, without "
        "gradients; memory above weights and input. Ratios are to ours. Parameters in millions.",
        ["network", "time, s", "ratio", "peak memory, MB", "ratio", "parameters", "trained"],
        rows,
    )


def _peers(setting: Setting) -> dict[str, nn.Module]:
    """MONAI's defaults where it has any; UNet as in configs/research/networks, DynUNet of its widths, SegResNet of 16 filters
    as in MONAI's BraTS bundle."""
    channels: dict[str, Any] = {"in_channels": 1, "out_channels": setting.classes}
    width = setting.peer_width
    widths = [count // width for count in (32, 64, 128, 256, 320)]
    strides: list[Any] = [(2, 2, 1), (2, 2, 2), (2, 2, 2), (2, 2, 1)]
    networks = {
        "UNet": UNet(3, **channels, channels=widths, strides=strides, num_res_units=2, norm="instance"),
        "SegResNet": SegResNet(**channels, init_filters=16 // width),
        "DynUNet": DynUNet(
            3, **channels, kernel_size=[3] * 5, strides=[1, *strides], upsample_kernel_size=strides, filters=widths
        ),
        "UNETR": UNETR(
            **channels,
            img_size=(setting.plane, setting.plane, setting.depth),
            hidden_size=768 // width,
            mlp_dim=3072 // width,
        ),
        **{f"SwinUNETR, feature size {size}": SwinUNETR(**channels, feature_size=size) for size in (24 // width, 48 // width)},
        "BasicUNetPlusPlus": BasicUNetPlusPlus(**channels, features=[count // width for count in (32, 32, 64, 128, 256, 32)]),
    }
    return {name: network.eval() for name, network in networks.items()}


def _millions(network: nn.Module, trained_only: bool) -> float:
    return sum(p.numel() for p in network.parameters() if p.requires_grad or not trained_only) / 1e6
