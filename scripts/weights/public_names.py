"""Tensors of a file in any public format -> under the official names, which the encoders have.

Hugging Face publishes the same weights under other names, and cuts queries, keys and values apart.
"""

import re
from collections.abc import Collection, Mapping
from typing import Any

import torch

from .name_prefix import count_found

Tensors = dict[str, Any]

# Of DINOv2 and of DINOv3.
DINO = {
    r"\bembeddings\.patch_embeddings\.(projection\.)?": "patch_embed.proj.",
    r"\bembeddings\.position_embeddings$": "pos_embed",
    r"\bembeddings\.register_tokens$": "storage_tokens",
    r"\bembeddings\.(cls_token|mask_token)$": r"\1",
    r"\b(encoder\.|model\.)?layer\.(\d+)\.": r"blocks.\2.",
    r"\battention\.(output\.dense|o_proj)\.": "attn.proj.",
    r"\battention\.(attention\.)?(query|q_proj)\.(\w+)$": r"attn.qkv.\3.0",
    r"\battention\.(attention\.)?(key|k_proj)\.(\w+)$": r"attn.qkv.\3.1",
    r"\battention\.(attention\.)?(value|v_proj)\.(\w+)$": r"attn.qkv.\3.2",
    r"\blayer_scale(\d)\.lambda1$": r"ls\1.gamma",
    r"\bmlp\.up_proj\.": "mlp.fc1.",
    r"\bmlp\.down_proj\.": "mlp.fc2.",
    r"\blayernorm\.(\w+)$": r"norm.\1",
}
SAM2 = {
    r"\bvision_encoder\.": "image_encoder.",
    r"\bbackbone\.": "trunk.",
    r"\bpatch_embed\.projection\.": "patch_embed.proj.",
    r"\blayer_norm(\d)\.": r"norm\1.",
    r"\bmlp\.proj_in\.": "mlp.layers.0.",
    r"\bmlp\.proj_out\.": "mlp.layers.1.",
    r"\bneck\.convs\.(\d)\.(weight|bias)$": r"neck.convs.\1.conv.\2",
    # What the encoder's finer levels are reduced by stands in the mask decoder, in the official files too.
    r"\b(sam_)?mask_decoder\.conv_s(\d)\.": r"image_encoder.conv_s\2.",
}


def official_names(tensors: Mapping[str, Any], expected: Collection[str], known: Collection[str]) -> Tensors:
    """By the rules, if any, with which the most of the `expected` names are found, behind a chain of `known` prefixes."""
    candidates = [dict(tensors), _joined(_renamed(tensors, DINO)), _renamed(tensors, SAM2)]
    found = max(candidates, key=lambda names: max(count_found(names, expected, known).values()))
    return _without_masked_biases(found)


def _renamed(tensors: Mapping[str, Any], rules: Mapping[str, str]) -> Tensors:
    names = {name: name for name in tensors}
    for pattern, replacement in rules.items():
        names = {name: re.sub(pattern, replacement, new) for name, new in names.items()}
    return {names[name]: value for name, value in tensors.items()}


def _joined(tensors: Tensors) -> Tensors:
    """Queries, keys and values in one tensor; a bias of keys that a file does without is 0."""
    for query in [name for name in tensors if re.search(r"\.attn\.qkv\.\w+\.0$", name)]:
        joint = query.removesuffix(".0")
        parts = [tensors.get(f"{joint}.{index}") for index in range(3)]
        if parts[1] is None and joint.endswith(".bias") and isinstance(parts[0], torch.Tensor):
            parts[1] = torch.zeros_like(parts[0])
        given = [part for part in parts if isinstance(part, torch.Tensor)]
        if len(given) == 3 and len({part.shape for part in given}) == 1:  # else the joint one is missing
            tensors = {name: value for name, value in tensors.items() if name.rpartition(".")[0] != joint}
            tensors[joint] = torch.cat(given)
    return tensors


def _without_masked_biases(tensors: Tensors) -> Tensors:
    """DINOv3's official files mask the bias of keys, which has any values there, to 0."""
    for mask in [name for name in tensors if name.endswith(".attn.qkv.bias_mask")]:
        name = mask.removesuffix("_mask")
        both = [part for part in (tensors[mask], tensors.get(name)) if isinstance(part, torch.Tensor)]
        if len(both) == 2 and both[0].shape == both[1].shape:
            tensors[name] = torch.where(tensors.pop(mask) == 0, 0.0, tensors[name])
    return tensors
