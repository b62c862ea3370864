"""Google's file of an ImageNet-trained R50+ViT-B_16 -> the ResNet and the transformer of a TransUNet."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ....files.file_digest import file_digest
from ....weights.check_tensors import require_names, require_values
from .transunet import TransUNet

logger = logging.getLogger(__name__)

URL = "https://storage.googleapis.com/vit_models/imagenet21k/R50%2BViT-B_16.npz"
REMEDY = "it must be Google's R50+ViT-B_16.npz, or a file of that format with the network's sizes"
UNUSED = ("cls", "head", "pre_logits")  # the class token and what classifies by it


def load_vit_npz(network: TransUNet, weights: str | Path) -> TransUNet:
    """The network with its parts `resnet` and `transformer` filled from `weights`, in place; the decoder stays as it is.

    weights: an .npz file in the format of github.com/google-research/vision_transformer (a hybrid, not a ViT on raw patches),
        or the word `random`: the network stays as it was built.

    Where the network's images do not have three channels, each gets the mean of the file's kernels for red, green and blue.

    Raises FileNotFoundError with the download command, or ValueError that names the file and what is wrong in it.
    """
    if str(weights) == "random":
        logger.warning(
            "transformer_weights: random. Unless a checkpoint is loaded next, ResNet and transformer are NOT pretrained and "
            "learn from your data alone; TransUNet was published with pretrained ones, see docs/research/transunet.md."
        )
        return network
    path = Path(weights)
    if not path.is_file():
        raise FileNotFoundError(
            f"no transformer weights at {path}. Download them once with\n    curl -fLo {path} {URL}\n"
            "or, to train from scratch, --transformer_weights random"
        )
    arrays = {name: array for name, array in _read_npz(path).items() if name.split("/")[0] not in UNUSED}
    parameters = _by_official_name(network)
    require_names(parameters.keys() - arrays.keys(), arrays.keys() - parameters.keys(), path, REMEDY)
    tensors = {name: _adapted(arrays[name], parameter) for name, parameter in parameters.items()}
    require_values(tensors, parameters, path, "", REMEDY)
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(tensors[name])
    logger.info("%s: %d of %d tensors loaded, sha256 %s", path, len(tensors), len(parameters), file_digest(path))
    return network


def _read_npz(path: Path) -> dict[str, torch.Tensor]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    except Exception as error:  # of zip archives, of numpy, of torch for what is no number: whatever the bytes trigger
        raise ValueError(
            f"{path} cannot be read as an .npz file of numbers: it is damaged, incomplete, or holds more than arrays "
            f"({type(error).__name__}: {error}); get it again"
        ) from error


def _by_official_name(network: TransUNet) -> dict[str, torch.Tensor]:
    """The file's name of each parameter -> the parameter, seen in the layout of the file: writing there fills the network."""
    views = {}
    for name, layer in network.resnet.named_modules():
        if isinstance(layer, nn.Conv2d | nn.GroupNorm):
            views |= _views(name.replace(".", "/"), layer)
    transformer = network.transformer
    views |= _views("embedding", transformer.embedding)
    views["Transformer/posembed_input/pos_embedding"] = transformer.positions.flatten(2).transpose(1, 2)  # (1, h w, C)
    for i, layer in enumerate(transformer.layers):
        block = f"Transformer/encoderblock_{i}"
        views |= _views(f"{block}/LayerNorm_0", layer.norm1)
        views |= _attention_views(f"{block}/MultiHeadDotProductAttention_1", layer.attn)
        views |= _views(f"{block}/LayerNorm_2", layer.norm2)
        views |= _views(f"{block}/MlpBlock_3/Dense_0", layer.mlp.linear1)
        views |= _views(f"{block}/MlpBlock_3/Dense_1", layer.mlp.linear2)
    return views | _views("Transformer/encoder_norm", transformer.norm)


def _views(name: str, layer: nn.Conv2d | nn.Linear | nn.GroupNorm | nn.LayerNorm) -> dict[str, torch.Tensor]:
    views: dict[str, torch.Tensor]
    if isinstance(layer, nn.Conv2d):
        views = {"kernel": layer.weight.permute(2, 3, 1, 0)}  # (height, width, in, out)
    elif isinstance(layer, nn.Linear):
        views = {"kernel": layer.weight.T}  # (in, out)
    else:
        views = {"scale": layer.weight}
    if layer.bias is not None:
        views["bias"] = layer.bias
    return {f"{name}/{part}": view for part, view in views.items()}


def _attention_views(name: str, attention: Any) -> dict[str, torch.Tensor]:
    """attention: a SABlock of MONAI's, for which its linear layers might be none."""
    by_head = (attention.num_heads, -1)
    views = {f"{name}/out/kernel": attention.out_proj.weight.T.unflatten(0, by_head)}  # (heads, C / heads, C)
    views[f"{name}/out/bias"] = attention.out_proj.bias
    parts = ("query", "key", "value")
    for part, weight, bias in zip(parts, attention.qkv.weight.chunk(3), attention.qkv.bias.chunk(3), strict=True):
        views[f"{name}/{part}/kernel"] = weight.T.unflatten(1, by_head)  # (C, heads, C / heads)
        views[f"{name}/{part}/bias"] = bias.unflatten(0, by_head)
    return views


def _adapted(array: torch.Tensor, parameter: torch.Tensor) -> torch.Tensor:
    """What may differ between the file and a network that it fits; all else is left for the check that follows."""
    if parameter.ndim == 1 and array.ndim == 4 and array.shape[:3] == (1, 1, 1):  # old flax's group normalisation
        return array.flatten()
    if parameter.ndim != array.ndim:
        return array
    if array.ndim == 3 and len(parameter) == 1 and array.shape[1] == parameter.shape[1] + 1:
        return array[:, 1:]  # without the class token's position
    if array.ndim == 4 and array.shape[2] == 3 != parameter.shape[2] and array.is_floating_point():
        return array.mean(2, keepdim=True).expand(-1, -1, parameter.shape[2], -1)  # the root convolution's colours
    return array
