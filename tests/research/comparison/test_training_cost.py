"""What a training run cost: counted by the steps, over interruptions."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events
from monai.engines import SupervisedTrainer
from torch import nn

from scripts.research.comparison.training_cost import TrainingCost
from scripts.research.measure import count_macs

STEPS = 3  # an epoch
MEGABYTES = 2**20


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], Callable[[], None]]:
    """seconds -> something that takes as long, by a clock that stands still otherwise."""
    clock = [100.0]
    monkeypatch.setattr("scripts.research.comparison.training_cost.time.monotonic", lambda: clock[0])

    def wait(seconds: float) -> Callable[[], None]:
        def pass_by() -> None:
            clock[0] += seconds

        return pass_by

    return wait


def frozen_and_trained() -> nn.Sequential:
    network = nn.Sequential(nn.Conv3d(1, 2, 1, bias=False), nn.Conv3d(2, 2, 1, bias=False))
    network[0].requires_grad_(False)
    return network


def train(
    folder: Path,
    epochs: int,
    step: Callable[[], None] = lambda: None,
    done: int = 0,
    network: nn.Module | None = None,
    **handlers: Any,
) -> dict[str, Any]:
    """cost.json of a training run; `done` epochs of it in an earlier run. handlers: name of an event -> what happens then."""
    network = network or frozen_and_trained()

    def iterate(engine: Engine, batch: Any) -> dict[str, torch.Tensor]:
        step()
        return {"loss": torch.zeros(())}

    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=epochs,
        train_data_loader=[{}] * STEPS,
        network=network,
        optimizer=torch.optim.SGD(network.parameters()),
        loss_function=nn.MSELoss(),
        iteration_update=iterate,
        decollate=False,
    )
    for event, work in handlers.items():
        trainer.add_event_handler(getattr(Events, event), work)
    TrainingCost(folder, network, (1, 1, 4, 4, 2), count_macs).attach(trainer)
    trainer.state.epoch, trainer.state.iteration = done, done * STEPS
    trainer.run()
    return json.loads((folder / "cost.json").read_text())


def test_steps_parameters_and_arithmetic_are_counted(tmp_path: Path) -> None:
    cost = train(tmp_path, epochs=2)
    assert (cost["steps"], cost["batches"]) == (2 * STEPS, STEPS)
    assert (cost["parameters"], cost["trained_parameters"]) == (2 + 4, 4)
    assert cost["macs"] == 4 * 4 * 2 * (2 + 4)
    assert cost["device"] == "cpu"


def test_counting_the_arithmetic_changes_neither_the_network_nor_the_random_state(tmp_path: Path) -> None:
    network = nn.Sequential(nn.BatchNorm3d(1), nn.Dropout(), nn.Conv3d(1, 2, 1))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    random_state = torch.get_rng_state()
    train(tmp_path, epochs=1, network=network)
    assert network.training
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_validation_counts_nowhere_and_what_came_before_counts_apart(
    tmp_path: Path, wait: Callable[[float], Callable[[], None]]
) -> None:
    cost = train(tmp_path, epochs=2, step=wait(0.25), STARTED=wait(60), EPOCH_COMPLETED=wait(1000))
    assert [epoch["step_seconds"] for epoch in cost["epochs"]] == [[0.25] * STEPS] * 2
    assert (cost["seconds"], cost["median_step_seconds"], cost["preparation_seconds"]) == (2 * STEPS * 0.25, 0.25, 60)


def test_a_resumed_training_goes_on_counting_from_the_epoch_that_was_saved(
    tmp_path: Path, wait: Callable[[float], Callable[[], None]]
) -> None:
    before = train(tmp_path, epochs=3, step=wait(0.25), STARTED=wait(60))
    after = train(tmp_path, epochs=4, step=wait(0.5), done=2, STARTED=wait(8))  # the third epoch was not saved any more
    assert before["epochs"][0]["step_seconds"] == [0.25] * STEPS
    assert after["steps"] == 4 * STEPS
    assert after["epochs"][:2] == before["epochs"][:2]
    assert [epoch["step_seconds"] for epoch in after["epochs"][2:]] == [[0.5] * STEPS] * 2
    assert after["preparation_seconds"] == 68


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of the resident set is read from Linux's /proc")
@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"epochs": 3}', '{"epochs": [{}], "preparation_seconds": 0}', "[" * 10**5, None]
)
def test_a_damaged_file_is_named_before_any_step(tmp_path: Path, content: str | None) -> None:
    train(tmp_path, epochs=2)
    (tmp_path / "cost.json").unlink()
    if content is not None:
        (tmp_path / "cost.json").write_text(content)
    with pytest.raises(ValueError, match=rf"{tmp_path / 'cost.json'} cannot be read .* is lost; start the training run anew"):
        train(tmp_path, epochs=3, done=1)


def test_the_peak_of_memory_is_that_of_the_steps_not_of_what_came_before_or_between(tmp_path: Path) -> None:
    def take(megabytes: int) -> None:
        torch.ones(megabytes * MEGABYTES // 4)

    idle = train(tmp_path / "idle", epochs=2, STARTED=lambda: take(600), EPOCH_COMPLETED=lambda: take(600))
    busy = train(tmp_path / "busy", epochs=2, step=lambda: take(300))
    difference = (busy["peak_memory_bytes"] - idle["peak_memory_bytes"]) / MEGABYTES
    assert 250 < difference < 350
