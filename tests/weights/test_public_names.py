"""The public formats of the encoders' files: official names and Hugging Face's, written here as their publishers write them."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from narrow_encoders import NARROW_ENCODERS
from safetensors.torch import save_file
from torch.testing import assert_close

from scripts.networks.dino_encoder import DINOSliceEncoder
from scripts.networks.sam2_encoder import SAM2SliceEncoder
from scripts.networks.slicewise_encoder import SlicewiseEncoder
from scripts.weights import load_sam_encoder
from scripts.weights.encoder_files import BY_FILE

State = dict[str, Any]
Format = Callable[[Mapping[str, torch.Tensor]], State]  # of the encoder's tensors, named without `image_encoder.`


def official_sam2(state: Mapping[str, torch.Tensor]) -> State:
    """sam2.1_hiera_tiny.pt: all of SAM 2 under `model`."""
    decoder = {f"sam_mask_decoder.{name}": value for name, value in state.items() if name.startswith("conv_s")}
    encoder = {f"image_encoder.{name}": value for name, value in state.items() if not name.startswith("conv_s")}
    convs = {f"sam_mask_decoder.conv_s{i}.{part}": torch.randn(3) for i in (0, 1) for part in ("weight", "bias")}
    others = {"maskmem_tpos_enc": torch.randn(7, 1, 1, 64), "memory_attention.norm.weight": torch.randn(256)}
    return {"model": others | encoder | convs | decoder}


def hugging_face_sam2(state: Mapping[str, torch.Tensor]) -> State:
    """model.safetensors of facebook/sam2.1-hiera-tiny."""
    rules = {
        r"^conv_s": "mask_decoder.conv_s",
        r"^trunk\.": "vision_encoder.backbone.",
        r"^neck\.(convs\.\d)\.conv\.": r"vision_encoder.neck.\1.",
        r"patch_embed\.proj\.": "patch_embed.projection.",
        r"norm(\d)\.": r"layer_norm\1.",
        r"mlp\.layers\.0\.": "mlp.proj_in.",
        r"mlp\.layers\.1\.": "mlp.proj_out.",
    }
    return {"no_memory_embedding": torch.randn(1, 1, 256), **substituted(state, rules)}


def official_dinov2(state: Mapping[str, torch.Tensor]) -> State:
    """dinov2_vitb14_pretrain.pth: the backbone alone."""
    return {"mask_token": torch.zeros(1, 32), **state}


DINO_RULES = {
    r"^cls_token": "embeddings.cls_token",
    r"^(blocks\.\d+)\.ls(\d)\.gamma": r"\1.layer_scale\2.lambda1",
}


def hugging_face_dinov2(state: Mapping[str, torch.Tensor]) -> State:
    """model.safetensors of facebook/dinov2-base."""
    rules = {
        **DINO_RULES,
        r"^pos_embed": "embeddings.position_embeddings",
        r"^patch_embed\.proj": "embeddings.patch_embeddings.projection",
        r"^norm\.": "layernorm.",
        r"attn\.proj": "attention.output.dense",
        r"attn\.qkv": "attention.attention.{}",
        r"^blocks": "encoder.layer",
    }
    return {"embeddings.mask_token": torch.zeros(1, 32), **split_qkv(substituted(state, rules), ("query", "key", "value"))}


def official_dinov3(state: Mapping[str, torch.Tensor]) -> State:
    """dinov3_vitb16_pretrain_lvd1689m-73cec8be.pth: the backbone, with a mask for the bias that keys do without."""
    masks = {f"{name}_mask": torch.tensor([1.0, 0.0, 1.0]).repeat_interleave(32) for name in state if name.endswith("qkv.bias")}
    biases = {name: value.clone() for name, value in state.items()}
    for name in masks:
        biases[name.removesuffix("_mask")][32:64] = float("nan")
    return {"mask_token": torch.zeros(1, 32), "rope_embed.periods": torch.randn(4), **biases, **masks}


def hugging_face_dinov3(state: Mapping[str, torch.Tensor]) -> State:
    """model.safetensors of facebook/dinov3-vitb16-pretrain-lvd1689m: keys without a bias."""
    rules = {
        **DINO_RULES,
        r"^storage_tokens": "embeddings.register_tokens",
        r"^patch_embed\.proj": "embeddings.patch_embeddings",
        r"attn\.proj": "attention.o_proj",
        r"attn\.qkv": "attention.{}_proj",
        r"mlp\.fc1": "mlp.up_proj",
        r"mlp\.fc2": "mlp.down_proj",
        r"^blocks": "layer",
    }
    found = split_qkv(substituted(state, rules), ("q", "k", "v"))
    return {name: value for name, value in found.items() if not name.endswith("k_proj.bias")}


def substituted(state: Mapping[str, torch.Tensor], rules: Mapping[str, str]) -> State:
    found = {}
    for name, value in state.items():
        for pattern, replacement in rules.items():
            name = re.sub(pattern, replacement, name)
        found[name] = value
    return found


def split_qkv(state: State, words: tuple[str, str, str]) -> State:
    found = {}
    for name, value in state.items():
        parts = zip(words, value.chunk(3), strict=True) if "{}" in name else [("", value)]
        found |= {name.format(word): part.clone() for word, part in parts}
    return found


FORMATS: dict[str, tuple[str, Format]] = {
    "sam2.pt": ("sam2", official_sam2),
    "sam2.safetensors": ("sam2", hugging_face_sam2),
    "dinov2.pth": ("dinov2", official_dinov2),
    "dinov2.safetensors": ("dinov2", hugging_face_dinov2),
    "dinov3.pth": ("dinov3", official_dinov3),
    "dinov3.safetensors": ("dinov3", hugging_face_dinov3),
}
every_format = pytest.mark.parametrize("name", FORMATS)


def source_of(family: str, **options: Any) -> tuple[SlicewiseEncoder, dict[str, torch.Tensor]]:
    """An encoder with weights, whose keys have no bias where the family's have none; its tensors without `image_encoder.`."""
    encoder = NARROW_ENCODERS[family](**options)
    state = {name.removeprefix("image_encoder."): value.clone() for name, value in encoder.state_dict().items()}
    if family == "dinov3":
        for name, value in state.items():
            if name.endswith("qkv.bias"):
                value.chunk(3)[1].zero_()
    return encoder, state


def write(tensors: State, path: Path) -> Path:
    save_file(tensors, path) if path.suffix == ".safetensors" else torch.save(tensors, path)
    return path


def load(encoder: SlicewiseEncoder, path: Path) -> dict[str, torch.Tensor]:
    load_sam_encoder(encoder, path)
    return {name.removeprefix("image_encoder."): value for name, value in encoder.state_dict().items()}


@every_format
def test_a_file_of_every_format_is_loaded_bit_by_bit(name: str, tmp_path: Path) -> None:
    family, public = FORMATS[name]
    _, state = source_of(family)
    path = write(public(state), tmp_path / name)
    encoder = NARROW_ENCODERS[family].build(NARROW_ENCODERS[family].variant)
    assert_close(load(encoder, path), state, atol=0, rtol=0)


@pytest.mark.parametrize("name", ["sam2.pt", "sam2.safetensors"])
@pytest.mark.parametrize("levels", [[8], [8, 4]])
def test_finer_levels_of_sam2_come_from_its_mask_decoder(name: str, levels: list[int], tmp_path: Path) -> None:
    _, state = source_of("sam2", levels=levels)
    path = write(FORMATS[name][1](state), tmp_path / name)
    encoder = SAM2SliceEncoder(NARROW_ENCODERS["sam2"].variant, levels=levels)
    assert_close(load(encoder, path), state, atol=0, rtol=0)


@every_format
@pytest.mark.parametrize("prefix", ["module.", "module._orig_mod."])
def test_wrapped_files_are_loaded(name: str, prefix: str, tmp_path: Path) -> None:
    family, public = FORMATS[name]
    _, state = source_of(family)
    tensors = public(state)
    tensors = {prefix + key: value for key, value in tensors.get("model", tensors).items()}
    encoder = NARROW_ENCODERS[family].build(NARROW_ENCODERS[family].variant)
    assert_close(load(encoder, write(tensors, tmp_path / name)), state, atol=0, rtol=0)


@every_format
@pytest.mark.parametrize("spoil", ["missing", "surplus", "shape", "nan", "text"])
def test_a_wrong_file_is_refused_by_name_and_nothing_is_changed(name: str, spoil: str, tmp_path: Path) -> None:
    family, public = FORMATS[name]
    source, state = source_of(family)
    tensors = public(state)
    tensors = tensors.get("model", tensors)
    key = next(key for key in tensors if re.search(r"\d\.mlp\..*weight$", key))
    reasons = {
        "missing": "1 of its tensors are missing and 0 do not belong",
        "surplus": r"0 of its tensors are missing and 1 do not belong .*\.9\.",
        "shape": r"has the shape .*, the network needs .* the same variant as encoder_variant",
        "nan": "holds NaN",
        "text": "damaged",
    }
    if spoil == "missing":
        del tensors[key]
    elif spoil == "surplus":
        tensors[re.sub(r"\.\d\.(?=norm1|layer_norm1)", ".9.", next(k for k in tensors if "norm1.bias" in k))] = torch.ones(2)
    elif spoil == "shape":
        tensors[key] = tensors[key][:, 1:].contiguous()
    elif spoil == "nan":
        tensors[key][0, 0] = float("nan")
    path = write(tensors, tmp_path / name)
    if spoil == "text":
        path.write_text("<html>404 Not Found</html>\n")
    before = {key: value.clone() for key, value in source.state_dict().items()}
    with pytest.raises(ValueError, match=reasons[spoil]) as error:
        load_sam_encoder(source, path)
    assert str(path) in str(error.value)
    assert_close(dict(source.state_dict()), before, atol=0, rtol=0)


@pytest.mark.parametrize("family", ["dinov2", "dinov3"])
@pytest.mark.parametrize("part", [0, 1, 2])
@pytest.mark.parametrize("spoil", ["missing", "shape", "number"])
def test_queries_keys_and_values_that_do_not_fit_together_are_refused(
    family: str, part: int, spoil: str, tmp_path: Path
) -> None:
    source, state = source_of(family)
    tensors = FORMATS[f"{family}.safetensors"][1](state)
    name = [name for name in tensors if re.search(r"layer\.1\.attention\.(attention\.)?[qkv].*weight", name)][part]
    if spoil == "missing":
        del tensors[name]
    else:
        tensors[name] = tensors[name][1:].clone() if spoil == "shape" else 3
    path = tmp_path / "dino.pth"
    torch.save(tensors, path)
    with pytest.raises(ValueError, match=r"1 of its tensors are missing and [23] do not belong .*blocks\.1\.attn\.qkv\.weight"):
        load_sam_encoder(source, path)


def test_a_file_of_another_family_is_refused(tmp_path: Path) -> None:
    _, state = source_of("dinov2")
    path = write(official_dinov2(state), tmp_path / "dinov2.pth")
    with pytest.raises(ValueError, match="those of other encoders need their overlay"):
        load_sam_encoder(NARROW_ENCODERS["sam2"](), path)


@pytest.mark.parametrize(
    ("build", "variant", "file"),
    [
        (SAM2SliceEncoder, "hiera_tiny", "sam2.1_hiera_tiny.pt"),
        (SAM2SliceEncoder, "hiera_small", "sam2.1_hiera_small.pt"),
        (SAM2SliceEncoder, "hiera_base_plus", "sam2.1_hiera_base_plus.pt"),
        (SAM2SliceEncoder, "hiera_large", "sam2.1_hiera_large.pt"),
        (DINOSliceEncoder, "dinov2_vits14", "dinov2_vits14_pretrain.pth"),
        (DINOSliceEncoder, "dinov2_vitb14", "dinov2_vitb14_pretrain.pth"),
        (DINOSliceEncoder, "dinov2_vitl14", "dinov2_vitl14_pretrain.pth"),
        (DINOSliceEncoder, "dinov3_vits16", "dinov3_vits16_pretrain_lvd1689m-08c60483.pth"),
        (DINOSliceEncoder, "dinov3_vitb16", "dinov3_vitb16_pretrain_lvd1689m-73cec8be.pth"),
        (DINOSliceEncoder, "dinov3_vitl16", "dinov3_vitl16_pretrain_lvd1689m-8aa4cbdd.pth"),
    ],
)
def test_a_missing_file_is_named_with_the_address_of_its_own_variant(
    build: Callable[..., SlicewiseEncoder], variant: str, file: str, tmp_path: Path
) -> None:
    with torch.device("meta"):
        encoder = build(variant)
    with pytest.raises(FileNotFoundError) as error:
        load_sam_encoder(encoder, tmp_path / "mine.pth")
    assert f"from {BY_FILE[file].url} " in str(error.value) or f"fetch {BY_FILE[file].url} " in str(error.value)
    assert f"put it at {tmp_path / 'mine.pth'}, or give --encoder-weights PATH" in str(error.value)
    with pytest.raises(FileNotFoundError, match=re.escape(f"and give --encoder-weights {tmp_path / file};")):
        load_sam_encoder(encoder, tmp_path / "sam_vit_b_01ec64.pth")


@pytest.mark.parametrize("family", ["sam2", "dinov2", "dinov3"])
def test_random_weights_fill_every_table_and_bias(family: str) -> None:
    narrow = NARROW_ENCODERS[family]
    for name, value in load_sam_encoder(narrow.build(narrow.variant), "random").state_dict().items():
        assert (value != 0).all(), name
        is_scale = bool(re.search(r"norm\d?\.weight$|gamma$", name))
        assert value.mean().item() == pytest.approx(float(is_scale), abs=0.03), name
        assert value.std().item() == pytest.approx(0.02, rel=0.7), name
