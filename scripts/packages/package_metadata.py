"""What a checkpoint knows -> metadata.json of its package: MONAI's schema, with the user's own names."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from ..basics.classes import classes_of
from ..run.config_files import CONFIGS, read_config
from ..run.settings import RANDOM_ENCODER

RANDOM = (
    "RANDOM ENCODER: the slice encoder of this network was never pretrained, its weights are random numbers made from a seed. "
    "For tests and comparisons only, never for masks that matter."
)
OWN_KEYS = {"monai": "monai_version", "torch": "pytorch_version", "numpy": "numpy_version"}  # of MONAI's schema
NO_ENCODER = "scripts.networks.NoEncoder"


class Encoder(NamedTuple):
    """The frozen part of a network, which its checkpoint does not hold. weights: the word `random`, or where they lie.

    sha256: of that file. licence: of published weights, where known. included: in the package.
    """

    weights: str
    sha256: str | None = None
    licence: str | None = None
    included: bool = False

    @property
    def is_random(self) -> bool:
        return self.weights == RANDOM_ENCODER


def has_encoder(about: Mapping[str, Any]) -> bool:
    encoder = about["network_def"].get("encoder")
    return isinstance(encoder, Mapping) and encoder.get("_target_") != NO_ENCODER


def channels_of(about: Mapping[str, Any]) -> list[str]:
    """Names of what the network gives logits of, in their order."""
    return [*(about["regions"] or classes_of(about["labels"], about["merge_labels"]).values())]


def package_metadata(
    name: str, about: Mapping[str, Any], encoder: Encoder | None, pins: Mapping[str, str], intended_use: str | None
) -> dict[str, Any]:
    """name: of the package. pins: package -> version, of what it needs. intended_use: None: the bundle's own."""
    own = read_config(CONFIGS / "metadata.json")
    channels = channels_of(about)
    structures = channels if about["regions"] else channels[1:]
    in_masks = ", ".join(f"{value} {label}" for value, label in classes_of(about["labels"], about["merge_labels"]).items())
    random = f"{RANDOM} " if encoder and encoder.is_random else ""
    shape = [*about["spatial_size"], about["roi_depth"]]
    data = own["network_data_format"]
    image = data["inputs"]["image"]
    modalities = about["modalities"]
    names = ["image"] if modalities == 1 else [f"modality {number}" for number in range(modalities)]
    return {
        **own,
        "changelog": {own["version"]: f"packaged by SAM-3D {own['version']}"},
        **{key: pins[package] for package, key in OWN_KEYS.items()},
        "required_packages_version": {package: version for package, version in pins.items() if package not in OWN_KEYS},
        "name": name,
        "task": f"volumetric segmentation of {', '.join(structures)}",
        "description": f"{random}A SAM-3D network that segments {', '.join(structures)} in volumes of {modalities} "
        f"modalit{'y' if modalities == 1 else 'ies'}.",
        "intended_use": intended_use or own["intended_use"],
        "image_classes": f"{modalities} channel{'s' * (modalities > 1)}, after {_intensity(about['intensity'])}",
        "label_classes": f"in masks {in_masks}",
        "pred_classes": f"logits of {', '.join(channels)}",
        "spacing": about["spacing"],
        "axcodes": about["axcodes"],
        "encoder": None if encoder is None else encoder._asdict(),
        "network_data_format": {
            "inputs": {"image": {**image, "num_channels": modalities, "spatial_shape": shape, "channel_def": _numbered(names)}},
            "outputs": {
                "pred": {
                    **data["outputs"]["pred"],
                    "num_channels": len(channels),
                    "spatial_shape": shape,
                    "channel_def": _numbered(channels),
                }
            },
        },
    }


def _numbered(names: list[str]) -> dict[str, str]:
    return {str(number): name for number, name in enumerate(names)}


def _intensity(transform: Any) -> str:
    """In one line; MONAI's transform and what it is given."""
    return json.dumps(transform).replace('"', "").replace("_target_: ", "")
