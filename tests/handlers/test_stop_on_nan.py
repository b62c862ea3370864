"""A loss that is not a number stops the training before any weight is touched."""

import copy

import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor
from monai.engines import SupervisedTrainer
from torch import nn

from scripts.handlers import StopOnNaN


def train(network: nn.Module, worst: float) -> None:
    """Three iterations, the second on a case that holds the voxel value `worst`."""
    cases = [{"image": MetaTensor(torch.rand(1, 4), meta={"filename_or_obj": f"/data/{i}.nii"})} for i in range(3)]
    cases = [case | {"label": torch.zeros(1, 4)} for case in cases]
    cases[1]["image"][0, 2] = worst
    SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=1,
        train_data_loader=DataLoader(Dataset(cases), batch_size=1),
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.1),
        loss_function=nn.MSELoss(),
        train_handlers=[StopOnNaN()],
        decollate=False,
    ).run()


@pytest.mark.parametrize("worst", [float("nan"), float("inf"), float("-inf")])
def test_the_case_is_named_and_the_weights_are_those_of_the_step_before(worst: float) -> None:
    steps: list[dict[str, torch.Tensor]] = []
    network = nn.Linear(4, 4)
    network.register_forward_pre_hook(lambda module, _: steps.append(copy.deepcopy(module.state_dict())))
    with pytest.raises(FloatingPointError, match=r"/data/1\.nii") as caught:
        train(network, worst)
    assert "epoch 1, iteration 2" in str(caught.value)
    assert len(steps) == 2
    assert not torch.equal(steps[1]["weight"], steps[0]["weight"])
    for name, value in network.state_dict().items():
        assert torch.equal(value, steps[1][name])


def test_finite_losses_pass() -> None:
    network = nn.Linear(4, 4)
    train(network, worst=1e6)
    assert all(value.isfinite().all() for value in network.state_dict().values())
