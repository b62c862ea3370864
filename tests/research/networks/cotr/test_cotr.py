"""CoTr: the parameters of the released code, a transformer that reaches the whole volume, trainable and exportable."""

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from scripts.research.networks.cotr.cotr import CoTr, centres, sinusoids


def narrow(in_channels: int = 1) -> CoTr:
    torch.manual_seed(0)
    return CoTr(in_channels, 3, (4, 6, 12, 12), (1, 1, 1), num_layers=2, num_heads=2, num_points=2, mlp_dim=24)


def volume(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1))


def parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_parameters_are_those_of_the_released_code() -> None:
    """41.9 M: its layers one by one, without the three heads for deep supervision (9,002 at 14 classes).

    github.com/YtongXie/CoTr, CoTr_package/CoTr/network_architecture: ResTranUnet.py, CNNBackbone.py and DeTrans.
    """
    with torch.device("meta"):
        network = CoTr(1, 14)

    def convolution(before: int, after: int, kernel: int) -> int:
        return before * after * kernel**3 + 2 * after  # no bias, affine normalisation

    def stage(before: int, after: int, count: int) -> int:
        return convolution(before, after, 3) + convolution(before, after, 1) + (count - 1) * convolution(after, after, 3)

    encoder = convolution(1, 64, 7) + stage(64, 192, 3) + stage(192, 384, 3) + stage(384, 384, 2)
    points = 6 * 2 * 4  # heads, levels, points
    attention = (384 + 1) * (3 * points + points + 2 * 384)
    layer = attention + (384 + 1) * 1536 + (1536 + 1) * 384 + 4 * 384
    decoder = sum(8 * b * a + 2 * convolution(a, a, 3) for b, a in ((384, 384), (384, 192), (192, 64)))
    assert parameters(network.stem) + parameters(network.stages) == encoder
    assert parameters(network.transformer) == 6 * layer == 9_316_224
    assert parameters(network) == encoder + 6 * layer + 2 * 384 + decoder + (64 + 1) * 14 == 41_863_502
    assert parameters(network) == pytest.approx(41.9e6, rel=0.005)


@pytest.mark.parametrize("shape", [(32, 32, 8), (32, 16, 8), (48, 32, 16)])
def test_logits_have_the_size_of_the_volume(shape: tuple[int, int, int]) -> None:
    network = narrow(2).train()
    assert network(volume(2, 2, *shape)).shape == (2, 3, *shape)


def test_the_first_stride_leaves_the_depth_and_the_others_halve_all_axes() -> None:
    network = narrow()
    features, sizes = network.stem(volume(1, 1, 64, 32, 16)), []
    sizes.append(tuple(features.shape[2:]))
    for stage in network.stages:
        features = stage(features)
        sizes.append(tuple(features.shape[2:]))
    assert sizes == [(32, 16, 16), (16, 8, 8), (8, 4, 4), (4, 2, 2)]


def test_the_transformer_carries_both_levels_in_the_order_of_their_positions() -> None:
    network = narrow().eval()
    levels = [volume(2, 12, 4, 3, 2), volume(2, 12, 2, 2, 1)]
    network.transformer = torch.nn.ModuleList()
    for before, after in zip(levels, network.transform(levels), strict=True):
        assert_close(after, before)


def test_both_levels_see_each_other() -> None:
    network = narrow().eval()
    levels = [volume(1, 12, 4, 4, 2), volume(1, 12, 2, 2, 1)]
    before = network.transform(levels)
    finer, coarser = network.transform([levels[0] + torch.randn(1, 12, 1, 1, 1), levels[1]])
    assert (coarser - before[1]).abs().max() > 1e-4
    finer, coarser = network.transform([levels[0], levels[1] + torch.randn(1, 12, 1, 1, 1)])
    assert (finer - before[0]).abs().max() > 1e-4


def test_places_are_centres_of_voxels_and_positions_their_sines_and_cosines() -> None:
    places = centres((2, 1, 4), torch.zeros(0, dtype=torch.float64))
    assert places[5].tolist() == [0.75, 0.5, 0.375]  # voxel (1, 0, 1)
    encoding = sinusoids(places, 12)[5].reshape(3, 2, 2)
    for axis, place in enumerate((0.75, 0.5, 0.375)):
        for k in range(2):
            angle = torch.tensor(2 * torch.pi * place / 10000 ** (2 * k / 4), dtype=torch.float64)
            assert_close(encoding[axis, k], torch.stack([angle.sin(), angle.cos()]))


def test_the_decoder_adds_every_level_refines_the_sum_and_its_head_answers_at_full_size() -> None:
    network = narrow().eval()
    batch = volume(1, 1, 32, 32, 16)
    half = network.stem(batch)
    quarter = network.stages[0](half)
    eighth = network.stages[1](quarter)
    eighth, sixteenth = network.transform([eighth, network.stages[2](eighth)])
    features = sixteenth
    for level, skip in enumerate((eighth, quarter, half)):
        total = network.upsampling[level](features) + skip
        features = total + network.decoder[level](total)
    enlarged = F.interpolate(features, size=(32, 32, 16), mode="trilinear", align_corners=False)
    assert_close(network(batch), network.head(enlarged))


def test_channels_that_the_transformer_cannot_take_are_refused() -> None:
    with pytest.raises(ValueError, match=r"alike.*got \[4, 6, 12, 18\]"):
        CoTr(1, 3, (4, 6, 12, 18))
    with pytest.raises(ValueError, match=r"multiple of 6.*got \[4, 6, 8, 8\]"):
        CoTr(1, 3, (4, 6, 8, 8))


def test_a_trace_answers_as_the_network() -> None:
    network = narrow().eval()
    traced = torch.jit.trace(network, volume(1, 1, 32, 32, 8))
    other = torch.randn(1, 1, 32, 32, 8)
    assert_close(traced(other), network(other))


def test_the_loss_falls_at_the_learning_rate_of_the_config() -> None:
    network = narrow().train()
    batch = volume(2, 1, 4, 4, 1).repeat_interleave(8, 2).repeat_interleave(8, 3).repeat_interleave(8, 4)  # blocks
    labels = (batch[:, 0] > 0.5).long() + (batch[:, 0] > 0.8)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-4, weight_decay=0.01)
    losses = []
    for _ in range(12):
        loss = F.cross_entropy(network(batch), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert all(torch.isfinite(parameter).all() for parameter in network.parameters())
    assert losses[-1] < 0.9 * losses[0], losses
