"""The layers are torch's own, and stay on the fast path where torch's would leave it."""

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from scripts.networks.fast_layers import conv3d, enlarge, instance_norm

SIZES = [(3, 5, 4), (4, 3, 5), (5, 4, 3), (1, 4, 4), (2, 1, 1)]
PADDINGS = [(1, 1, 1), (0, 1, 1)]


@pytest.mark.parametrize(("size", "padding"), [(s, p) for s in SIZES for p in PADDINGS if s[0] + 2 * p[0] >= 3])
@pytest.mark.parametrize("batch", [1, 2])
def test_it_is_the_convolution_and_so_are_its_gradients(
    batch: int, size: tuple[int, int, int], padding: tuple[int, int, int]
) -> None:
    features, weight = torch.randn(batch, 3, *size, requires_grad=True), torch.randn(2, 3, 3, 3, 3, requires_grad=True)
    bias = torch.randn(2)
    ours, theirs = conv3d(features, weight, bias, padding), F.conv3d(features, weight, bias, padding=padding)
    assert_close(ours, theirs, atol=1e-4, rtol=0)
    loss = torch.randn_like(theirs)
    gradients = [torch.autograd.grad((result * loss).sum(), (features, weight)) for result in (ours, theirs)]
    for one, other in zip(*gradients, strict=True):
        assert_close(one, other, atol=1e-3, rtol=0)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="oneDNN is not built in")
@pytest.mark.parametrize("size", [(18, 32, 32), (32, 18, 32), (32, 32, 18), (5, 4, 4), (1, 8, 8)])
def test_it_runs_in_onednn_whatever_the_size(size: tuple[int, int, int]) -> None:
    """32 channels and a batch of 1: torch leaves oneDNN for all but one of these."""
    features, weight = torch.randn(1, 32, *size), torch.randn(8, 32, 3, 3, 3)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile, torch.no_grad():
        conv3d(features, weight, None, (1, 1, 1))
    names = {event.name for event in profile.events()}
    assert "aten::mkldnn_convolution" in names
    assert "aten::slow_conv3d" not in names


def test_instance_norm_is_torchs_and_so_is_its_gradient() -> None:
    """Far from 0 too, where a variance from sums of squares would lose its digits."""
    features = (1000 + torch.randn(2, 3, 4, 5, 6)).requires_grad_()
    exact = F.instance_norm(features.double())
    assert_close(instance_norm(features), exact.float(), atol=5e-4, rtol=0)
    loss = torch.randn_like(features)
    ours, theirs = (torch.autograd.grad((result * loss).sum(), features)[0] for result in (instance_norm(features), exact))
    assert_close(ours, theirs, atol=1e-3, rtol=0)


@pytest.mark.parametrize(("mode", "mode_3d"), [("bilinear", "trilinear"), ("nearest-exact", "nearest-exact")])
def test_enlarging_is_the_interpolation_that_keeps_the_depth(mode: str, mode_3d: str) -> None:
    features = torch.randn(2, 3, 4, 5, 6, requires_grad=True)
    ours, theirs = enlarge(features, mode), F.interpolate(features, scale_factor=(1.0, 2.0, 2.0), mode=mode_3d)
    assert_close(ours, theirs, atol=1e-6, rtol=0)
    loss = torch.randn_like(theirs)
    gradients = [torch.autograd.grad((result * loss).sum(), features)[0] for result in (ours, theirs)]
    assert_close(*gradients, atol=1e-5, rtol=0)
