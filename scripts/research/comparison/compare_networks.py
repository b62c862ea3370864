"""Networks, one budget -> one table: each is trained and evaluated on the same cases, loss, schedule and seed."""

import os
import platform
import time
from collections.abc import Sequence
from datetime import timedelta
from statistics import fmean

from .compare_cases import mean_interval
from .compared_network import ComparedNetwork, Setting
from .result import NetworkResult, read_result
from .tables import write_tables


def compare_networks(networks: Sequence[ComparedNetwork], setting: Setting, command: str) -> list[NetworkResult]:
    """The rows of the tables, which are written anew after each network; one that fails costs itself alone.

    command: what was typed, for the page.
    """
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
        write_tables(rows, "Comparison", f"{_about(rows, setting)}\n\n    {command}", setting.output_dir)
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
    if setting.folds is not None:
        parts.append(
            f"{setting.folds} folds, the same for all: each case is measured by the network that was trained without it. The "
            "budget is that of each fold; steps and minutes in the table are sums over the folds."
        )
    for record in (row.made_by for row in rows if row.failure is None):
        weights, versions = record["encoder_weights"], record["versions"]
        parts.append(f"{record['device']}, torch {versions['torch']}, MONAI {versions['monai']}, {record['written'][:10]}.")
        if weights is not None:  # the network has an encoder
            shown = f"{weights} (**not pretrained**)" if isinstance(weights, str) else weights["file"]
            parts.append(f"Weights of SAM's encoder, where there is one: {shown}.")
    runs = setting.folds or 1
    took = {row.name: (row.cost["training_minutes"] or 0.0) / runs for row in rows if row.failure is None}
    strayed = {name: minutes for name, minutes in took.items() if setting.budget.is_missed_by(minutes)}
    if strayed:
        minutes = ", ".join(f"{name} {minutes:.2g}" for name, minutes in strayed.items())
        parts.append(f"**Not comparable: the training took more than a quarter less or more than the budget: {minutes} min.**")
    return " ".join(dict.fromkeys(parts))
