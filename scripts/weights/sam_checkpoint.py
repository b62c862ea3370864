"""A SAM checkpoint file, or a seed -> the parameters of the slice encoder."""

import hashlib
import logging
from pathlib import Path

import torch
from torch import nn

from ..read_checkpoint import read_checkpoint

logger = logging.getLogger(__name__)

PREFIX = "image_encoder."  # of the encoder's tensors in SAM's checkpoints
# The official files, from the repository facebookresearch/segment-anything. large_files.yml has their addresses.
OFFICIAL_SHA256 = {
    "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912": "sam_vit_b_01ec64.pth",
}


def load_sam_encoder(encoder: nn.Module, weights: str | Path, seed: int = 0) -> nn.Module:
    """The encoder with its parameters filled from `weights`, in place.

    weights: a checkpoint in SAM's official format, or the word `random`.
    seed: of the random weights; no other random state is read or changed.

    Raises FileNotFoundError with the download command, or ValueError that names the file and what is wrong in it.
    """
    if str(weights) == "random":
        fill_at_random(encoder, seed)
        logger.warning(
            "encoder_weights: random (seed %d). The slice encoder is NOT pretrained: use this for tests and comparisons, "
            "never for masks that matter.",
            seed,
        )
        return encoder
    path = Path(weights)
    if not path.is_file():
        raise FileNotFoundError(
            f"no SAM encoder weights at {path}. Download them once with\n"
            "    python -m monai.bundle download_large_files --bundle_path <this bundle's folder>\n"
            "or give --encoder_weights PATH; for a run without pretrained weights ask for --encoder_weights random"
        )
    checkpoint = read_checkpoint(path)
    tensors = {key: value for key, value in checkpoint.items() if key.startswith(PREFIX)}
    _check(tensors, encoder, path)
    encoder.load_state_dict(tensors)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    logger.info(
        "%s: %d of %d encoder tensors loaded, sha256 %s (%s)",
        path,
        len(tensors),
        len(encoder.state_dict()),
        digest,
        "the official " + OFFICIAL_SHA256[digest] if digest in OFFICIAL_SHA256 else "not one of the official files",
    )
    return encoder


def _check(tensors: dict[str, torch.Tensor], encoder: nn.Module, path: Path) -> None:
    """Every tensor of the encoder is there, of its shape, and finite; none is left over."""
    expected = {key: value.shape for key, value in encoder.state_dict().items()}
    missing, surplus = expected.keys() - tensors.keys(), tensors.keys() - expected.keys()
    if missing or surplus:
        example = sorted(missing or surplus)[0]
        raise ValueError(
            f"{path} does not fit the encoder: of {len(expected)} tensors {len(missing)} are missing and {len(surplus)} do not "
            f"belong (for example {example}); it must be a SAM checkpoint of the same variant"
        )
    for key, value in tensors.items():
        if not isinstance(value, torch.Tensor) or value.shape != expected[key]:
            found = f"the shape {tuple(value.shape)}" if isinstance(value, torch.Tensor) else f"the type {type(value).__name__}"
            raise ValueError(
                f"{path}: {key} has {found}, the encoder needs {tuple(expected[key])}; "
                "it must be a SAM checkpoint of the same variant"
            )
        if not torch.isfinite(value).all():
            raise ValueError(f"{path}: {key} holds NaN or infinite values; download the file again")


def fill_at_random(encoder: nn.Module, seed: int, std: float = 0.02) -> None:
    """Normal values of standard deviation `std` for every parameter, 1 + those for the scales of normalisation layers.

    0.02 is how ViTs are initialised. Position tables and biases, zero in a fresh encoder, are filled too, so that a run on
    random weights goes through all of the arithmetic. The values depend on the seed alone.
    """
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, parameter in sorted(encoder.named_parameters()):
        values = torch.randn(parameter.shape, generator=generator) * std
        is_scale = parameter.ndim == 1 and name.endswith("weight")
        state[name] = 1 + values if is_scale else values
    encoder.load_state_dict(state)
