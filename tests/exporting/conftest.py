"""Narrow networks of every kind, and what exports them."""

from collections.abc import Callable
from pathlib import Path

import pytest
from torch import nn

from scripts.data.phantoms import phantom
from scripts.exporting import export_network
from scripts.inferers import VolumeInferer
from scripts.networks import SAM3D, DetailPyramid, NoEncoder, ResidualDecoder, SAMSliceEncoder, ensemble_of

Build = Callable[[SAMSliceEncoder], nn.Module]
LABELS = {"0": "background", "1": "liver", "2": "kidney", "3": "vessel"}
WIDTHS = (16, 8, 8, 4)


def plain(encoder: SAMSliceEncoder) -> nn.Module:
    return SAM3D(encoder, ResidualDecoder(256, 4, channels=WIDTHS))


def detail(encoder: SAMSliceEncoder) -> nn.Module:
    decoder = ResidualDecoder(256, 4, channels=WIDTHS, detail_channels=WIDTHS, shortcut_kernel=1, entrance_channels=32)
    return SAM3D(encoder, decoder, DetailPyramid(1, WIDTHS[::-1]))


def no_encoder(_: SAMSliceEncoder) -> nn.Module:
    return SAM3D(NoEncoder(), ResidualDecoder(0, 4, channels=WIDTHS, detail_channels=WIDTHS), DetailPyramid(1, WIDTHS[::-1]))


def ensemble(encoder: SAMSliceEncoder) -> nn.Module:
    networks = ensemble_of(plain(encoder).eval())
    networks.append(plain(encoder).eval())
    return networks.as_network()


NETWORKS: dict[str, Build] = {"plain": plain, "detail": detail, "no_encoder": no_encoder, "ensemble": ensemble}
Export = Callable[..., Path]


@pytest.fixture
def export(tmp_path: Path) -> Export:
    """Exports a network for slices of 32 x 48 pixels and windows of 6 slices, into a new folder."""

    def run(network: nn.Module, name: str = "model.ts", modalities: int = 1, **options: object) -> Path:
        settings = {"spatial_size": [32, 48], "modalities": modalities, "axcodes": "RAS"}
        where = (tmp_path / name, VolumeInferer(6), phantom)
        return export_network(network, *where, [], LABELS, settings, **{"format": "torchscript", **options})

    return run
