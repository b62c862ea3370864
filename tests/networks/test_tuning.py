"""What may be trained of the slice encoder: the same network at the start, gradients only there, a checkpoint only of that."""

import io
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from conftest import NARROW
from torch import nn
from torch.testing import assert_close

from scripts.networks import SAM3D, ResidualDecoder, SAMSliceEncoder, parameter_groups
from scripts.networks.depth_adapter import DepthAdapter
from scripts.networks.lora import LoRA
from scripts.weights.sam_checkpoint import fill_at_random, random_values

WAYS: dict[str, dict[str, Any]] = {
    "frozen": {},
    "last_blocks": {"trained_blocks": 1},
    "lora": {"lora_rank": 4},
    "lora and last_blocks": {"lora_rank": 2, "lora_alpha": 1, "trained_blocks": 2},
    "depth_adapter": {"adapter_width": 8},
    "trainable": {"trainable": True},
}
TUNED = list(WAYS)[1:]
LAST_BLOCK = ("image_encoder.blocks.2.", "image_encoder.neck.")
PARTS: dict[str, tuple[str, ...]] = {  # of a ViT of three blocks, what is trained
    "frozen": (),
    "last_blocks": LAST_BLOCK,
    "lora": ("lora.",),
    "lora and last_blocks": ("lora.", "image_encoder.blocks.1.", *LAST_BLOCK),
    "depth_adapter": ("depth_adapters.",),
    "trainable": ("image_encoder.",),
}


def encoder(way: str, seed: int = 0) -> SAMSliceEncoder:
    """Strong weights, as in conftest.py, and what tuning adds as it is at the start."""
    built = SAMSliceEncoder(NARROW, **WAYS[way])
    built.load_state_dict(random_values(built.pretrained(), seed, std=0.2), strict=False)
    return built


def network(way: str, seed: int = 0) -> SAM3D:
    return SAM3D(encoder(way, seed), ResidualDecoder(256, 4, channels=(16, 8, 8, 4)))


def trained(way: str, steps: int = 2) -> SAM3D:
    """After some steps of an optimizer: everything that is trained has moved."""
    built = network(way).train()
    optimizer = torch.optim.SGD(parameter_groups(built, 0.5))
    for _ in range(steps):
        optimizer.zero_grad()
        built(VOLUME)[0].square().mean().backward()
        optimizer.step()
    return built.eval()


def snapshot(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in module.named_parameters()}


def assert_equal(tensors: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]) -> None:
    assert_close(dict(tensors), dict(expected), atol=0, rtol=0)


VOLUME = torch.rand(1, 1, 240, 50, 2, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("way", TUNED)
def test_before_the_first_step_it_is_exactly_the_frozen_encoder(way: str) -> None:
    tuned, frozen = encoder(way).eval(), encoder("frozen")
    expected = frozen(VOLUME)
    with torch.no_grad():
        assert torch.equal(tuned(VOLUME), expected)
    assert_close(tuned(VOLUME), expected, atol=1e-5, rtol=1e-4)  # with gradients torch computes attention in another order
    assert torch.equal(tuned.sha256(), frozen.sha256())


@pytest.mark.parametrize("way", WAYS)
def test_only_what_is_trained_gets_gradients_and_all_of_it_moves(way: str) -> None:
    built = network(way).train()
    before = snapshot(built)
    meant = {name for name in before if name.startswith(("decoder.", *(f"encoder.{part}" for part in PARTS[way])))}
    assert {name for name, parameter in built.named_parameters() if parameter.requires_grad} == meant
    assert {f"encoder.{name}" for name in built.encoder.trained} == {name for name in meant if name.startswith("encoder.")}
    built(VOLUME)[0].square().mean().backward()
    # the other heads have no part in the finest logits; LoRA's and the adapters' first layers wait for the last ones
    late = {name for name in meant if name.startswith(("decoder.heads.", "encoder.lora", "encoder.depth"))}
    late -= {name for name in late if ".up" in name}
    got = {name for name, p in built.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}
    assert meant - late <= got <= meant
    after = snapshot(trained(way))
    assert {name for name in before if not torch.equal(after[name], before[name])} - late == meant - late
    first = {name for name in late if ".down" in name}
    assert [name for name in first if torch.equal(after[name], before[name])] == []


def kept_bytes(way: str) -> int:
    """For the backward pass of the encoder, beside its parameters."""
    built, kept = encoder(way).train(), {}
    parameters = {parameter.data_ptr() for parameter in built.parameters()}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.data_ptr() not in parameters:
            kept[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = built(VOLUME)
    del output
    return sum(kept.values())


def test_nothing_below_the_trained_blocks_is_kept_for_the_backward_pass() -> None:
    assert kept_bytes("frozen") == 0
    assert 0 < kept_bytes("last_blocks") < 0.6 * kept_bytes("trainable")  # one block of three, and the neck


def test_lora_is_the_formula_of_the_paper() -> None:
    update = LoRA(channels=6, rank=2, alpha=3)
    for parameter in update.parameters():
        nn.init.normal_(parameter)
    weight = torch.randn(18, 6)
    expected = weight.double().clone()
    for index, rows in enumerate((slice(0, 6), slice(12, 18))):  # queries and values; keys stay
        expected[rows] += 3 / 2 * update.up[index].double() @ update.down[index].double()
    assert_close(update(weight).double(), expected, atol=1e-5, rtol=0)
    assert torch.equal(update(weight)[6:12], weight[6:12])


@pytest.mark.parametrize("way", [way for way in TUNED if way != "depth_adapter"])
def test_merged_it_is_an_encoder_of_sam_with_its_names_and_its_results(way: str) -> None:
    tuned, plain = trained(way).encoder, encoder("frozen", seed=9)
    weights = tuned.merged()
    assert weights.keys() == plain.state_dict().keys()
    plain.load_state_dict(weights)
    with torch.no_grad():
        expected = tuned(VOLUME)
    assert not torch.equal(expected, encoder("frozen")(VOLUME))
    assert (plain(VOLUME) - expected).abs().max() <= 1e-6 * expected.abs().max()


@pytest.mark.parametrize("way", WAYS)
def test_a_checkpoint_holds_what_is_trained_and_the_digest_of_the_rest(way: str) -> None:
    built = trained(way)
    state = built.state_dict()
    digest = {"encoder_sha256"} if way != "trainable" else set()
    meant = {name for name, parameter in built.named_parameters() if parameter.requires_grad}
    assert state.keys() == meant | digest
    again = network(way)
    again.load_state_dict(state)
    assert_equal(snapshot(again), snapshot(built))


@pytest.mark.parametrize("way", ["last_blocks", "lora"])
def test_a_checkpoint_on_another_encoder_is_refused_and_nothing_is_loaded(way: str) -> None:
    other = network(way, seed=1)
    before = snapshot(other)
    with pytest.raises(ValueError, match="this checkpoint was trained on the encoder with sha256"):
        other.load_state_dict(trained(way).state_dict())
    assert_equal(snapshot(other), before)


@pytest.mark.parametrize("way", ["frozen", "trainable"])
def test_what_was_trained_of_the_encoder_loads_into_one_that_is_frozen_or_trained_whole(way: str) -> None:
    saved, built = trained("last_blocks"), network(way)
    built.load_state_dict(saved.state_dict())
    assert_equal(snapshot(built), snapshot(saved))


def test_the_digest_of_what_is_frozen_is_of_it_alone_and_follows_what_is_loaded() -> None:
    built = encoder("lora")
    digest = built.sha256(without=built.trained).clone()
    nn.init.ones_(built.lora[0].up)
    assert torch.equal(built.sha256(without=built.trained), digest)
    built.load_state_dict(random_values(built.pretrained(), seed=1), strict=False)
    assert not torch.equal(built.sha256(without=built.trained), digest)


def test_slices_with_adapters_cannot_be_those_of_sam() -> None:
    with pytest.raises(ValueError, match="an encoder with depth adapters cannot be written as one of SAM's"):
        encoder("depth_adapter").merged()


def strong_adapters() -> SAMSliceEncoder:
    built = SAMSliceEncoder(NARROW, **WAYS["depth_adapter"]).eval()
    fill_at_random(built, seed=0, std=0.2)
    return built


def test_adapters_mix_slices_beside_each_other_and_neither_places_nor_volumes_nor_modalities() -> None:
    mixing, plain = strong_adapters(), encoder("frozen")
    assert (mixing.mixes_slices, plain.mixes_slices) == (True, False)
    volume = torch.rand(2, 2, 32, 48, 7)
    changed = volume.clone()
    changed[0, 1, :, :, 0] = 0
    with torch.no_grad():
        before, after = (mixing(v).unflatten(1, (2, 256)) for v in (volume, changed))
        alone = mixing(volume[1:, :1])
    assert_close(before[1:, 0], alone, atol=1e-5, rtol=1e-5)
    different = (before != after).amax((2, 3, 4))  # (B, M, D)
    assert different.nonzero().tolist() == [[0, 1, place] for place in range(4)]  # three blocks, three slices further


@pytest.mark.parametrize("memory", [1e-9, 4e-5])
def test_how_many_slices_are_computed_at_once_changes_nothing(memory: float) -> None:
    mixing = strong_adapters()
    volume = torch.rand(1, 2, 32, 48, 5)
    with torch.no_grad():
        expected = mixing(volume)
        mixing.memory = memory
        assert mixing._slices_at_once(2, 3, "cpu") < 10
        assert_close(mixing(volume), expected, atol=1e-5, rtol=1e-5)


def test_the_adapter_is_a_bottleneck_with_a_convolution_along_depth() -> None:
    adapter = DepthAdapter(channels=6, width=2).double()
    for parameter in adapter.parameters():
        nn.init.normal_(parameter)
    tokens = torch.randn(1, 4, 1, 1, 6, dtype=torch.float64)
    rows = tokens[0, :, 0, 0]  # (D, C)
    normed = (rows - rows.mean(1, keepdim=True)) / (rows.var(1, keepdim=True, correction=0) + 1e-6).sqrt()
    low = (normed * adapter.norm.weight + adapter.norm.bias) @ adapter.down.weight.T + adapter.down.bias
    low = torch.cat([torch.zeros(1, 2).double(), low, torch.zeros(1, 2).double()])
    taps = adapter.mix.weight[:, 0, :, 0, 0]  # (width, 3)
    mixed = torch.stack([(low[i : i + 3] * taps.T).sum(0) for i in range(4)]) + adapter.mix.bias
    bent = mixed * 0.5 * (1 + torch.erf(mixed / 2**0.5))
    assert_close(adapter(tokens)[0, :, 0, 0], bent @ adapter.up.weight.T + adapter.up.bias)


def test_lora_updates_without_their_tensors_are_refused() -> None:
    with pytest.raises(RuntimeError, match=r"Missing key.*lora"):
        network("lora").load_state_dict(network("frozen").state_dict())


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        ({"lora_rank": 4}, 12 * 4 * 4 * 768),
        ({"adapter_width": 32}, 12 * (2 * 768 + 768 * 32 + 32 + 4 * 32 + 32 * 768 + 768)),
    ],
)
def test_of_vit_b_a_checkpoint_of_lora_or_adapters_takes_at_most_5_mb_beside_the_decoder(
    options: dict[str, int], numbers: int
) -> None:
    with torch.device("meta"):
        built = SAMSliceEncoder("vit_b", **options)
    shapes = dict(built.named_parameters())
    assert sum(shapes[name].numel() for name in built.trained) == numbers
    assert 4 * numbers < 5e6


@pytest.mark.parametrize("way", ["lora", "depth_adapter"])
def test_a_tuned_network_is_exported(way: str) -> None:
    built = trained(way)
    file = io.BytesIO()
    torch.jit.save(torch.jit.trace(built, VOLUME, check_trace=False), file)
    file.seek(0)
    assert_close(torch.jit.load(file)(VOLUME), built(VOLUME), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trained_blocks": 4}, "trained_blocks must be from 0 to 3, the ViT's depth, got 4"),
        ({"trained_blocks": 1, "trainable": True}, "set it to false, or omit the overlays"),
        ({"lora_rank": 1, "trainable": True}, "set it to false, or omit the overlays"),
        ({"lora_rank": 2, "lora_alpha": 0}, "LoRA's rank must be at least 1 and its alpha above 0, got 2 and 0"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SAMSliceEncoder(NARROW, **options)


def test_each_layer_of_the_encoder_has_a_fraction_of_the_rate_of_the_one_above_it() -> None:
    built = network("trainable")
    groups = parameter_groups(built, 0.016, layer_decay=0.5)
    names = {parameter: name for name, parameter in built.named_parameters()}
    rates = {names[parameter]: group["lr"] for group in groups for parameter in group["params"]}
    assert rates.keys() == set(names.values())
    blocks = {f"encoder.image_encoder.blocks.{index}.": rate for index, rate in enumerate((0.002, 0.004, 0.008))}
    known = {"decoder.": 0.016, "encoder.image_encoder.neck.": 0.016, **blocks}
    known |= dict.fromkeys(("encoder.image_encoder.pos_embed", "encoder.image_encoder.patch_embed."), 0.001)
    assert {name: [rate for start, rate in known.items() if name.startswith(start)] for name in rates} == {
        name: [rate] for name, rate in rates.items()
    }


@pytest.mark.parametrize("way", ["last_blocks", "lora", "depth_adapter"])
def test_parts_of_the_encoder_have_the_rates_of_their_layers(way: str) -> None:
    rates = {round(group["lr"], 6): len(group["params"]) for group in parameter_groups(network(way), 0.016, 0.5)}
    assert set(rates) == ({0.016, 0.008} if way == "last_blocks" else {0.016, 0.008, 0.004, 0.002})


def test_one_rate_for_all_is_one_group_of_what_is_trained() -> None:
    built = network("last_blocks")
    (group,) = parameter_groups(built, 0.1)
    assert group["lr"] == 0.1
    assert [*group["params"]] == [parameter for parameter in built.parameters() if parameter.requires_grad]


@pytest.mark.parametrize(
    ("way", "decay", "message"),
    [
        ("frozen", 0.5, "none of them is trained, got 0.5; omit it"),
        ("trainable", 0, "above 0 and at most 1, got 0"),
        ("trainable", 1.5, "above 0 and at most 1, got 1.5"),
    ],
)
def test_a_decay_without_effect_or_meaning_is_refused_in_words(way: str, decay: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parameter_groups(network(way), 0.1, decay)
