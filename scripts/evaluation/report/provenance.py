"""The records beside masks -> what these were made from and with."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def records_of(masks: Iterable[str]) -> list[dict[str, Any]]:
    """Those of masks that this bundle made: see `data.MaskRecords`."""
    records = []
    for mask in masks:
        path = Path(mask).with_name(f"{Path(mask).name.removesuffix('.nii.gz')}.json")
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            if isinstance(record, dict) and "software" in record:
                records.append(record)
        except (OSError, ValueError):
            continue  # a mask of another tool
    return records


def provenance(records: list[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    """Name and values, of which there are several where masks were made from different things."""
    about = {
        "Software": lambda record: record.get("software"),
        "Checkpoint": lambda record: _files(record.get("checkpoint")),
        "Encoder weights": lambda record: _files(record.get("encoder_weights")) or "none: a network without a slice encoder",
        "Configuration": lambda record: f"sha256 {record['config_sha256']}" if "config_sha256" in record else None,
        "Device": lambda record: record.get("device"),
        "Versions": lambda record: ", ".join(f"{name} {number}" for name, number in record.get("versions", {}).items()),
    }
    rows = []
    for name, read in about.items():
        values = list(dict.fromkeys(str(value) for record in records if (value := read(record))))
        if values:
            rows.append((name, values))
    times = sorted(str(record["written"]) for record in records if "written" in record)
    if times:
        rows.append(("Written (UTC)", [times[0] if times[0] == times[-1] else f"{times[0]} to {times[-1]}"]))
    return rows


def random_encoder(records: list[dict[str, Any]]) -> str | None:
    """`random, seed 0` where some masks were made with an encoder of random weights."""
    found = (record.get("encoder_weights") for record in records)
    return next((weights for weights in found if isinstance(weights, str) and weights.startswith("random")), None)


def _files(files: Any) -> str:
    """One or several of {file, sha256}, or words."""
    listed = files if isinstance(files, list) else [files]
    return "; ".join(
        f"{file.get('file')} (sha256 {file.get('sha256', 'unknown')})" if isinstance(file, Mapping) else str(file)
        for file in listed
        if file
    )
