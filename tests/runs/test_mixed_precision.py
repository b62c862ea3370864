"""Half precision gives nearly the same logits, loss and gradients; `--amp` says when it is used."""

from pathlib import Path

import pytest
import torch
from conftest import NARROW
from monai.losses import DiceCELoss
from torch import nn

from scripts.losses import DeepSupervision
from scripts.networks import SAM3D, ResidualDecoder, SAMSliceEncoder
from scripts.weights.sam_checkpoint import fill_at_random

from .conftest import Command
from .test_training import assert_identical


def sam3d() -> SAM3D:
    encoder = SAMSliceEncoder(NARROW, trainable=True)
    fill_at_random(encoder, seed=0, std=0.2)
    return SAM3D(encoder, ResidualDecoder(256, 4, channels=(16, 8, 8, 4)))


def computed(network: nn.Module, dtype: torch.dtype | None) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits, loss and the gradient of all parameters; `dtype` as MONAI's trainer has it on CUDA, None: everything in fp32."""
    generator = torch.Generator().manual_seed(0)
    volume = torch.rand(2, 1, 32, 48, 3, generator=generator)
    label = torch.randint(0, 4, volume.shape, generator=generator)
    loss_function = DeepSupervision(
        DiceCELoss(to_onehot_y=True, softmax=True, squared_pred=True), [8 / 15, 4 / 15, 2 / 15, 1 / 15]
    )
    network.zero_grad()
    with torch.autocast("cpu", dtype=dtype, enabled=dtype is not None):
        logits = network(volume)
        loss = loss_function(logits, label)
    loss.backward()
    gradient = torch.cat([parameter.grad.flatten() for parameter in network.parameters()])
    return (logits[0] if isinstance(logits, list) else logits).detach(), loss.detach(), gradient


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 0.05), (torch.float16, 0.01)])
def test_half_precision_stays_finite_and_near(dtype: torch.dtype, tolerance: float) -> None:
    assert_near_in_half_precision(sam3d().train(), dtype, tolerance)


def assert_near_in_half_precision(network: nn.Module, dtype: torch.dtype, tolerance: float) -> None:
    (logits, loss, gradient), (half_logits, half_loss, half_gradient) = (computed(network, kind) for kind in (None, dtype))
    assert half_logits.dtype == dtype
    assert half_loss.dtype == torch.float32
    assert torch.isfinite(half_gradient).all()
    assert (half_logits.float() - logits).norm() < tolerance * logits.norm()
    assert half_loss == pytest.approx(loss.item(), rel=tolerance / 10)
    assert torch.cosine_similarity(half_gradient, gradient, dim=0) > 1 - tolerance


def test_on_a_cpu_nothing_is_mixed_and_asking_for_it_is_refused(
    bundle_run: Command, phantoms: Path, trained: Path, tmp_path: Path
) -> None:
    options = {"dataset_dir": phantoms, "output_dir": tmp_path / "run", "device": "cpu"}
    result = bundle_run("training", ["train.json"], fails=True, amp="true", **options)
    assert "--amp true asks for mixed precision" in result.stderr[result.stderr.index("ERROR: ") :]
    bundle_run("training", ["train.json"], amp="false", **options)
    assert_identical(tmp_path / "run", trained)
