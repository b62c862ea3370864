"""Formats of `sam3d export` -> a table: how long the export takes, how large the file is, how exact and how fast it runs.

python -m scripts.research.benchmark.export --encoder vit_b --output table.md

Each row is written as soon as it is there, and a second start goes on behind the rows of the table. One table, one encoder.
"""

import argparse
import logging
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import torch
from torch import nn

from ...data.phantoms import phantom
from ...exporting import export_network
from ...exporting.formats import FORMATS
from ...inferers import VolumeInferer
from ...networks import SAM3D, DetailPyramid, ResidualDecoder, SAMSliceEncoder, ensemble_of
from ...weights.sam_checkpoint import fill_at_random

ENCODERS = {"narrow": {"embed_dim": 32, "depth": 3, "num_heads": 2, "global_attn_indexes": (1,)}, "vit_b": "vit_b"}
PLANE, ROI_DEPTH, SLICES = 128, 8, 16
REPEATS = 5
NETWORKS = ["sam3d", "detail", "ensemble"]
LABELS = {"0": "background", "1": "liver", "2": "kidney", "3": "vessel"}
HEAD = "| network | format | export, s | file, MB | largest error | time against PyTorch |\n|---|---|---|---|---|---|"


def networks(encoder: str) -> Iterator[tuple[str, nn.Module]]:
    """SAM-3D, the same with detail, and an ensemble of two, with random weights."""
    torch.manual_seed(0)
    slices = SAMSliceEncoder(ENCODERS[encoder])
    fill_at_random(slices, seed=0)
    yield "sam3d", SAM3D(slices, ResidualDecoder(256, len(LABELS)))
    channels = (16, 32, 64, 128)
    decoder = ResidualDecoder(
        256, len(LABELS), shortcut_kernel=1, detail_channels=channels[::-1], entrance_channels=32, embedding_dropout=0.5
    )
    yield "detail", SAM3D(slices, decoder, DetailPyramid(1, channels))
    first, second = (SAM3D(slices, ResidualDecoder(256, len(LABELS))).eval() for _ in range(2))
    ensemble = ensemble_of(first)
    ensemble.append(second)
    yield "ensemble", ensemble.as_network()


def measure(name: str, network: nn.Module, kind: str, folder: Path) -> str:
    """A row of the table, or the reason why there is no such file."""
    path = folder / f"model{FORMATS[kind].suffix}"
    path.unlink(missing_ok=True)
    settings = {"spatial_size": [PLANE, PLANE], "modalities": 1}
    start = time.perf_counter()
    try:
        export_network(network, path, VolumeInferer(ROI_DEPTH), phantom, [], LABELS, settings, format=kind)
    except ValueError as error:
        return f"| {name} | {kind} | refused: {error} | | | |"
    seconds = time.perf_counter() - start
    run = FORMATS[kind].read(path)
    volume = torch.rand(1, 1, PLANE, PLANE, SLICES)
    with torch.no_grad():
        expected = network(volume)
        error = float((run(volume) - expected).abs().max() / expected.abs().max())
        pairs = [(timed(network, volume), timed(run, volume)) for _ in range(REPEATS)]
    ratio = median(ours / theirs for theirs, ours in pairs)
    return f"| {name} | {kind} | {seconds:.0f} | {path.stat().st_size / 1e6:.1f} | {error:.1e} | {ratio:.2f} |"


def timed(function: Callable[[torch.Tensor], torch.Tensor], volume: torch.Tensor) -> float:
    """Seconds."""
    start = time.perf_counter()
    function(volume)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", choices=[*ENCODERS], default="vit_b")
    parser.add_argument("--formats", nargs="+", choices=[*FORMATS], default=[*FORMATS])
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    if not arguments.output.exists():
        arguments.output.write_text(f"{HEAD}\n")
    with tempfile.TemporaryDirectory() as folder:
        for name, network in networks(arguments.encoder):
            for kind in arguments.formats:
                if name in arguments.networks and f"| {name} | {kind} |" not in arguments.output.read_text():
                    row = measure(name, network, kind, Path(folder))
                    with arguments.output.open("a") as table:
                        table.write(f"{row}\n")


if __name__ == "__main__":
    main()
