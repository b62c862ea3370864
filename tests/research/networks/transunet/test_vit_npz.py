"""Google's format of R50+ViT-B_16: a file is held against an independent forward of its arrays; what is wrong is named."""

import hashlib
import logging
import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from scripts.research.networks.transunet import TransUNet
from scripts.research.networks.transunet.vit_npz import load_vit_npz

Arrays = dict[str, np.ndarray]
OFFICIAL: dict[str, Any] = {
    "width": 64,
    "units": (3, 4, 9),
    "hidden_size": 768,
    "num_layers": 12,
    "num_heads": 12,
    "mlp_dim": 3072,
    "position_grid": 14,
}
NARROW: dict[str, Any] = {
    "width": 32,
    "units": (2, 1, 2),
    "hidden_size": 24,
    "num_layers": 2,
    "num_heads": 3,
    "mlp_dim": 40,
    "position_grid": 3,
}
QUERY = "Transformer/encoderblock_1/MultiHeadDotProductAttention_1/query/kernel"
POSITIONS = "Transformer/posembed_input/pos_embedding"
UNUSED = ("cls", "head", "pre_logits")


def official_shapes(size: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of google-research/vision_transformer (vit_jax/models_vit.py, models_resnet.py), flax before linen."""
    width, hidden, heads = size["width"], size["hidden_size"], size["num_heads"]
    shapes: dict[str, tuple[int, ...]] = {"conv_root/kernel": (7, 7, 3, width)}

    def group_norm(name: str, channels: int) -> None:
        shapes[f"{name}/scale"] = shapes[f"{name}/bias"] = (1, 1, 1, channels)

    def layer(name: str, kernel: tuple[int, ...], bias: tuple[int, ...]) -> None:
        shapes[f"{name}/kernel"], shapes[f"{name}/bias"] = kernel, bias

    group_norm("gn_root", width)
    before = width
    for stage, units in enumerate(size["units"], start=1):
        inner = width * 2 ** (stage - 1)
        for unit in range(1, units + 1):
            name = f"block{stage}/unit{unit}"
            if unit == 1:
                shapes[f"{name}/conv_proj/kernel"] = (1, 1, before, 4 * inner)
                group_norm(f"{name}/gn_proj", 4 * inner)
            shapes[f"{name}/conv1/kernel"] = (1, 1, before, inner)
            shapes[f"{name}/conv2/kernel"] = (3, 3, inner, inner)
            shapes[f"{name}/conv3/kernel"] = (1, 1, inner, 4 * inner)
            group_norm(f"{name}/gn1", inner)
            group_norm(f"{name}/gn2", inner)
            group_norm(f"{name}/gn3", 4 * inner)
            before = 4 * inner
    layer("embedding", (1, 1, before, hidden), (hidden,))
    shapes["cls"] = (1, 1, hidden)
    shapes[POSITIONS] = (1, 1 + size["position_grid"] ** 2, hidden)
    for number in range(size["num_layers"]):
        block = f"Transformer/encoderblock_{number}"
        for norm in ("LayerNorm_0", "LayerNorm_2"):
            shapes[f"{block}/{norm}/scale"] = shapes[f"{block}/{norm}/bias"] = (hidden,)
        attention = f"{block}/MultiHeadDotProductAttention_1"
        for part in ("query", "key", "value"):
            layer(f"{attention}/{part}", (hidden, heads, hidden // heads), (heads, hidden // heads))
        layer(f"{attention}/out", (heads, hidden // heads, hidden), (hidden,))
        layer(f"{block}/MlpBlock_3/Dense_0", (hidden, size["mlp_dim"]), (size["mlp_dim"],))
        layer(f"{block}/MlpBlock_3/Dense_1", (size["mlp_dim"], hidden), (hidden,))
    shapes["Transformer/encoder_norm/scale"] = shapes["Transformer/encoder_norm/bias"] = (hidden,)
    layer("pre_logits", (hidden, hidden), (hidden,))
    layer("head", (hidden, 10), (10,))
    return shapes


def reference(arrays: Arrays, images: torch.Tensor, size: dict[str, Any]) -> torch.Tensor:
    """(N, 3, H, W) -> (N, hidden, H/16, W/16) by the file's arrays alone, in double precision."""
    a = {name: torch.from_numpy(array).double() for name, array in arrays.items()}

    def conv(x: torch.Tensor, name: str, stride: int = 1, padding: int = 0) -> torch.Tensor:
        kernel = a[f"{name}/kernel"]
        kernel = (kernel - kernel.mean((0, 1, 2))) / (kernel.var((0, 1, 2), correction=0) + 1e-5).sqrt()
        return F.conv2d(x, kernel.permute(3, 2, 0, 1), stride=stride, padding=padding)

    def group_norm(x: torch.Tensor, name: str, groups: int = 32, eps: float = 1e-6) -> torch.Tensor:
        parts = x.reshape(len(x), groups, -1)
        parts = (parts - parts.mean(-1, keepdim=True)) / (parts.var(-1, correction=0, keepdim=True) + eps).sqrt()
        return parts.view(x.shape) * a[f"{name}/scale"].view(-1, 1, 1) + a[f"{name}/bias"].view(-1, 1, 1)

    def layer_norm(x: torch.Tensor, name: str) -> torch.Tensor:
        x = (x - x.mean(-1, keepdim=True)) / (x.var(-1, correction=0, keepdim=True) + 1e-6).sqrt()
        return x * a[f"{name}/scale"] + a[f"{name}/bias"]

    x = F.max_pool2d(group_norm(conv(images.double(), "conv_root", 2, 3), "gn_root").relu(), 3, 2)
    for stage, units in enumerate(size["units"], start=1):
        for unit in range(1, units + 1):
            name, stride, shortcut = f"block{stage}/unit{unit}", 2 if stage > 1 and unit == 1 else 1, x
            if unit == 1:
                shortcut = conv(x, f"{name}/conv_proj", stride)
                shortcut = group_norm(shortcut, f"{name}/gn_proj", shortcut.shape[1], 1e-5)
            y = group_norm(conv(x, f"{name}/conv1"), f"{name}/gn1").relu()
            y = group_norm(conv(y, f"{name}/conv2", stride, 1), f"{name}/gn2").relu()
            x = (shortcut + group_norm(conv(y, f"{name}/conv3"), f"{name}/gn3")).relu()
    grid = x.shape[2:]
    x = torch.einsum("ncyx,cd->nyxd", x, a["embedding/kernel"][0, 0]) + a["embedding/bias"]
    x = x.flatten(1, 2) + a[POSITIONS][:, 1:]
    for number in range(size["num_layers"]):
        block = f"Transformer/encoderblock_{number}"
        attention, y = f"{block}/MultiHeadDotProductAttention_1", layer_norm(x, f"{block}/LayerNorm_0")
        query, key, value = (
            torch.einsum("ntc,chd->nthd", y, a[f"{attention}/{part}/kernel"]) + a[f"{attention}/{part}/bias"]
            for part in ("query", "key", "value")
        )
        weights = (torch.einsum("nthd,nshd->nhts", query, key) / math.sqrt(query.shape[-1])).softmax(-1)
        y = torch.einsum("nhts,nshd->nthd", weights, value)
        x = x + torch.einsum("nthd,hdc->ntc", y, a[f"{attention}/out/kernel"]) + a[f"{attention}/out/bias"]
        y = layer_norm(x, f"{block}/LayerNorm_2") @ a[f"{block}/MlpBlock_3/Dense_0/kernel"]
        y = F.gelu(y + a[f"{block}/MlpBlock_3/Dense_0/bias"])
        x = x + y @ a[f"{block}/MlpBlock_3/Dense_1/kernel"] + a[f"{block}/MlpBlock_3/Dense_1/bias"]
    return layer_norm(x, "Transformer/encoder_norm").mT.unflatten(2, grid)


@pytest.fixture
def arrays() -> Arrays:
    """A small file's content, strong enough for a mistake in any array to show."""
    generator = np.random.default_rng(0)
    return {name: generator.normal(0.1, 0.3, shape).astype(np.float32) for name, shape in official_shapes(NARROW).items()}


@pytest.fixture
def file(arrays: Arrays, tmp_path: Path) -> Path:
    np.savez(tmp_path / "vit.npz", **arrays)
    return tmp_path / "vit.npz"


def make_network(in_channels: int = 1) -> TransUNet:
    return TransUNet(in_channels, 4, **NARROW, decoder_channels=(16, 8, 8, 8, 4)).eval()


def encode(network: TransUNet, images: torch.Tensor) -> torch.Tensor:
    """What the decoder gets, in double precision."""
    inputs: list[torch.Tensor] = []
    handle = network.double().decoder.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    network(images.double())
    handle.remove()
    return inputs[0]


def test_the_official_file_and_the_network_of_its_size_hold_the_same_numbers() -> None:
    with torch.device("meta"):
        network = TransUNet(1, 9, **OFFICIAL)
    parameters = sum(p.numel() for part in (network.resnet, network.transformer) for p in part.parameters())
    used = [shape for name, shape in official_shapes(OFFICIAL).items() if name.split("/")[0] not in UNUSED]
    assert sum(map(math.prod, used)) - 768 == parameters  # 768: the class token's position


@pytest.mark.parametrize("in_channels", [1, 3])
def test_a_network_filled_from_a_file_computes_what_the_files_arrays_say(arrays: Arrays, file: Path, in_channels: int) -> None:
    network = make_network(in_channels)
    assert load_vit_npz(network, str(file)) is network
    images = torch.rand(2, in_channels, 48, 48)
    assert_close(encode(network, images), reference(arrays, images.expand(-1, 3, -1, -1), NARROW), atol=1e-9, rtol=1e-9)


def test_every_array_that_is_used_changes_the_result(arrays: Arrays) -> None:
    """So that the comparison above is blind to none of them."""
    images = torch.rand(1, 3, 48, 48)
    expected = reference(arrays, images, NARROW)
    for name in [name for name in arrays if name.split("/")[0] not in UNUSED]:
        changed = arrays[name] + np.random.default_rng(1).normal(0, 0.1, arrays[name].shape)
        difference = (reference({**arrays, name: changed}, images, NARROW) - expected).abs().max()
        # softmax does not see a number added to all keys' products with a query
        assert (difference < 1e-9) == name.endswith("key/bias"), name


def test_a_number_in_the_file_is_found_where_its_position_says(arrays: Arrays, tmp_path: Path) -> None:
    arrays["Transformer/encoderblock_1/MultiHeadDotProductAttention_1/key/bias"][2, 5] = 7
    arrays["Transformer/encoderblock_0/MultiHeadDotProductAttention_1/value/kernel"][11, 1, 3] = 8
    np.savez(tmp_path / "vit.npz", **arrays)
    network = load_vit_npz(make_network(), tmp_path / "vit.npz")
    layers = network.transformer.layers
    assert layers[1].attn.qkv.bias[24 + 2 * 8 + 5] == 7
    assert layers[0].attn.qkv.weight[48 + 1 * 8 + 3, 11] == 8


def test_other_numbers_of_channels_get_the_mean_of_the_colours(arrays: Arrays, file: Path) -> None:
    network = load_vit_npz(make_network(in_channels=4), file)
    kernel = torch.from_numpy(arrays["conv_root/kernel"]).permute(3, 2, 0, 1)
    assert_close(network.resnet.conv_root.weight.detach(), kernel.mean(1, keepdim=True).repeat(1, 4, 1, 1))


def test_the_decoder_and_the_head_stay_as_they_were(file: Path) -> None:
    network = make_network()
    before = {name: value.clone() for name, value in network.state_dict().items() if name.startswith(("decoder", "head"))}
    after = load_vit_npz(network, file).state_dict()
    assert before
    assert_close({name: after[name] for name in before}, before, atol=0, rtol=0)


def without_axes_of_one(arrays: Arrays) -> Arrays:
    return {name: array.squeeze() if "/gn" in f"/{name}" else array for name, array in arrays.items()}


def without_class_token(arrays: Arrays) -> Arrays:
    return {**arrays, POSITIONS: arrays[POSITIONS][:, 1:]}


def without_classifier(arrays: Arrays) -> Arrays:
    return {name: array for name, array in arrays.items() if name.split("/")[0] not in UNUSED}


@pytest.mark.parametrize("change", [without_axes_of_one, without_class_token, without_classifier])
def test_files_of_other_versions_of_the_format_give_the_same_network(
    arrays: Arrays, file: Path, tmp_path: Path, change: Callable[[Arrays], Arrays]
) -> None:
    np.savez(tmp_path / "other.npz", **change(arrays))
    network, other = make_network(), make_network()
    other.load_state_dict(network.state_dict())
    expected = load_vit_npz(network, file).state_dict()
    assert_close(load_vit_npz(other, tmp_path / "other.npz").state_dict(), expected, atol=0, rtol=0)


def test_the_log_counts_the_tensors_and_gives_the_sha256(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    load_vit_npz(make_network(), file)
    count = len(official_shapes(NARROW)) - 5
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert f"{file}: {count} of {count} tensors loaded, sha256 {digest}" in caplog.text


def test_random_leaves_the_network_as_it_is_and_warns(caplog: pytest.LogCaptureFixture) -> None:
    network = make_network()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert load_vit_npz(network, "random") is network
    assert_close(dict(network.state_dict()), before, atol=0, rtol=0)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "NOT pretrained" in record.getMessage()


def test_a_missing_file_is_an_error_with_its_path_and_the_download_command(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"R50%2BViT-B_16\.npz") as error:
        load_vit_npz(make_network(), tmp_path / "vit.npz")
    assert f"curl -fLo {tmp_path / 'vit.npz'} https://" in str(error.value)
    assert "--transformer_weights random" in str(error.value)


def assert_refused(path: Path, reason: str) -> None:
    """By a ValueError that names the file, and before any parameter is changed."""
    network = make_network()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(ValueError, match=reason) as error:
        load_vit_npz(network, path)
    assert str(path) in str(error.value)
    assert_close(dict(network.state_dict()), before, atol=0, rtol=0)


def without_an_array(arrays: Arrays) -> Any:
    return {name: array for name, array in arrays.items() if name != QUERY}


def with_a_surplus_array(arrays: Arrays) -> Any:
    return {**arrays, "block1/unit9/conv1/kernel": np.zeros((1, 1, 128, 32), np.float32)}


def of_a_vit_on_raw_patches(arrays: Arrays) -> Any:
    patches = {name: array for name, array in arrays.items() if not name.startswith(("block", "conv_root", "gn_root"))}
    return {**patches, "embedding/kernel": np.zeros((16, 16, 3, 24), np.float32)}


def with_other_heads(arrays: Arrays) -> Any:
    return {**arrays, QUERY: arrays[QUERY].reshape(24, 4, 6)}


def with_other_positions(arrays: Arrays) -> Any:
    return {**arrays, POSITIONS: np.zeros((1, 17, 24), np.float32)}


def with_nan(arrays: Arrays) -> Any:
    arrays[QUERY][0, 0, 0] = np.nan
    return arrays


def as_integers(arrays: Arrays) -> Any:
    return {**arrays, QUERY: np.ones(arrays[QUERY].shape, np.int32)}


def as_words(arrays: Arrays) -> Any:
    return {**arrays, QUERY: np.full(arrays[QUERY].shape, "one")}


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (without_an_array, f"1 of its tensors are missing and 0 do not belong .*{QUERY}.* must be Google's"),
        (with_a_surplus_array, "0 of its tensors are missing and 1 do not belong .*unit9"),
        (of_a_vit_on_raw_patches, "of its tensors are missing and 0 do not belong .* must be Google's R50"),
        (with_other_heads, rf"{QUERY} has the shape \(24, 4, 6\), the network needs \(24, 3, 8\)"),
        (with_other_positions, rf"{POSITIONS} has the shape \(1, 17, 24\), the network needs \(1, 9, 24\)"),
        (with_nan, f"{QUERY} holds NaN"),
        (as_integers, f"{QUERY} has the type torch.int32"),
        (as_words, "holds more than arrays"),
    ],
)
def test_wrong_content_is_refused(arrays: Arrays, tmp_path: Path, spoil: Callable[[Arrays], Any], reason: str) -> None:
    np.savez(tmp_path / "vit.npz", **spoil(arrays))
    assert_refused(tmp_path / "vit.npz", reason)


def test_integers_are_refused_also_where_colours_are_averaged(arrays: Arrays, tmp_path: Path) -> None:
    arrays["conv_root/kernel"] = np.ones(arrays["conv_root/kernel"].shape, np.int32)
    np.savez(tmp_path / "vit.npz", **arrays)
    with pytest.raises(ValueError, match="conv_root/kernel has the"):
        load_vit_npz(make_network(in_channels=4), tmp_path / "vit.npz")


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.999])
def test_a_truncated_file_is_refused(file: Path, kept: float) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: int(kept * len(content))])
    assert_refused(file, "damaged")


def test_a_flipped_bit_is_noticed(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert_refused(file, "damaged")


def test_files_that_are_no_archive_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "vit.npz"
    path.write_text("<html>404 Not Found</html>\n")
    assert_refused(path, "damaged")
    with path.open("wb") as stream:
        np.save(stream, np.zeros(3))
    assert_refused(path, "damaged")


class CreatesAFileWhenUnpickled:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Path]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["head/kernel", QUERY])
def test_pickled_content_is_refused_and_not_run(arrays: Arrays, tmp_path: Path, name: str) -> None:
    path, proof = tmp_path / "vit.npz", tmp_path / "executed"
    np.savez(path, **{**arrays, name: np.array(CreatesAFileWhenUnpickled(proof), dtype=object)})
    assert_refused(path, "more than arrays")
    path.write_bytes(pickle.dumps(CreatesAFileWhenUnpickled(proof)))
    assert_refused(path, "more than arrays")
    assert not proof.exists()
    pickle.loads(path.read_bytes())
    assert proof.exists()  # the file would have run its code
