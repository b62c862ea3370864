"""A network -> the parameters that an optimizer changes, each at the rate of its layer."""

from typing import Any

from torch import nn

from .sam_encoder import SAMSliceEncoder


def parameter_groups(network: nn.Module, learning_rate: float, layer_decay: float = 1.0) -> list[dict[str, Any]]:
    """Of the parameters that are trained.

    Layer-wise decay of the learning rate, as ELECTRA (Clark et al., arXiv:2003.10555) and BEiT (Bao et al., arXiv:2106.08254)
    are fine-tuned: what a layer of the slice encoder learnt in pretraining is the more general the lower it lies, so each has
    `layer_decay` times the rate of the one above it. The neck and all that is no slice encoder have the full rate.

    Args:
        network: of which the parameters that require gradients are taken.
        learning_rate: of the layers above the encoder.
        layer_decay: above 0, at most 1; 1: the same rate for all, in one group.

    Returns:
        Groups with `params` and `lr`, for any optimizer of torch.

    Raises:
        ValueError: for another decay, and one below 1 where no layer of a slice encoder is trained.

    Example:
        >>> from scripts.networks import SAM3D, ResidualDecoder, SAMSliceEncoder, parameter_groups
        >>> vit = {"embed_dim": 16, "depth": 2, "num_heads": 1, "global_attn_indexes": ()}
        >>> network = SAM3D(SAMSliceEncoder(vit, trainable=True), ResidualDecoder(256, out_channels=4))
        >>> sorted(group["lr"] for group in parameter_groups(network, 0.008, layer_decay=0.5))
        [0.001, 0.002, 0.004, 0.008]
    """
    if not 0 < layer_decay <= 1:
        raise ValueError(f"layer_decay must be above 0 and at most 1, got {layer_decay}")
    encoders = {f"{name}." if name else "": m for name, m in network.named_modules() if isinstance(m, SAMSliceEncoder)}
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            above = [encoders[start].layers_above(name.removeprefix(start)) for start in encoders if name.startswith(start)]
            groups.setdefault(layer_decay ** sum(above), []).append(parameter)
    if layer_decay < 1 and set(groups) <= {1.0}:
        raise ValueError(
            f"layer_decay is of the encoder's layers, and none of them is trained, got {layer_decay}; omit it, or train the "
            "encoder: --overlay train_encoder, two_stage, last_blocks, lora or depth_adapter"
        )
    return [{"params": parameters, "lr": learning_rate * factor} for factor, parameters in groups.items()]
