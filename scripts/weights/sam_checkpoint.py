"""A SAM checkpoint file, or a seed -> the parameters of the slice encoder."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import nn

from ..files.file_digest import file_digest
from .check_tensors import require_names, require_values
from .name_prefix import WRAPPERS, find_prefix
from .tensor_file import read_tensors

logger = logging.getLogger(__name__)

PREFIX = "image_encoder."  # of the encoder's tensors in SAM's checkpoints
KNOWN_PREFIXES = (*WRAPPERS, "sam.", "model.", PREFIX)  # seen in files of others, in chains such as `module.sam.`
REMEDY = "it must be a SAM checkpoint of the same variant as encoder_variant"
WIDTHS = {768: "sam_vit_b_01ec64.pth", 1024: "sam_vit_l_0b3195.pth", 1280: "sam_vit_h_4b8939.pth"}  # of the ViT's tokens
# The official files, from the repository facebookresearch/segment-anything.
OFFICIAL_URL = "https://dl.fbaipublicfiles.com/segment_anything/"
OFFICIAL_SHA256 = {
    "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912": "sam_vit_b_01ec64.pth",
    "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622": "sam_vit_l_0b3195.pth",
    "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e": "sam_vit_h_4b8939.pth",
}


class SAMEncoder(Protocol):
    """pretrained: by name, the tensors that SAM's checkpoints have, and none that tuning adds."""

    def pretrained(self) -> Mapping[str, torch.Tensor]: ...
    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool) -> Any: ...


Encoder = TypeVar("Encoder", bound=SAMEncoder)


def load_sam_encoder(encoder: Encoder, weights: str | Path, seed: int = 0) -> Encoder:
    """Fills a slice encoder with SAM's parameters, or with random ones. What tuning adds to them stays as it is.

    Args:
        encoder: filled in place.
        weights: a checkpoint in SAM's official format (perhaps wrapped, of the encoder alone, in another precision, or as
            safetensors), or the word `random`.
        seed: of the random weights; no other random state is read or changed.

    Returns:
        The same encoder.

    Raises:
        FileNotFoundError: with the download command.
        ValueError: which names the file and what is wrong in it.

    Example:
        >>> from scripts.networks import SAMSliceEncoder
        >>> from scripts.weights import load_sam_encoder
        >>> vit = {"embed_dim": 16, "depth": 1, "num_heads": 1, "global_attn_indexes": ()}
        >>> encoder, other = (load_sam_encoder(SAMSliceEncoder(vit), "random", seed=0) for _ in range(2))
        >>> encoder.sha256().equal(other.sha256())
        True
    """
    if str(weights) == "random":
        encoder.load_state_dict(random_values(encoder.pretrained(), seed), strict=False)
        logger.warning(
            "encoder_weights: random (seed %d). The slice encoder is NOT pretrained: use this for tests and comparisons, "
            "never for masks that matter. Without pretrained weights, --network detail+no_encoder is the better choice.",
            seed,
        )
        return encoder
    path = Path(weights)
    if not path.is_file():
        raise FileNotFoundError(_how_to_get(path, encoder))
    content = read_tensors(path)
    expected = {name.removeprefix(PREFIX): value for name, value in encoder.pretrained().items()}
    prefix = find_prefix(content, expected, KNOWN_PREFIXES, path)
    tensors = {name.removeprefix(prefix): value for name, value in content.items() if name.startswith(prefix)}
    missing, surplus = expected.keys() - tensors.keys(), tensors.keys() - expected.keys()
    require_names([prefix + name for name in missing], [prefix + name for name in surplus], path, REMEDY)
    require_values(tensors, expected, path, prefix, REMEDY)
    if prefix != PREFIX:
        logger.info("%s: its tensors are named %r where SAM's checkpoints have %r", path, prefix + "*", PREFIX + "*")
    encoder.load_state_dict({PREFIX + name: value for name, value in tensors.items()}, strict=False)
    digest = file_digest(path)
    logger.info(
        "%s: %d of %d tensors loaded, sha256 %s (%s)",
        path,
        len(tensors),
        len(expected),
        digest,
        "the official " + OFFICIAL_SHA256[digest] if digest in OFFICIAL_SHA256 else "not one of the official files",
    )
    return encoder


def _how_to_get(path: Path, encoder: SAMEncoder) -> str:
    """In words, for the official file of this variant; for an encoder of other dimensions, that of ViT-B."""
    default = next(iter(WIDTHS.values()))
    name = WIDTHS.get(encoder.pretrained()[f"{PREFIX}pos_embed"].shape[-1], default)
    place = path.with_name(name) if path.name in WIDTHS.values() else path  # never one variant under another's name
    sha256 = next(digest for digest, file in OFFICIAL_SHA256.items() if file == name)
    command = "Download them once by `sam3d download`, or fetch" if name == default else "Fetch"
    remedy = "by other means and put it" if name == default else f"(sha256 {sha256}), put it"
    option = "or give --encoder-weights PATH" if place == path else f"and give --encoder-weights {place}"
    return (
        f"no SAM encoder weights at {path}. {command} {OFFICIAL_URL}{name} {remedy} at {place}, {option}; without "
        "pretrained weights give --network detail+no_encoder, or for tests and comparisons --encoder-weights random"
    )


def fill_at_random(network: nn.Module, seed: int, std: float = 0.02) -> None:
    """Every parameter, with `random_values`."""
    network.load_state_dict(random_values(dict(network.named_parameters()), seed, std))


def random_values(parameters: Mapping[str, torch.Tensor], seed: int, std: float = 0.02) -> dict[str, torch.Tensor]:
    """Normal values of standard deviation `std` for every parameter, 1 + those for the scales of normalisation layers.

    0.02 is how ViTs are initialised. Position tables and biases, zero in a fresh encoder, are filled too, so that a run on
    random weights goes through all of the arithmetic. The values depend on the seed alone.
    """
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, parameter in sorted(parameters.items()):
        values = torch.randn(parameter.shape, generator=generator) * std
        is_scale = parameter.ndim == 1 and name.endswith("weight")
        state[name] = 1 + values if is_scale else values
    return state
