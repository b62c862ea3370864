"""Encoder, decoder and network -> Markdown tables of their speed and memory against other implementations.

    python -m scripts.research.benchmark --output benchmark.md --plots docs/research

Weights and volumes are random. What is compared runs in turns in one process, and figures are medians; each section is written
as soon as it is measured. An hour on two cores; `--quick` shows in seconds that everything runs, on toy sizes.
"""

import argparse
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import monai
import torch
from tqdm import tqdm

from ...files.atomic_write import atomic_write
from .decoder import decoder, memory
from .detail import detail
from .encoder import attention, encoder, encoders
from .gpu import gpu_compiled, gpu_encoder
from .network import forward, size, step
from .peers import peers
from .reading import reading
from .setting import QUICK, Setting
from .tuning import tuning

SECTIONS: dict[str, Callable[[Setting], str]] = {
    "encoder": encoder,
    "encoders": encoders,
    "attention": attention,
    "forward": forward,
    "step": step,
    "decoder": decoder,
    "detail": detail,
    "memory": memory,
    "peers": peers,
    "size": size,
    "reading": reading,
    "tuning": tuning,
}
GPU_SECTIONS: dict[str, Callable[[Setting], str]] = {
    "gpu_encoder": gpu_encoder,
    "gpu_step": step,
    "gpu_memory": memory,
    "gpu_compiled": gpu_compiled,
}


def main() -> None:
    sections = SECTIONS | (GPU_SECTIONS if torch.cuda.is_available() else {})
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="a Markdown file; without it the tables are printed")
    parser.add_argument("--plots", type=Path, help="a folder for the plots of the section `size`")
    parser.add_argument("--only", help=f"sections, separated by commas: {', '.join(sections)}")
    parser.add_argument("--repeats", type=int, help="runs of each thing that count; default 5, with --quick 1")
    parser.add_argument("--quick", action="store_true", help="toy sizes: to see that everything runs")
    options = parser.parse_args()
    names = options.only.split(",") if options.only else list(sections)
    if unknown := set(names) - sections.keys():
        parser.error(f"--only knows {', '.join(sections)} on this machine, got {', '.join(sorted(unknown))}")
    if options.repeats is not None and options.repeats < 1:
        parser.error(f"--repeats must be 1 or more, got {options.repeats}")
    setting = replace(QUICK if options.quick else Setting(), plots=options.plots)
    if options.repeats is not None:
        setting = replace(setting, repeats=options.repeats)
    written = [header(setting)]
    publish(written, options.output)
    for name in tqdm(names, desc="sections", unit="section", dynamic_ncols=True):
        written.append(sections[name](replace(setting, device="cuda" if name in GPU_SECTIONS else "cpu")))
        publish(written, options.output)


def publish(sections: list[str], output: Path | None) -> None:
    """The last section to the terminal, or all of them to the file."""
    if output is None:
        tqdm.write(sections[-1], file=sys.stdout)
        sys.stdout.flush()
    else:
        with atomic_write(output) as temporary:
            temporary.write_text("\n".join(sections))


def header(setting: Setting) -> str:
    """Where and when."""
    command = " ".join(["python -m scripts.research.benchmark", *sys.argv[1:]])
    graphics = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return (
        f"{date.today()}: {os.cpu_count()} cores ({platform.machine()}), {torch.get_num_threads()} threads, {graphics}; "
        f"torch {torch.__version__}, MONAI {monai.__version__}, Python {platform.python_version()}. "
        f"`{command}`: medians of {setting.repeats}, random weights.\n"
    )


if __name__ == "__main__":
    main()
