"""The bundle's own checkpoints: both kinds load, and whatever does not fit is an error that names the file."""

import copy
import hashlib
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from scripts.files.checkpoint_file import write_checkpoint
from scripts.networks import SAM3D, ResidualDecoder, SAMSliceEncoder
from scripts.weights import load_checkpoint
from scripts.weights.sam_checkpoint import fill_at_random

State = dict[str, torch.Tensor]
CONV = "decoder.stages.1.conv2.weight"


@pytest.fixture
def other_decoder(narrow_network: SAM3D) -> SAM3D:
    """The same encoder, a decoder with other values."""
    network = copy.deepcopy(narrow_network)
    fill_at_random(network.decoder, seed=1)
    return network


def parameters(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in network.named_parameters()}


@pytest.mark.parametrize("name", ["model.pt", "last.pt"])
def test_both_kinds_of_checkpoint_load(narrow_network: SAM3D, other_decoder: SAM3D, tmp_path: Path, name: str) -> None:
    state = narrow_network.state_dict()
    torch.save({"network": state, "epoch": 3} if name == "last.pt" else state, tmp_path / name)
    assert load_checkpoint(other_decoder, str(tmp_path / name)) is other_decoder
    assert_close(parameters(other_decoder), parameters(narrow_network), atol=0, rtol=0)


def test_the_log_counts_the_tensors_and_gives_the_sha256(
    narrow_network: SAM3D, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    path, state = tmp_path / "model.pt", narrow_network.state_dict()
    torch.save(state, path)
    load_checkpoint(narrow_network, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert f"{path}: {len(state)} of {len(state)} tensors loaded, sha256 {digest}" in caplog.text


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
def test_prefixes_of_torch_are_left_off_with_a_log_line(
    narrow_network: SAM3D, other_decoder: SAM3D, tmp_path: Path, caplog: pytest.LogCaptureFixture, prefix: str
) -> None:
    caplog.set_level(logging.INFO)
    torch.save({prefix + name: value for name, value in narrow_network.state_dict().items()}, tmp_path / "model.pt")
    load_checkpoint(other_decoder, tmp_path / "model.pt")
    assert_close(parameters(other_decoder), parameters(narrow_network), atol=0, rtol=0)
    assert f"'{prefix}' is left off" in caplog.text


@pytest.mark.parametrize("saved_trainable", [True, False])
@pytest.mark.parametrize("trainable", [True, False])
def test_a_network_saved_with_its_encoder_loads_into_one_that_leaves_it_out_and_the_other_way_round(
    narrow_network: SAM3D, other_decoder: SAM3D, tmp_path: Path, saved_trainable: bool, trainable: bool
) -> None:
    for network, whole in ((narrow_network, saved_trainable), (other_decoder, trainable)):
        network.encoder.trained = frozenset(network.encoder.pretrained() if whole else ())
    torch.save(narrow_network.state_dict(), tmp_path / "model.pt")
    load_checkpoint(other_decoder, tmp_path / "model.pt")
    assert_close(parameters(other_decoder), parameters(narrow_network), atol=0, rtol=0)


def test_integer_buffers_load(tmp_path: Path) -> None:
    network = nn.BatchNorm3d(2)  # counts its batches in an int64
    torch.save({**network.state_dict(), "num_batches_tracked": torch.tensor(7)}, tmp_path / "model.pt")
    assert load_checkpoint(network, tmp_path / "model.pt").num_batches_tracked == 7


def test_a_missing_file_is_named(narrow_network: SAM3D, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as error:
        load_checkpoint(narrow_network, tmp_path / "model.pt")
    assert str(tmp_path / "model.pt") in str(error.value)


def assert_refused(network: nn.Module, path: Path, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as error:
        load_checkpoint(network, path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("content", [[torch.zeros(1)], {"network": [torch.zeros(1)]}, {}, {"network": {}}])
def test_wrong_content_is_refused(narrow_network: SAM3D, tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "model.pt")
    assert_refused(narrow_network, tmp_path / "model.pt", r"model\.pt")


def test_a_damaged_file_is_refused(narrow_network: SAM3D, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save(narrow_network.state_dict(), path)
    path.write_bytes(path.read_bytes()[:-1000])
    assert_refused(narrow_network, path, "damaged")


def with_nan(state: State) -> State:
    state[CONV][0] = torch.nan
    return state


def as_integers(state: State) -> State:
    return {**state, CONV: state[CONV].int()}


def without_a_tensor(state: State) -> State:
    return {name: value for name, value in state.items() if name != CONV}


def with_a_surplus_tensor(state: State) -> State:
    return {**state, "decoder.more": torch.ones(1)}


def part_of_it_with_a_prefix(state: State) -> State:
    return {name if name == CONV else "module." + name: value for name, value in state.items()}


def twice(state: State) -> State:
    return {**state, **{"module." + name: value for name, value in state.items()}}


def with_a_wrong_shape(state: State) -> State:
    return {**state, CONV: state[CONV][:, 1:]}


def of_another_network(state: State) -> State:
    return dict(nn.Linear(3, 3).state_dict())


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (with_nan, f"{CONV} holds NaN"),
        (as_integers, rf"{CONV} has the type torch\.int32, the network needs torch\.float32"),
        (without_a_tensor, f"1 of its tensors are missing and 0 do not belong .*{CONV}"),
        (with_a_surplus_tensor, r"0 of its tensors are missing and 1 do not belong .*decoder\.more"),
        (part_of_it_with_a_prefix, f"1 of its tensors are missing and 1 do not belong .*{CONV}"),
        (twice, r"more than once, under '' and 'module\.'"),
        (with_a_wrong_shape, rf"{CONV} has the shape \(8, 7, 3, 3, 3\), the network needs \(8, 8, 3, 3, 3\)"),
        (of_another_network, "2 do not belong .*another network"),
    ],
)
def test_wrong_weights_are_refused(narrow_network: SAM3D, tmp_path: Path, spoil: Callable[[State], State], reason: str) -> None:
    state = {name: value.clone() for name, value in narrow_network.state_dict().items()}
    torch.save(spoil(state), tmp_path / "model.pt")
    assert_refused(narrow_network, tmp_path / "model.pt", reason)


@pytest.mark.parametrize("head", ["linear", "convolutional"])
def test_another_number_of_classes_is_said(narrow_encoder: SAMSliceEncoder, tmp_path: Path, head: str) -> None:
    three, four = (SAM3D(narrow_encoder, ResidualDecoder(256, k, (16, 8, 8, 4), head=head)) for k in (3, 4))
    torch.save(three.state_dict(), tmp_path / "model.pt")
    assert_refused(four, tmp_path / "model.pt", "has 3 classes, the preset names 4; .* another preset")


def test_a_checkpoint_of_another_preset_is_refused(narrow_network: SAM3D, tmp_path: Path) -> None:
    torch.save(narrow_network.state_dict(), tmp_path / "model.pt")
    other = SAM3D(narrow_network.encoder, ResidualDecoder(256, 5, channels=(16, 8, 8, 4)))
    assert_refused(other, tmp_path / "model.pt", "another preset")


def test_of_another_preset_the_first_difference_is_named(narrow_network: SAM3D, tmp_path: Path) -> None:
    host = {"_target_": "UNet", "channels": [4, 8]}
    trained = {"roi_depth": 8, "network_def": {"_target_": "AnySize", "network": {"host": host, "skips": None}}}
    write_checkpoint(tmp_path / "model.pt", narrow_network.state_dict(), about=trained)
    load_checkpoint(narrow_network, tmp_path / "model.pt", trained)
    wider, other = {**host, "channels": [8, 8]}, {"_target_": "VNet"}
    for changed, said in [
        (wider, "network_def#network#host#channels was [4, 8], now it is [8, 8]"),
        (other, "host#_target_ was UNet, now it is VNet"),
    ]:
        now = {**trained, "network_def": {"_target_": "AnySize", "network": {"host": changed, "skips": None}}}
        with pytest.raises(ValueError, match=re.escape(said)):
            load_checkpoint(narrow_network, tmp_path / "model.pt", now)


def test_a_checkpoint_of_another_encoder_is_refused(narrow_network: SAM3D, tmp_path: Path) -> None:
    torch.save(narrow_network.state_dict(), tmp_path / "model.pt")
    other = copy.deepcopy(narrow_network)
    other.encoder.load_state_dict({key: 2 * value for key, value in narrow_network.encoder.state_dict().items()})
    assert_refused(other, tmp_path / "model.pt", bytes(other.encoder.sha256().tolist()).hex())
