"""A network that is finished, or failed -> what the tables say of it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
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
    metrics = network.evaluation / "metrics.csv"
    values = {measure: read_case_values(metrics, measure) for measure in measures_in(metrics) if measure in MEASURES}
    if error := values.get("volume_error_ml"):  # so that too much in one case does not make up for too little in another
        values["volume_error_ml"] = replace(error, values=np.abs(error.values))
    cost = _costs(
        json.loads((network.training / "cost.json").read_text()),
        json.loads((network.folder / "plan.json").read_text())["preparation_seconds"],
    )
    record = next((network.evaluation / "masks").glob("*.json"))
    return NetworkResult(network.name, values, cost, json.loads(record.read_text()))


def _costs(cost: Mapping[str, Any], probe_preparation_seconds: float) -> dict[str, float | None]:
    """cost: of cost.json."""
    peak = cost["peak_memory_bytes"]
    return {
        "steps": cost["steps"],
        "training_minutes": cost["seconds"] / 60,
        "preparation_minutes": round((cost["preparation_seconds"] + probe_preparation_seconds) / 60, 2),
        "step_seconds": cost["median_step_seconds"],
        "peak_memory_gb": None if peak is None else peak / 1e9,
        "gmacs": cost["macs"] / 1e9,
        "parameters_m": cost["parameters"] / 1e6,
        "trained_parameters_m": cost["trained_parameters"] / 1e6,
    }
