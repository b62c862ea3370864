"""What every host promises: two halves, skips of stated widths that all are read, volumes as well as slices, a trace."""

import pytest
import torch
from conftest import ROOT
from monai.bundle import ConfigParser
from plain_layers import fill_at_random
from torch import nn
from torch.testing import assert_close

from scripts.networks.any_size import AnySize
from scripts.research.networks.hosts import DoubleUNet, MultiResUNet, R2UNet, ResUNetPlusPlus
from scripts.research.networks.skip_connections.dual_cross_attention import DualCrossAttention
from scripts.research.networks.skip_connections.skip_network import SkipNetwork

HOSTS = {
    R2UNet: (4, 5, 6, 7, 8),
    MultiResUNet: (4, 5, 6, 7, 8),
    ResUNetPlusPlus: (8, 9, 10, 11, 12),
    DoubleUNet: (16, 18, 20, 22, 24),
}  # with narrow channels
FLAT = {host: [[2, 2, 1], [2, 2, 2], [2, 2, 2], [2, 2, 1]][: 3 if host is ResUNetPlusPlus else 4] for host in HOSTS}
SIZES = [pytest.param((32, 48), id="2-D"), pytest.param((16, 32, 16), id="3-D")]


def build(host: type[nn.Module], spatial_dims: int, **options: object) -> nn.Module:
    return host(spatial_dims, in_channels=2, out_channels=3, channels=HOSTS[host], **options)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("host", HOSTS)
def test_skips_are_finest_first_and_as_wide_as_stated(host: type[nn.Module], size: tuple[int, ...]) -> None:
    network = build(host, len(size))
    skips, _ = network.encode(torch.rand(2, 2, *size))
    expected = [(2, width, *(s >> level for s in size)) for level, width in enumerate(network.skip_channels)]
    assert [tuple(skip.shape) for skip in skips] == expected
    assert network.spatial_dims == len(size)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("host", HOSTS)
def test_logits_have_the_size_of_the_image_and_gradients_reach_every_parameter(
    host: type[nn.Module], size: tuple[int, ...]
) -> None:
    network = fill_at_random(build(host, len(size)))
    logits = network(torch.rand(2, 2, *size, dtype=torch.double))
    assert logits.shape == (2, 3, *size)
    (logits * torch.randn_like(logits)).sum().backward()
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None or not parameter.grad.any()] == []


@pytest.mark.parametrize("host", HOSTS)
def test_decode_reads_every_skip_that_it_is_handed(host: type[nn.Module]) -> None:
    network = build(host, 2).eval()
    image = torch.rand(1, 2, 32, 32)
    skips, bottom = network.encode(image)
    logits = network.decode(skips, bottom)
    assert_close(logits, network(image))
    for level, skip in enumerate(skips):
        changed = [*skips[:level], skip + torch.rand_like(skip), *skips[level + 1 :]]
        assert not torch.allclose(network.decode(changed, bottom), logits)


@pytest.mark.parametrize("host", HOSTS)
def test_a_volume_of_equal_slices_gets_what_its_slice_gets(host: type[nn.Module]) -> None:
    """Where kernels see one slice only; no step down, along the depth or not, may mix them up."""
    plane = fill_at_random(build(host, 2)).eval()
    volume = build(host, 3, strides=FLAT[host]).double().eval()
    with torch.no_grad():
        for flat, deep in zip(plane.parameters(), volume.parameters(), strict=True):
            if deep.ndim == flat.ndim:
                deep.copy_(flat)
            elif is_transposed_kernel(deep):
                deep.copy_(flat[..., None].expand_as(deep))
            else:
                deep.zero_()[..., deep.shape[-1] // 2] = flat
    image = torch.rand(2, 2, 32, 48, dtype=torch.double)
    logits = volume(image[..., None].expand(-1, -1, -1, -1, 8))
    assert_close(logits, plane(image)[..., None].expand_as(logits))


def is_transposed_kernel(weight: torch.Tensor) -> bool:
    return weight.shape[2] == 2


@pytest.mark.parametrize("host", HOSTS)
def test_a_trace_gives_the_same_logits(host: type[nn.Module]) -> None:
    network = build(host, 3).eval()
    traced = torch.jit.trace(network, torch.rand(1, 2, 16, 32, 16), check_trace=False)
    image = torch.rand(1, 2, 16, 32, 16)
    assert_close(traced(image), network(image))


@pytest.mark.parametrize("host", HOSTS)
def test_a_wrong_number_of_strides_is_refused_in_words(host: type[nn.Module]) -> None:
    with pytest.raises(ValueError, match="strides must be one for each step down"):
        build(host, 3, strides=[2, 2])


@pytest.mark.parametrize(
    ("host", "published"), [(R2UNet, 9.89e6), (MultiResUNet, 7.35e6), (ResUNetPlusPlus, 13.1e6), (DoubleUNet, 30.68e6)]
)
def test_with_dual_cross_attention_it_has_the_published_number_of_parameters(host: type[nn.Module], published: float) -> None:
    """arXiv:2303.17696, table of results, the rows with DCA; without it: each host's own file."""
    inner = {"second_skips": DualCrossAttention} if host is DoubleUNet else {}
    network = SkipNetwork(host(2, in_channels=3, out_channels=1, **inner), DualCrossAttention)
    assert abs(sum(parameter.numel() for parameter in network.parameters()) / published - 1) < 0.005


@pytest.mark.parametrize("host", HOSTS)
def test_a_host_becomes_2d_as_the_manual_says(host: type[nn.Module]) -> None:
    """docs/networks.md; the parameters of the defaults are held by each host's own test."""
    for path in (ROOT / "configs" / "research" / "networks").glob("*.yaml"):
        definition = ConfigParser.load_config_file(str(path)).get("network_def", {})
        options = definition.get("network", {}).get("host", {})
        if options.get("_target_") == f"scripts.research.networks.{host.__name__}":
            kept = options.keys() - {"_target_", "channels", "strides", "dilations", "second_skips"}
            assert kept == {"spatial_dims", "in_channels", "out_channels"}
            assert definition.keys() == {"_target_", "multiple", "minimum", "network"}
            break
    else:
        pytest.fail("no overlay")
    with torch.device("meta"):
        network = AnySize(host(spatial_dims=2, in_channels=1, out_channels=3), multiple=[16, 16], minimum=[32, 32])
        assert network(torch.rand(1, 1, 20, 33, 2)).shape == (1, 3, 20, 33, 2)
