"""A network that is finished, or failed -> what the tables say of it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

import numpy as np

from .compare_cases import CaseValues, measures_in, read_case_values
from .compared_network import ComparedNetwork

MEASURES = ("dice", "hd95_mm", "hd95_voxels", "assd_mm", "assd_voxels", "nsd", "volume_error_ml")


@dataclass(frozen=True)
class NetworkResult:
    name: str
    values: dict[str, CaseValues] = field(default_factory=dict)  # by measure; an older metrics.csv has fewer
    cost: dict[str, float | None] = field(default_factory=dict)
    made_by: dict[str, Any] = field(default_factory=dict)  # the record beside one of its masks
    failure: str | None = None  # in words


def read_result(network: ComparedNetwork) -> NetworkResult:
    """Of a network that is finished."""
    metrics = network.metrics()
    values = {measure: read_case_values(metrics, measure) for measure in measures_in(metrics) if measure in MEASURES}
    if error := values.get("volume_error_ml"):  # so that too much in one case does not make up for too little in another
        values["volume_error_ml"] = replace(error, values=np.abs(error.values))
    cost = _costs(
        [json.loads((run.training / "cost.json").read_text()) for run in network.runs],
        json.loads((network.folder / "plan.json").read_text())["preparation_seconds"],
    )
    record = next((network.runs[0].evaluation / "masks").glob("*.json"))
    return NetworkResult(network.name, values, cost, json.loads(record.read_text()))


def _costs(runs: Sequence[Mapping[str, Any]], probe_preparation_seconds: float) -> dict[str, float | None]:
    """runs: the cost.json of each; they differ in their steps, not in their network."""
    first = runs[0]
    peaks = [run["peak_memory_bytes"] for run in runs if run["peak_memory_bytes"] is not None]
    paces = [run["median_step_seconds"] for run in runs if run["median_step_seconds"] is not None]
    preparation = sum(run["preparation_seconds"] for run in runs) + probe_preparation_seconds
    return {
        "steps": sum(run["steps"] for run in runs),
        "training_minutes": sum(run["seconds"] for run in runs) / 60,
        "preparation_minutes": round(preparation / 60, 2),
        "step_seconds": median(paces) if paces else None,
        "peak_memory_gb": max(peaks) / 1e9 if peaks else None,
        "gmacs": first["macs"] / 1e9,
        "parameters_m": first["parameters"] / 1e6,
        "trained_parameters_m": first["trained_parameters"] / 1e6,
    }
