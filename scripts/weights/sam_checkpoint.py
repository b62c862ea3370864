"""A checkpoint file of SAM or its relatives, or a seed -> the parameters of the slice encoder."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import nn

from ..basics.contracts import LeavesTensors
from ..files.file_digest import file_digest
from .check_tensors import require_names, require_values
from .encoder_files import BY_FILE, BY_SHA256, file_for
from .name_prefix import WRAPPERS, find_prefix
from .public_names import official_names
from .tensor_file import read_tensors

logger = logging.getLogger(__name__)

PREFIX = "image_encoder."  # of the encoder's tensors in the checkpoints of SAM and of what was made of it
# Seen in files of others, in chains such as `module.sam.`.
KNOWN_PREFIXES = (*WRAPPERS, "sam.", "model.", "dinov2.", "dinov3_vit.", PREFIX)
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")  # of batch normalisation
REMEDY = (
    "it must be a checkpoint of this encoder, of the same variant as encoder_variant; those of other encoders need their "
    "overlay (docs/encoders.md)"
)


class Encoder(Protocol):
    """pretrained: by name, the tensors that its published file has, and none that tuning adds."""

    def pretrained(self) -> Mapping[str, torch.Tensor]: ...
    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool) -> Any: ...


AnyEncoder = TypeVar("AnyEncoder", bound=Encoder)


def load_sam_encoder(encoder: AnyEncoder, weights: str | Path, seed: int = 0) -> AnyEncoder:
    """Fills a slice encoder with the parameters of its published file, or with random ones. What tuning adds stays as it is.

    Args:
        encoder: filled in place.
        weights: a checkpoint in the official format of SAM, MedSAM, MobileSAM or SAM-Med2D (perhaps wrapped, of the encoder
            alone, in another precision, or as safetensors), or the word `random`.
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
    expected = {name.removeprefix(PREFIX): value for name, value in encoder.pretrained().items()}
    content = official_names(read_tensors(path), expected, KNOWN_PREFIXES)
    prefix = find_prefix(content, expected, KNOWN_PREFIXES, path)
    unused = tuple(name.removeprefix(PREFIX) for name in encoder.unused_tensors) if isinstance(encoder, LeavesTensors) else ()
    tensors = {name.removeprefix(prefix): value for name, value in content.items() if name.startswith(prefix)}
    tensors = {name: value for name, value in tensors.items() if not name.startswith(unused)}
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
        f"the official {BY_SHA256[digest].file}" if digest in BY_SHA256 else "not a file whose sum is known",
    )
    return encoder


def _how_to_get(path: Path, encoder: Encoder) -> str:
    """In words, for the published file of this encoder."""
    published = file_for(path.name, encoder.pretrained())
    place = path.with_name(published.file) if path.name in BY_FILE else path  # never one encoder's weights under another's name
    option = "or give --encoder-weights PATH" if place == path else f"and give --encoder-weights {place}"
    return (
        f"no weights of the slice encoder at {path}. {published.how_to_get(place)}, {option}; without pretrained weights give "
        "--network detail+no_encoder, or for tests and comparisons --encoder-weights random"
    )


def fill_at_random(network: nn.Module, seed: int, std: float = 0.02) -> None:
    """Every tensor, with `random_values`."""
    network.load_state_dict(random_values(network.state_dict(), seed, std))


def random_values(tensors: Mapping[str, torch.Tensor], seed: int, std: float = 0.02) -> dict[str, torch.Tensor]:
    """Normal values of standard deviation `std` for every parameter, 1 + those for the scales of normalisations and layers.

    0.02 is how ViTs are initialised. Position tables and biases, zero in a fresh encoder, are filled too, so that a run on
    random weights goes through all of the arithmetic; likewise the means of batch normalisation, and its variances by the
    exponentials of such values. The values depend on the seed alone.
    """
    generator = torch.Generator().manual_seed(seed)
    statistics = {name for name in tensors if name.endswith(STATISTICS)}
    state = {}
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[0] in statistics, item[0])):
        values = torch.randn(tensor.shape, generator=generator) * std if tensor.is_floating_point() else tensor
        if name.endswith("running_var"):
            values = values.exp()
        elif name not in statistics and tensor.ndim == 1 and name.endswith(("weight", "gamma")):
            values = 1 + values
        state[name] = values
    return state
