"""A checkpoint file of SAM or its relatives, or a seed -> the parameters of the slice encoder."""

import logging
from pathlib import Path

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
REMEDY = (
    "it must be a checkpoint of this encoder, of the same variant as encoder_variant; those of other encoders need their "
    "overlay (docs/encoders.md)"
)


def load_sam_encoder(encoder: nn.Module, weights: str | Path, seed: int = 0) -> nn.Module:
    """Fills a slice encoder with the parameters of its published file, or with random ones.

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
        fill_at_random(encoder, seed)
        logger.warning(
            "encoder_weights: random (seed %d). The slice encoder is NOT pretrained: use this for tests and comparisons, "
            "never for masks that matter. Without pretrained weights, --network detail+no_encoder is the better choice.",
            seed,
        )
        return encoder
    path = Path(weights)
    if not path.is_file():
        raise FileNotFoundError(_how_to_get(path, encoder))
    expected = {name.removeprefix(PREFIX): value for name, value in encoder.state_dict().items()}
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
    encoder.load_state_dict({PREFIX + name: value for name, value in tensors.items()})
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


def _how_to_get(path: Path, encoder: nn.Module) -> str:
    """In words, for the published file of this encoder."""
    published = file_for(path.name, encoder.state_dict())
    place = path.with_name(published.file) if path.name in BY_FILE else path  # never one encoder's weights under another's name
    option = "or give --encoder-weights PATH" if place == path else f"and give --encoder-weights {place}"
    return (
        f"no weights of the slice encoder at {path}. {published.how_to_get(place)}, {option}; without pretrained weights give "
        "--network detail+no_encoder, or for tests and comparisons --encoder-weights random"
    )


def fill_at_random(encoder: nn.Module, seed: int, std: float = 0.02) -> None:
    """Normal values of standard deviation `std` for every parameter, 1 + those for the scales of normalisations and layers.

    0.02 is how ViTs are initialised. Position tables and biases, zero in a fresh encoder, are filled too, so that a run on
    random weights goes through all of the arithmetic; likewise the means of batch normalisation, and its variances by the
    exponentials of such values. The values depend on the seed alone.
    """
    generator = torch.Generator().manual_seed(seed)
    state = encoder.state_dict()
    for name, parameter in sorted(encoder.named_parameters()):
        values = torch.randn(parameter.shape, generator=generator) * std
        is_scale = parameter.ndim == 1 and name.endswith(("weight", "gamma"))
        state[name] = 1 + values if is_scale else values
    for name, statistic in sorted(encoder.named_buffers()):
        if statistic.is_floating_point():
            values = torch.randn(statistic.shape, generator=generator) * std
            state[name] = values.exp() if name.endswith("running_var") else values
    encoder.load_state_dict(state)
