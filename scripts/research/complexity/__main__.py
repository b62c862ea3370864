"""Decoders of convolutions and of attention -> how their arithmetic, time and memory grow with the number of tokens.

    OMP_WAIT_POLICY=PASSIVE python -m scripts.research.complexity --output docs/research/complexity.md --plots docs/research

Writes a page of Markdown, and what it measured beside it as JSON after every size: `--resume` goes on from there after an
interruption, and only writes the page where nothing is left to measure. Weights and embeddings are random. Ten minutes on two
cores; `--quick` shows in seconds that everything runs, on toy sizes.
"""

import argparse
import gc
import json
import os
import platform
import sys
from dataclasses import asdict, replace
from datetime import date
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from ...files.atomic_write import atomic_write, write_json
from ..measure import interleaved_medians, peak_memory
from .page import complexity_page
from .systems import QUICK, Study, System, random_embeddings, systems


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="a Markdown file; the measurements go beside it, as .json")
    parser.add_argument("--plots", type=Path, required=True, help="a folder for the plots complexity_*.png")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--repeats", type=int, help="runs of each decoder at each size that count; default 5, with --quick 1")
    parser.add_argument("--resume", action="store_true", help="keep what an interrupted run with the same options measured")
    parser.add_argument("--quick", action="store_true", help="toy sizes: to see that everything runs")
    options = parser.parse_args()
    study = QUICK if options.quick else Study()
    if options.repeats is not None:
        if options.repeats < 1:
            parser.error(f"--repeats must be 1 or more, got {options.repeats}")
        study = replace(study, repeats=options.repeats)

    store = options.output.with_suffix(".json")
    # As JSON gives it back, with lists for tuples.
    same = {"where": where(options.device), "study": json.loads(json.dumps(asdict(study)))}
    measured: dict[str, Any] = {"date": str(date.today()), **same, "sizes": {}}
    if options.resume and store.exists():
        measured = json.loads(store.read_text())
        for key, value in same.items():
            if measured[key] != value:
                parser.error(f"{store} was measured otherwise ({key}: {measured[key]}); leave out --resume to measure anew")

    decoders = systems(study, options.device)
    gc.freeze()  # or every process forked to measure memory searches all that was imported for garbage: 0.3 s instead of 0.03
    measure(decoders, study, options.device, measured, store)
    command = f"OMP_WAIT_POLICY=PASSIVE python -m scripts.research.complexity {' '.join(sys.argv[1:])}".replace(" --resume", "")
    page = complexity_page(decoders, study, options.device, measured, command, options.plots)
    with atomic_write(options.output) as temporary:
        temporary.write_text(page)


@torch.no_grad()
def measure(decoders: dict[str, System], study: Study, device: str, measured: dict[str, Any], store: Path) -> None:
    """Fills `measured["sizes"]`: of every grid, seconds and bytes by decoder."""
    grids = dict.fromkeys((*study.depth_grids, *study.plane_grids))
    small = random_embeddings(study, (2, 2, 2), device)
    for grid in tqdm(grids, desc="sizes", unit="size", dynamic_ncols=True):
        if str(grid) in measured["sizes"]:
            continue
        features = random_embeddings(study, grid, device)
        fitting = {n: s for n, s in decoders.items() if not s.costly or prod(grid) <= study.largest_costly}
        seconds = interleaved_medians({name: partial(s.run, features) for name, s in fitting.items()}, study.repeats)
        peaks = {
            name: peak_memory(partial(s.run, features), partial(s.run, small), device)
            for name, s in tqdm(fitting.items(), desc="memory", leave=False, dynamic_ncols=True)
        }
        measured["sizes"][str(grid)] = {"seconds": seconds, "bytes": peaks}
        write_json(store, measured)


def where(device: str) -> str:
    processor = torch.cuda.get_device_name() if device == "cuda" else f"{os.cpu_count()} cores ({platform.machine()})"
    threads = f"{torch.get_num_threads()} threads"
    return f"{processor}, {threads}, torch {torch.__version__}, Python {platform.python_version()}"


if __name__ == "__main__":
    main()
