"""A trained network -> a file in SAM's format with its slice encoder, what tuning added merged into SAM's own tensors."""

import logging
from pathlib import Path
from typing import Any

import torch

from ..basics.contracts import is_on_embeddings
from ..files.atomic_write import atomic_write
from .name_prefix import find_prefix
from .sam_checkpoint import KNOWN_PREFIXES, PREFIX
from .tensor_file import read_tensors

logger = logging.getLogger(__name__)


def save_merged_encoder(network: object, path: str | Path, weights: str | Path) -> Path:
    """Writes the encoder under SAM's names, with SAM's prompt encoder and mask decoder if `weights` has them.

    SAM's own code loads the file, and as `encoder_weights` it gives a frozen encoder with the embeddings of the tuned one.

    Args:
        network: with its trained weights.
        path: of the new file.
        weights: the encoder's file before it was tuned, or the word `random`.

    Returns:
        `path`.

    Raises:
        FileExistsError: if there is such a file.
        ValueError: for a network without such an encoder, and for one with parts that SAM's code does not have.

    Example:
        >>> import tempfile
        >>> import torch
        >>> from scripts.networks import SAM3D, ResidualDecoder, SAMSliceEncoder
        >>> from scripts.weights import load_sam_encoder, save_merged_encoder
        >>> vit = {"embed_dim": 16, "depth": 1, "num_heads": 1, "global_attn_indexes": ()}
        >>> tuned, plain = SAMSliceEncoder(vit, lora_rank=2).eval(), SAMSliceEncoder(vit)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = save_merged_encoder(SAM3D(tuned, ResidualDecoder(256, 4)), f"{folder}/encoder.pth", "random")
        ...     _ = load_sam_encoder(plain, path)
        >>> volume = torch.rand(1, 1, 32, 32, 2)
        >>> torch.allclose(plain(volume), tuned(volume), atol=1e-6)
        True
    """
    path = Path(path)
    encoder = dict(network.encoder.merged()) if is_on_embeddings(network) else {}
    if not encoder:
        raise ValueError("only a network with SAM's encoder has something to merge, and this one has none")
    if path.exists():
        raise FileExistsError(f"{path} is there already; give another output folder, or move the file")
    others = {} if weights == "random" else _others(Path(weights), encoder)
    with atomic_write(path) as temporary:
        torch.save({**others, **{name: value.cpu() for name, value in encoder.items()}}, temporary)
    logger.info("%s: %d tensors of the encoder, %d others of %s", path, len(encoder), len(others), weights)
    return path


def _others(weights: Path, encoder: dict[str, torch.Tensor]) -> dict[str, Any]:
    """What a whole SAM checkpoint has beside its image encoder."""
    content = read_tensors(weights)
    prefix = find_prefix(content, [name.removeprefix(PREFIX) for name in encoder], KNOWN_PREFIXES, weights)
    if not prefix.endswith(PREFIX):
        return {}  # of the encoder alone
    sam = prefix.removesuffix(PREFIX)
    return {name.removeprefix(sam): value for name, value in content.items() if name.startswith(sam) and prefix not in name}
