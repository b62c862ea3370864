"""Volumes of any size go through networks that take multiples, of volumes or of slices."""

import pytest
import torch
from monai.networks.nets import BasicUNetPlusPlus, UNet
from torch import nn

from scripts.networks import AnySize


class Watched(nn.Module):
    """Answers with what it got, and remembers its size."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[tuple[int, ...]] = []

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        self.sizes.append(tuple(features.shape))
        return features


@pytest.mark.parametrize(
    ("shape", "padded"), [((16, 32, 4), (16, 32, 4)), ((17, 5, 1), (32, 16, 4)), ((1, 33, 200), (16, 48, 200))]
)
def test_a_volume_is_padded_to_the_multiple_at_its_end_and_cropped_back(
    shape: tuple[int, int, int], padded: tuple[int, int, int]
) -> None:
    network = Watched()
    volume = torch.rand(2, 3, *shape)
    assert torch.equal(AnySize(network, [16, 16, 4])(volume), volume)
    assert network.sizes == [(2, 3, *padded)]


def test_a_small_volume_is_padded_to_the_minimum() -> None:
    network = Watched()
    sized = AnySize(network, [16, 16, 4], minimum=[32, 16, 8])
    for shape in [(9, 9, 9), (40, 40, 3)]:
        volume = torch.rand(1, 1, *shape)
        assert torch.equal(sized(volume), volume)
    assert network.sizes == [(1, 1, 32, 16, 12), (1, 1, 48, 48, 8)]


@pytest.mark.parametrize("depth", [1, 7, 200])
def test_a_2d_network_sees_every_slice_by_itself(depth: int) -> None:
    network = nn.Conv2d(3, 5, 3, padding=1).eval()
    volume = torch.rand(2, 3, 17, 20, depth)
    sized = AnySize(network, [8, 8]).eval()
    expected = torch.stack([network(nn.functional.pad(volume[..., i], (0, 4, 0, 7)))[..., :17, :20] for i in range(depth)], -1)
    torch.testing.assert_close(sized(volume), expected)


@pytest.mark.parametrize("training", [True, False])
def test_batch_normalisation_sees_all_slices_in_training(training: bool) -> None:
    network = Watched()
    AnySize(network, [8, 8], slices=4).train(training)(torch.rand(2, 1, 8, 8, 5))
    assert network.sizes == ([(10, 1, 8, 8)] if training else [(4, 1, 8, 8), (4, 1, 8, 8), (2, 1, 8, 8)])


def test_of_a_list_of_outputs_the_last_counts() -> None:
    network = BasicUNetPlusPlus(3, 1, 2, features=(4, 4, 4, 4, 4, 4), deep_supervision=True).eval()
    volume = torch.rand(1, 1, 32, 32, 16)
    assert torch.equal(AnySize(network, [16, 16, 16])(volume), network(volume)[-1])


def test_an_exported_network_refuses_another_size_in_words() -> None:
    network = AnySize(UNet(3, 1, 2, channels=(2, 4), strides=(2,)), [2, 2, 2]).eval()
    volume = torch.rand(1, 1, 9, 8, 5)
    traced = torch.jit.trace(network, volume)
    torch.testing.assert_close(traced(volume), network(volume))
    with pytest.raises(Exception, match="holds for volumes of 9 x 8 x 5 voxels, got 10 x 8 x 5"):
        traced(torch.rand(1, 1, 10, 8, 5))


@pytest.mark.parametrize("multiple", [[16], [16, 16, 16, 16], [16, 0]])
def test_a_multiple_that_is_none_is_refused(multiple: list[int]) -> None:
    with pytest.raises(ValueError, match="two or three positive numbers"):
        AnySize(nn.Identity(), multiple)


@pytest.mark.parametrize("minimum", [[20, 16], [16], [16, 16, 16]])
def test_a_minimum_that_is_no_multiple_is_refused(minimum: list[int]) -> None:
    with pytest.raises(ValueError, match="whole multiples of"):
        AnySize(nn.Identity(), [16, 16], minimum)


def test_a_volume_beyond_the_maximum_is_refused_with_the_remedy() -> None:
    sized = AnySize(Watched(), [8, 8, 4], maximum=[16, 16, 4])
    assert sized(torch.rand(1, 1, 9, 16, 3)).shape == (1, 1, 9, 16, 3)
    with pytest.raises(ValueError, match=r"at most 16 x 16 x 4 voxels, got 16 x 16 x 8; leave the inferer's mode at 'windows'"):
        sized(torch.rand(1, 1, 16, 16, 5))


def test_logits_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match=r"MaxPool3d gave logits of 4 x 4 x 2 for 8 x 8 x 4 voxels"):
        AnySize(nn.MaxPool3d(2), [4, 4, 4])(torch.rand(1, 1, 7, 8, 3))
