"""Claims: a convolution's Lipschitz bound is its kernel's L1 norm; its outputs are x0 + im(W). True of one, in its norm."""

import pytest
import torch
from jacobian import jacobian, singular_values
from torch.nn import functional as F
from torch.testing import assert_close

from scripts.networks.depth_stream import unchanged
from scripts.networks.residual_decoder import ResidualDoubleConv3d

SHAPE = (5, 5, 5)
EPS = 1e-5  # of the instance normalisation


def volume(channels: int, shape: tuple[int, ...] = SHAPE) -> torch.Tensor:
    return torch.randn(1, channels, *shape, dtype=torch.double)


def dense(kernel: torch.Tensor, shape: tuple[int, ...] = SHAPE) -> torch.Tensor:
    """The convolution with zero padding as a matrix."""
    return jacobian(lambda g: F.conv3d(g, kernel, padding=kernel.shape[-1] // 2), volume(kernel.shape[1], shape))


def test_the_l1_norm_of_the_kernel_is_the_maximum_norm_of_the_convolution() -> None:
    """The largest over output channels, each summed over input channels and taps; a sign pattern attains it."""
    kernel = torch.randn(3, 2, 3, 3, 3, dtype=torch.double)
    per_channel = kernel.abs().sum((1, 2, 3, 4))
    worst = int(per_channel.argmax())
    signs = torch.zeros(1, 2, *SHAPE, dtype=torch.double)
    signs[:, :, 1:4, 1:4, 1:4] = kernel[worst].sign()  # around the voxel in the middle
    attained = F.conv3d(signs, kernel, padding=1)[0, worst, 2, 2, 2]
    print(f"maximum norm: attained {attained:.3f}, L1 norm of the worst output channel {per_channel.max():.3f}, ", end="")
    print(f"of the whole kernel {kernel.abs().sum():.3f}")
    assert_close(dense(kernel).abs().sum(1).max(), per_channel.max())
    assert_close(attained, per_channel.max())
    assert kernel.abs().sum() > 2 * per_channel.max()


def test_the_l1_norm_is_not_the_euclidean_norm() -> None:
    kernel = torch.randn(1, 1, 3, 3, 3, dtype=torch.double)
    l1, spectral = kernel.abs().sum(), singular_values(dense(kernel))[0]
    print(f"one channel, random kernel: Euclidean norm {spectral:.2f}, L1 norm {l1:.2f}")
    assert spectral < 0.9 * l1


def test_with_several_channels_it_does_not_even_bound_the_euclidean_norm() -> None:
    kernel = torch.ones(4, 1, 1, 1, 1, dtype=torch.double)
    matrix = dense(kernel, (2, 2, 2))
    rows, columns = matrix.abs().sum(1).max(), matrix.abs().sum(0).max()
    spectral = singular_values(matrix)[0]
    print(f"1 -> 4 channels, 1x1x1 of ones: L1 norm per output channel {rows:.0f}, Euclidean norm {spectral:.0f}")
    assert_close(spectral, torch.tensor(2.0, dtype=torch.double))
    assert rows == 1
    assert spectral <= (rows * columns).sqrt() + 1e-12  # Schur: what does bound it


def test_instance_normalisation_has_a_derivative_that_grows_as_the_variance_falls() -> None:
    """1 / sqrt(variance + eps): global constant 1 / sqrt(eps)."""
    g = volume(1, (3, 3, 3))
    g = (g - g.mean()) / g.std(correction=0)
    norms = []
    for deviation in (1.0, 0.1, 0.001, 0.0):
        norms.append(singular_values(jacobian(F.instance_norm, deviation * g))[0].item())
        assert norms[-1] == pytest.approx((deviation**2 + EPS) ** -0.5)
    print("IN at standard deviations 1, 0.1, 0.001, 0: " + ", ".join(f"{norm:.1f}" for norm in norms))
    assert norms[-1] == pytest.approx(EPS**-0.5)


def test_the_outputs_of_one_convolution_are_an_affine_subspace() -> None:
    kernel, bias = torch.randn(2, 2, 3, 3, 3, dtype=torch.double), torch.randn(2, dtype=torch.double)
    kernel[1] = kernel[0]  # an image smaller than the space, so that there is something to leave
    shape = (3, 3, 3)
    matrix = dense(kernel, shape)
    origin = F.conv3d(torch.zeros(1, 2, *shape, dtype=torch.double), kernel, bias, padding=1).flatten()
    projection = matrix @ torch.linalg.pinv(matrix)
    outputs = F.conv3d(torch.cat([volume(2, shape) for _ in range(10)]), kernel, bias, padding=1).flatten(1)
    residual = ((outputs - origin) - (outputs - origin) @ projection.T).norm() / (outputs - origin).norm()
    rank = int(torch.linalg.matrix_rank(matrix))
    print(f"x0 + im(W): rank {rank} of {len(origin)}, relative distance of 10 outputs {residual:.0e}")
    assert rank == len(origin) // 2
    assert residual < 1e-12
    elsewhere = torch.randn_like(origin)
    assert (elsewhere - projection @ elsewhere).norm() > 0.1 * elsewhere.norm()


def test_the_outputs_of_the_block_are_bounded_so_no_affine_subspace() -> None:
    """Two normalised maps of mean square <= 1 make a sum of root mean square <= 2; a line would be unbounded."""
    block = ResidualDoubleConv3d(2, 2, shortcut_kernel=3, bias=False).double()
    g = volume(2)
    outputs = [block(scale * g, unchanged).detach() for scale in (0.0, 1.0, 1e3, 1e6)]
    sizes = [output.square().mean((2, 3, 4)).max().sqrt().item() for output in outputs]
    print("the block at input scales 0, 1, 1e3, 1e6: root mean square " + ", ".join(f"{size:.3f}" for size in sizes))
    assert sizes[0] == 0 and sizes[1] > 0.1  # more than one point
    assert max(sizes) <= 2
