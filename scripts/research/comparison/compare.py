"""Networks, one budget -> one table: each is trained and evaluated on the same data, split, loss, schedule and seed.

    python -m scripts.research.comparison.compare --dataset_dir DATA --preset configs/datasets/hippocampus.yaml \\
        --networks sam3d+cached,unet,unet+dca --minutes 3 --encoder_weights random --output_dir runs/comparison

A network is named by its file in configs/research/networks (sam3d: the one of train.json), with `+NAME` for each overlay of
configs/overlays on top; a path to a YAML file serves as a name too. Any other option of the bundle is passed on: --device cuda,
--encoder_weights PATH.

Tables and plot are written anew after each network. The same command goes on with what was interrupted, or tries again what
failed; a longer list of networks adds to the table. Exit code 1 if a network failed.
"""

import argparse
import os
import platform
import shlex
import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from statistics import fmean

from ...files.folder_lock import lock_folder
from ...run.plain_errors import show_plain_errors
from . import Budget, ComparedNetwork, NetworkResult, Setting, read_result, write_tables
from .compare_cases import mean_interval

SET_HERE = {"max_epochs", "val_interval", "output_dir", "checkpoint", "resume", "config_file", "epoch_length", "bundle_root"}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--dataset_dir", type=Path, required=True, help="the folder with dataset.json")
    parser.add_argument("--preset", type=Path, required=True, help="a file of configs/datasets, or your own")
    parser.add_argument("--networks", required=True, help="separated by commas; the first one is what differences refer to")
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--max_epochs", type=int, help="the same number of epochs, and so of crops, for all")
    parser.add_argument("--minutes", type=float, help="the same time of training for all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache_dir", type=Path, help="of +cached, shared by all; OUTPUT_DIR/embeddings if not given")
    parser.add_argument("--config_file", type=Path, action="append", default=[], help="goes last in the list; may be repeated")
    options, others = parser.parse_known_args()
    show_plain_errors()
    try:
        setting = _setting(options, others)
        networks = [ComparedNetwork(name, setting) for name in options.networks.split(",")]
        if len({network.folder for network in networks}) < len(networks):
            raise ValueError(f"two networks of {options.networks} would share a folder; name each of them once")
        for network in networks:
            network.require_the_same_request()
    except ValueError as error:
        parser.error(str(error))
    lock_folder(setting.output_dir)
    try:
        rows = compare(networks, setting)
    except KeyboardInterrupt:
        sys.exit("\ninterrupted; the same command goes on")
    sys.exit(1 if any(row.failure for row in rows) else 0)


def _setting(options: argparse.Namespace, others: Sequence[str]) -> Setting:
    """Paths made absolute, since the bundle's commands run in its folder. Raises ValueError for what cannot be meant."""
    for path in (options.preset, *options.config_file, options.dataset_dir / "dataset.json"):
        if not path.is_file():
            raise ValueError(f"no file {path}")
    bundle_options = {"dataset_dir": options.dataset_dir.resolve(), "seed": options.seed}
    output_dir = options.output_dir.resolve()
    cache_dir = options.cache_dir or output_dir / "embeddings"
    return Setting(
        output_dir=output_dir,
        preset=options.preset.resolve(),
        budget=Budget(options.max_epochs, options.minutes),
        options=bundle_options | _pairs(others),
        last_configs=tuple(path.resolve() for path in options.config_file),
        shared={"remember": output_dir / "checked.json", "cache_dir": cache_dir.resolve()},
    )


def _pairs(words: Sequence[str]) -> dict[str, str]:
    """`--id value` or `--id=value`, over and over."""
    pairs = {}
    words = [part for word in words for part in (word.split("=", 1) if word.startswith("--") else [word])]
    for key, value in zip(words[::2], [*words[1::2], ""], strict=False):
        if not key.startswith("--") or not value:
            raise ValueError(f"options of the bundle come in pairs, --id value; got {key} {value}")
        if key[2:] in SET_HERE:
            raise ValueError(f"{key} is what this tool decides itself; leave it away")
        pairs[key[2:]] = str(Path(value).resolve()) if Path(value).is_file() else value
    return pairs


def compare(networks: Sequence[ComparedNetwork], setting: Setting) -> list[NetworkResult]:
    """The rows of the tables; a network that fails costs itself alone."""
    rows: list[NetworkResult] = []
    took: list[float] = []  # seconds, of those that were run now
    for number, network in enumerate(networks, 1):
        left = timedelta(seconds=round(fmean(took) * (len(networks) - number + 1))) if took else None
        print(f"[{number} of {len(networks)}] {network.name}" + (f", about {left} left" if left else ""), flush=True)
        start = time.monotonic()
        try:
            if not network.is_finished:
                network.run(_say)
                took.append(time.monotonic() - start)
            rows.append(read_result(network))
            _say(f"mean Dice {mean_interval(rows[-1].values['dice'].values).value:.3f}; {network.folder}")
        except RuntimeError as error:
            rows.append(NetworkResult(network.name, failure=str(error)))
            _say(f"failed: {error} (all of it: {network.log})")
        write_tables(rows, "Comparison", _about(rows, setting), setting.output_dir)
    print(f"{setting.output_dir / 'comparison.md'}")
    return rows


def _say(what: str) -> None:
    print(f"    {time.strftime('%H:%M')} {what}", flush=True)


def _about(rows: Sequence[NetworkResult], setting: Setting) -> str:
    """What the numbers rest on."""
    parts = [
        f"Budget: {setting.budget}; nothing is validated before its end, the last weights are measured.",
        f"Seed {setting.options['seed']}, {os.cpu_count()} cores ({platform.machine()}).",
    ]
    for record in (row.made_by for row in rows if row.failure is None):
        weights, versions = record["encoder_weights"], record["versions"]
        parts.append(f"{record['device']}, torch {versions['torch']}, MONAI {versions['monai']}, {record['written'][:10]}.")
        if weights is not None:  # the network has an encoder
            shown = f"{weights} (**not pretrained**)" if isinstance(weights, str) else weights["file"]
            parts.append(f"Weights of SAM's encoder, where there is one: {shown}.")
    strayed = [row for row in rows if row.failure is None and setting.budget.is_missed_by(row.cost["training_minutes"])]
    if strayed:
        minutes = ", ".join(f"{row.name} {row.cost['training_minutes']:.2g}" for row in strayed)
        parts.append(f"**Not comparable: the training took more than a quarter less or more than the budget: {minutes} min.**")
    return " ".join(dict.fromkeys(parts)) + f"\n\n    python -m scripts.research.comparison.compare {shlex.join(sys.argv[1:])}"


if __name__ == "__main__":
    main()
