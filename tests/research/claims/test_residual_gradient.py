"""Claim: y = g + phi(g) has the Jacobian I + dphi, hence a gradient of at least 1. It has no such bound."""

import pytest
import torch
from jacobian import jacobian, singular_values
from torch.nn import functional as F
from torch.testing import assert_close

from scripts.networks import ResidualDecoder
from scripts.networks.depth_stream import unchanged
from scripts.networks.residual_decoder import ResidualDoubleConv3d

SHAPE = (3, 3, 3)  # of the volumes, 27 positions
SLOPE = 0.01  # of the leaky ReLU
EPS = 1e-5  # of the instance normalisation


def volume(channels: int) -> torch.Tensor:
    return torch.randn(1, channels, *SHAPE, dtype=torch.double)


def block(in_channels: int, out_channels: int) -> ResidualDoubleConv3d:
    return ResidualDoubleConv3d(in_channels, out_channels, shortcut_kernel=3, bias=False).double()


def centre(*weights: list[float]) -> torch.Tensor:
    """A 3 x 3 x 3 kernel that only reads the centre; weights: (out, in)."""
    kernel = torch.zeros(len(weights), len(weights[0]), 3, 3, 3, dtype=torch.double)
    kernel[:, :, 1, 1, 1] = torch.tensor(weights, dtype=torch.double)
    return kernel


def test_a_convolution_cancels_the_identity() -> None:
    kernel = centre([-1, 0], [0, 0])
    values = singular_values(jacobian(lambda g: g + F.conv3d(g, kernel, padding=1), volume(2)))
    print(f"I + dphi, phi one convolution: {(values == 0).sum()} of {len(values)} singular values are 0")
    assert (values == 0).sum() == 27


def test_two_convolutions_with_normalisation_cancel_the_identity() -> None:
    """Conv, IN, leaky ReLU, conv, IN with phi(g) = -IN(g): the channels g and -g make the activation linear."""

    def phi(g: torch.Tensor) -> torch.Tensor:
        inner = F.leaky_relu(F.instance_norm(F.conv3d(g, centre([1], [-1]), padding=1)), SLOPE)
        return F.instance_norm(F.conv3d(inner, centre([-1, 1]), padding=1))

    second = EPS / (1 + SLOPE) ** 2  # eps as the second normalisation sees it, which follows (1 + slope) IN(g)
    g = volume(1)
    g = (g - g.mean()) / g.std(correction=0) * ((1 - EPS * second) / (1 + second)) ** 0.5
    values = singular_values(jacobian(lambda g: g + phi(g), g))
    print(
        f"I + dphi, phi = conv-IN-act-conv-IN: {(values < 1e-9).sum()} of {len(values)} below 1e-9, smallest {values[-1]:.0e}"
    )
    assert (values < 1e-9).sum() == 25  # all but the mean, and the direction of g itself


def test_the_real_block_has_directions_without_gradient() -> None:
    """r1 + r2 has mean zero in every channel, whatever comes in: one lost direction for each channel."""
    real = block(3, 3)
    values = singular_values(jacobian(lambda g: real(g, unchanged), volume(3)))
    print(f"the real block, 3 -> 3 channels: largest singular value {values[0]:.2f}, ", end="")
    print("the last four " + ", ".join(f"{value:.0e}" for value in values[-4:]))
    assert (values[-3:] < 1e-12).all()
    assert values[0] > 1


def test_the_real_block_does_not_see_the_scale_of_its_input() -> None:
    real, g = block(3, 3), volume(3)
    matrix = jacobian(lambda g: real(g, unchanged), g)
    along = (matrix @ g.flatten()).norm() / g.norm()
    print(f"the real block along g: {along:.1e}, against {singular_values(matrix)[0]:.2f} along its steepest direction")
    assert along < 1e-3 * singular_values(matrix)[0]


def test_a_stage_that_halves_the_channels_loses_half_of_the_directions() -> None:
    """256 -> 128 in the decoder, where no identity is possible; 4 -> 2 here."""
    stage = block(4, 2)
    values = singular_values(jacobian(lambda g: stage(g, unchanged), volume(4)))
    print(f"the real block, 4 -> 2 channels: {(values < 1e-12).sum()} of {len(values)} singular values are 0")
    assert (values < 1e-12).sum() >= len(values) / 2


@pytest.mark.parametrize("lipschitz", [0.25, 0.5, 0.9])
def test_a_lipschitz_constant_below_one_bounds_the_gradient(lipschitz: float) -> None:
    """phi = conv, leaky ReLU, conv with spectral norms of product L: 1 - L <= s <= 1 + L."""
    kernels = [torch.randn(2, 2, 3, 3, 3, dtype=torch.double) for _ in range(2)]
    norms = [singular_values(jacobian(lambda g, k=kernel: F.conv3d(g, k, padding=1), volume(2)))[0] for kernel in kernels]
    first, second = (kernel / norm * lipschitz**0.5 for kernel, norm in zip(kernels, norms, strict=True))

    def residual(g: torch.Tensor) -> torch.Tensor:
        return g + F.conv3d(F.leaky_relu(F.conv3d(g, first, padding=1), SLOPE), second, padding=1)

    values = singular_values(jacobian(residual, volume(2)))
    print(f"L = {lipschitz}: singular values from {values[-1]:.3f} to {values[0]:.3f}")
    assert 1 - lipschitz <= values[-1] < 1  # below 1: a residual block may shrink gradients
    assert values[0] <= 1 + lipschitz


def test_the_lipschitz_bound_is_sharp() -> None:
    values = singular_values(jacobian(lambda g: g + F.conv3d(g, centre([-0.5]), padding=1), volume(1)))
    assert_close(values, torch.full_like(values, 0.5))


def test_the_sum_of_two_paths_has_parameters_of_its_own() -> None:
    """W1 and W0 are halves of one convolution: `conv1`."""
    decoder = ResidualDecoder(256, 14)
    stages = sum(parameter.numel() for parameter in decoder.stages.parameters())
    shortcuts = sum(stage.conv1.weight.numel() // 2 for stage in decoder.stages)
    fusions = sum(2 * stage.conv2.out_channels**2 for stage in decoder.stages)  # 1 x 1 x 1 after a concatenation
    print(f"stages {stages:,} parameters, of them W0 {shortcuts:,} ({shortcuts / stages:.0%}); ", end="")
    print(f"a concatenation and its 1x1x1 fusion would add {fusions:,} ({fusions / stages:.1%})")
    assert shortcuts / stages == pytest.approx(0.4)
    assert fusions / stages < 0.02  # not twice as many
