"""The ResNet of the hybrid: kernels without mean and scale, and features of known sizes."""

import torch
from torch.nn import functional as F
from torch.testing import assert_close

from scripts.research.networks.transunet.hybrid_resnet import HybridResNet, StandardisedConv2d


def test_kernels_are_standardised_for_each_output_channel() -> None:
    convolution = StandardisedConv2d(3, 5, 3, stride=2, padding=1, bias=False).double()
    features = torch.randn(2, 3, 8, 8, dtype=torch.double)
    kernel = torch.stack([(k - k.mean()) / (k.var(correction=0) + 1e-5) ** 0.5 for k in convolution.weight])
    assert_close(convolution(features), F.conv2d(features, kernel, stride=2, padding=1))


def test_intensities_in_0_to_1_and_in_minus_1_to_1_differ_by_a_factor_alone_away_from_the_edge() -> None:
    """Why TransUNet needs no scaling to what the ResNet was trained on: group normalisation takes the factor away."""
    root = HybridResNet(3, width=32, units=(1, 1, 1)).double().conv_root
    image = torch.rand(1, 3, 32, 32, dtype=torch.double)
    unit, symmetric = root(image)[..., 2:-2, 2:-2], root(2 * image - 1)[..., 2:-2, 2:-2]
    assert_close(symmetric, 2 * unit)


def test_features_halve_and_the_pool_without_padding_leaves_a_row_and_a_column_of_zeros() -> None:
    network = HybridResNet(3, width=32, units=(2, 1, 1))
    sixteenth, eighth, quarter, half = network(torch.rand(2, 3, 48, 80))
    assert sixteenth.shape == (2, 512, 3, 5)
    assert eighth.shape == (2, 256, 6, 10)
    assert quarter.shape == (2, 128, 12, 20)
    assert half.shape == (2, 32, 24, 40)
    assert (quarter[..., -1, :] == 0).all()
    assert (quarter[..., :, -1] == 0).all()
    assert (quarter[..., :-1, :-1] != 0).any((0, 1)).all()
