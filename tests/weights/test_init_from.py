"""A new network starts from a trained one: what fits is copied, the rest stays fresh, and the log says what is what."""

import copy
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import NARROW
from monai.networks.nets import UNet
from torch import nn

from scripts.files.checkpoint_file import write_checkpoint
from scripts.networks import SAM3D, DetailPyramid, NoEncoder, ResidualDecoder, SAMSliceEncoder
from scripts.weights import init_from, load_sam_encoder
from scripts.weights.sam_checkpoint import fill_at_random

OLD = ("background", "liver", "kidney", "vessel")
WIDTHS = (16, 8, 8, 4)
FIRST = "decoder.stages.0.conv1.weight"


def labels(names: Sequence[str]) -> dict[str, str]:
    """Values with gaps: a class is a row, not a value."""
    return {str(3 * row): name for row, name in enumerate(names)}


def new_network(encoder: SAMSliceEncoder, classes: int = 4, modalities: int = 1, seed: int = 5, **options: Any) -> SAM3D:
    network = SAM3D(encoder, ResidualDecoder(256 * modalities, classes, WIDTHS, **options))
    fill_at_random(network.decoder, seed)
    return network


@pytest.fixture(params=["model.pt", "last.pt"])
def trained(request: pytest.FixtureRequest, narrow_encoder: SAMSliceEncoder, tmp_path: Path) -> tuple[SAM3D, Path]:
    return save(new_network(narrow_encoder, seed=1), tmp_path / request.param)


def save(network: nn.Module, path: Path, names: Sequence[str] = OLD) -> Any:
    state = network.state_dict()
    write_checkpoint(path, {"network": state, "epoch": 3} if path.name == "last.pt" else state, {"labels": labels(names)})
    return network, path


def differing(network: nn.Module, other: nn.Module) -> set[str]:
    """The tensors of the first that are not those of the second, or whose shape is another."""
    first, second = network.state_dict(), other.state_dict()
    return {name for name in first if name not in second or not torch.equal(first[name], second[name])}


def heads(network: SAM3D) -> list[nn.Conv3d]:
    """The last layer of each."""
    return [[layer for layer in head.modules() if isinstance(layer, nn.Conv3d)][-1] for head in network.decoder.heads]


def said(caplog: pytest.LogCaptureFixture) -> str:
    """The one line about what was copied."""
    (line,) = [record.message for record in caplog.records if " tensors" in record.message and "init_from" in record.message]
    return line


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.fixture(autouse=True)
def whole_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


def test_with_the_same_classes_everything_is_copied(trained: Any, caplog: pytest.LogCaptureFixture) -> None:
    network, path = new_network(trained[0].encoder), trained[1]
    assert init_from(network, str(path), labels(OLD)) is network
    assert differing(network, trained[0]) == set()
    assert said(caplog) == (
        f"init_from: {path}: 8 of 8 tensors, 4 rows of the heads by class name (background, liver, kidney, vessel); "
        "fresh: nothing"
    )
    assert warnings(caplog) == []


@pytest.mark.parametrize("head", ["linear", "convolutional"])
@pytest.mark.parametrize(
    ("now", "fresh"),
    [
        (("background", "vessel", "liver", "kidney"), []),  # in another order
        (("background", "kidney"), []),  # fewer
        (("background", "spleen", "liver", "kidney", "vessel"), ["spleen"]),  # one more, and all others move
        (("other", "liver", "left kidney", "vessel"), ["left kidney"]),  # renamed; the background is the background
        (("background", "tumour"), ["tumour"]),
        (("liver", "kidney", "background"), ["background"]),  # a name does not make a background of a class
    ],
)
def test_rows_of_the_heads_follow_the_names_of_their_classes(
    narrow_encoder: SAMSliceEncoder,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    head: str,
    now: tuple[str, ...],
    fresh: list[str],
) -> None:
    old, path = save(new_network(narrow_encoder, seed=1, head=head), tmp_path / "model.pt")
    network = new_network(narrow_encoder, len(now), head=head)
    before = copy.deepcopy(network)
    init_from(network, path, labels(now))
    for new, trained, untouched in zip(heads(network), heads(old), heads(before), strict=True):
        for row, name in enumerate(now):
            source, index = (trained, OLD.index(name) if row else 0) if name not in fresh else (untouched, row)
            assert torch.equal(new.weight[row], source.weight[index]), name
            assert torch.equal(new.bias[row], source.bias[index]), name
    last = {name for name in network.state_dict() if re.fullmatch(r"decoder\.heads\.\d\.(3\.)?(weight|bias)", name)}
    assert differing(network, old) <= last
    count = 8 if head == "linear" else 16  # tensors of the stages, and of the first layers of the heads
    known = [name for name in now if name not in fresh]
    assert f"{count} of {count} tensors, {len(known)} rows of the heads by class name ({', '.join(known)})" in said(caplog)
    assert said(caplog).endswith("; fresh: " + (", ".join(f"class {name}" for name in fresh) or "nothing"))


def test_a_class_goes_by_its_name_also_where_a_hidden_layer_has_as_many_channels(
    narrow_encoder: SAMSliceEncoder, tmp_path: Path
) -> None:
    old, path = save(new_network(narrow_encoder, seed=1, head="convolutional"), tmp_path / "model.pt")
    network = new_network(narrow_encoder, head="convolutional")
    init_from(network, path, labels(("background", "vessel", "kidney", "liver")))
    hidden = "decoder.heads.1.0.weight"
    assert network.state_dict()[hidden].shape[0] == len(OLD)
    assert hidden not in differing(network, old)


def test_a_file_that_names_no_classes_leaves_the_heads_fresh(
    narrow_encoder: SAMSliceEncoder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    old, network = new_network(narrow_encoder, seed=1), new_network(narrow_encoder)
    torch.save(old.state_dict(), tmp_path / "model.pt")
    init_from(network, tmp_path / "model.pt", labels(OLD))
    assert all(name.startswith("decoder.heads.") for name in differing(network, old))
    assert len(differing(network, old)) == 8
    assert "8 of 8 tensors, 0 rows of the heads by class name (none); fresh: decoder.heads.0.weight" in said(caplog)
    assert said(caplog).endswith("and 3 more")


@pytest.mark.parametrize("detail", [False, True])
def test_with_other_modalities_the_layers_that_read_them_stay_fresh(
    narrow_encoder: SAMSliceEncoder, tmp_path: Path, caplog: pytest.LogCaptureFixture, detail: bool
) -> None:
    def build(modalities: int, seed: int) -> SAM3D:
        options: dict[str, Any] = {"detail_channels": (8, 8, 4, 4), "entrance_channels": 8} if detail else {}
        network = SAM3D(
            narrow_encoder,
            ResidualDecoder(256 * modalities, 4, WIDTHS, **options),
            DetailPyramid(modalities, (4, 4, 8, 8)) if detail else None,
        )
        fill_at_random(nn.ModuleList(part for part in (network.decoder, network.detail) if part is not None), seed)
        return network

    old, path = save(build(1, seed=1), tmp_path / "model.pt")
    network = build(2, seed=5)
    before = copy.deepcopy(network)
    init_from(network, path, labels(OLD))
    fresh = {"decoder.entrance.0.weight", "detail.levels.0.shrink.weight"} if detail else {FIRST}
    assert differing(network, old) == fresh
    assert not fresh & differing(network, before)
    assert {*said(caplog).partition("; fresh: ")[2].split(", ")} == fresh


def test_another_encoder_is_said_and_stays(trained: Any, caplog: pytest.LogCaptureFixture) -> None:
    other = SAMSliceEncoder(NARROW)
    fill_at_random(other, seed=9)
    network, digest = new_network(other), other.sha256().clone()
    init_from(network, trained[1], labels(OLD))
    assert differing(network, trained[0]) == {"encoder_sha256"}
    assert torch.equal(other.sha256(), digest)
    (warning,) = warnings(caplog)
    assert f"{trained[1]} was trained on another encoder" in warning


@pytest.mark.parametrize("trainable", [True, False])
def test_an_encoder_that_was_trained_is_copied_into_one_that_is_trained_and_not_into_a_frozen_one(
    narrow_encoder: SAMSliceEncoder, tmp_path: Path, caplog: pytest.LogCaptureFixture, trainable: bool
) -> None:
    narrow_encoder.trained = frozenset(narrow_encoder.pretrained())
    old, path = save(new_network(narrow_encoder, seed=1), tmp_path / "model.pt")
    encoder = SAMSliceEncoder(NARROW, trainable=trainable)
    fill_at_random(encoder, seed=9)
    network, digest = new_network(encoder), encoder.sha256().clone()
    init_from(network, path, labels(OLD))
    assert torch.equal(network.encoder.sha256(), old.encoder.sha256() if trainable else digest)
    assert len(warnings(caplog)) == (0 if trainable else 1)
    assert trainable or "was trained in it is frozen in this run" in warnings(caplog)[0]


@pytest.mark.parametrize(
    ("before", "now", "copied"),
    [
        ({}, {"lora_rank": 2}, True),  # the updates begin where the encoder is that of the checkpoint
        ({"lora_rank": 2}, {"lora_rank": 2}, True),
        ({"trained_blocks": 1}, {"trained_blocks": 1}, True),
        ({"trained_blocks": 1}, {"trained_blocks": 2}, True),
        ({"trained_blocks": 2}, {"trained_blocks": 1}, False),
        ({"lora_rank": 2}, {}, False),
        ({"lora_rank": 2}, {"lora_rank": 3}, False),
    ],
)
def test_what_was_trained_of_an_encoder_is_copied_where_it_is_trained_and_a_word_said_where_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, before: Any, now: Any, copied: bool
) -> None:
    vit = {**NARROW, "depth": 6}  # LoRA's tensors alone are more than the decoder's
    old, new = (load_sam_encoder(SAMSliceEncoder(vit, **options), "random", seed=4) for options in (before, now))
    state = {name: torch.randn(value.shape) for name, value in old.named_parameters() if name in old.trained}
    old.load_state_dict(state, strict=False)
    caplog.clear()
    saved, path = save(new_network(old, seed=1), tmp_path / "model.pt")
    network = init_from(new_network(new), path, labels(OLD))
    volume = torch.rand(1, 1, 32, 48, 2)
    with torch.no_grad():
        assert torch.equal(network.encoder(volume), saved.encoder(volume)) == copied
    assert len(warnings(caplog)) == (0 if copied else 1)
    assert copied or "was trained too" in warnings(caplog)[0]


def test_training_the_encoder_too_may_start_from_a_network_with_a_frozen_one(
    trained: Any, caplog: pytest.LogCaptureFixture
) -> None:
    encoder = copy.deepcopy(trained[0].encoder)
    encoder.trained = frozenset(encoder.pretrained())
    network = new_network(encoder)
    init_from(network, trained[1], labels(OLD))
    assert differing(network.decoder, trained[0].decoder) == set()
    assert "8 of 8 tensors" in said(caplog)
    assert warnings(caplog) == []


def refused(network: nn.Module, path: Path, words: str) -> None:
    """Without a change of the network."""
    before = copy.deepcopy(network)
    with pytest.raises((ValueError, FileNotFoundError), match=words) as error:
        init_from(network, path, labels(OLD))
    assert str(path) in str(error.value)
    assert differing(network, before) == set()


@pytest.mark.parametrize("other", ["detail", "unet", "encoder", "empty"])
def test_the_checkpoint_of_another_network_is_refused(narrow_encoder: SAMSliceEncoder, tmp_path: Path, other: str) -> None:
    decoder = ResidualDecoder(0, 4, (24, 12, 10, 6), detail_channels=(8, 8, 4, 4))
    networks: dict[str, nn.Module] = {
        "detail": SAM3D(NoEncoder(), decoder, DetailPyramid(1, (4, 4, 8, 8))),
        "unet": UNet(3, 1, 4, (4, 8), (2,)),
        "encoder": narrow_encoder,
        "empty": nn.Sequential(),
    }
    save(networks[other], tmp_path / "model.pt")
    words = r"at least half .* 0 of 8 do \(for example decoder.* another network.* by --network .*--encoder-weights"
    refused(new_network(narrow_encoder), tmp_path / "model.pt", words)


def test_half_of_a_network_is_enough_and_less_is_not(
    narrow_encoder: SAMSliceEncoder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    network, state = new_network(narrow_encoder), new_network(narrow_encoder, seed=1).state_dict()
    stages = [name for name in state if name.startswith("decoder.stages.")]
    for count in (3, 4):
        write_checkpoint(tmp_path / f"{count}.pt", {name: state[name] for name in stages[:count]}, {"labels": labels(OLD)})
    refused(network, tmp_path / "3.pt", "3 of 8 do")
    init_from(network, tmp_path / "4.pt", labels(OLD))
    assert "4 of 8 tensors" in said(caplog)


def test_a_file_that_is_not_there_damaged_or_no_checkpoint_is_refused(
    narrow_encoder: SAMSliceEncoder, trained: Any, tmp_path: Path
) -> None:
    network, damaged = new_network(narrow_encoder), tmp_path / "damaged.pt"
    content = bytearray(trained[1].read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    (tmp_path / "text.pt").write_text("no checkpoint")
    refused(network, tmp_path / "none.pt", "no checkpoint at")
    refused(network, damaged, "cannot be read as a checkpoint: it is damaged")
    refused(network, tmp_path / "text.pt", "cannot be read as a checkpoint of tensors")


@pytest.mark.parametrize("name", [FIRST, "decoder.heads.2.bias"])
@pytest.mark.parametrize(
    ("spoilt", "words"),
    [
        (torch.full((4,), torch.nan), "holds NaN"),
        (torch.ones(4, dtype=torch.int32), "has the type"),
        ("x", "is of the type str"),
    ],
)
def test_tensors_that_no_training_gives_are_refused(
    narrow_encoder: SAMSliceEncoder, tmp_path: Path, name: str, spoilt: Any, words: str
) -> None:
    state = {**new_network(narrow_encoder, seed=1).state_dict(), name: spoilt}
    write_checkpoint(tmp_path / "model.pt", state, {"labels": labels(OLD)})
    refused(new_network(narrow_encoder), tmp_path / "model.pt", f"{name} {words}")


@pytest.mark.parametrize("names", [OLD, ("background", "kidney", "liver", "vessel")])
def test_of_a_network_without_heads_the_order_of_the_classes_is_said_where_it_is_another(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, names: tuple[str, ...]
) -> None:
    old, path = save(UNet(3, 1, 4, (4, 8), (2,)), tmp_path / "model.pt", names)
    network = UNet(3, 1, 4, (4, 8), (2,))
    init_from(network, path, labels(OLD))
    assert differing(network, old) == set()
    assert said(caplog).endswith("tensors; fresh: nothing")
    assert [f"in the order of {', '.join(names)}; now" in line for line in warnings(caplog)] == [True] * (names != OLD)


def test_the_names_that_torch_puts_before_a_network_are_left_off(narrow_encoder: SAMSliceEncoder, tmp_path: Path) -> None:
    old, network = new_network(narrow_encoder, seed=1), new_network(narrow_encoder)
    state = {f"module.{name}": value for name, value in old.state_dict().items()}
    write_checkpoint(tmp_path / "model.pt", state, {"labels": labels(OLD)})
    init_from(network, tmp_path / "model.pt", labels(OLD))
    assert differing(network, old) == set()


def test_regions_start_with_the_outputs_of_their_names(narrow_encoder: SAMSliceEncoder, tmp_path: Path) -> None:
    regions = {"whole": [3, 6], "kidney": [6]}
    old, path = new_network(narrow_encoder, 2, seed=1), tmp_path / "model.pt"
    write_checkpoint(path, old.state_dict(), {"labels": labels(OLD), "regions": regions})
    more = init_from(new_network(narrow_encoder, 3), path, labels(OLD), {"new": [9], "kidney": [6], "whole": [3, 6]})
    classes = init_from(new_network(narrow_encoder, 4), path, labels(OLD))
    fresh = new_network(narrow_encoder, 4)
    for before, wider, of_class, unchanged in zip(*map(heads, (old, more, classes, fresh)), strict=True):
        assert torch.equal(wider.weight[[2, 1]], before.weight)
        assert torch.equal(of_class.weight[2], before.weight[1])
        assert torch.equal(of_class.weight[0], unchanged.weight[0])  # a region is no background
