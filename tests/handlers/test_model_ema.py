"""What is validated and saved is the moving average of the weights; what is trained is not touched by it."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from ignite.engine import Engine, Events
from ignite.metrics import Average
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from torch import nn
from torch.nn.utils import parameters_to_vector

from scripts.files.checkpoint_file import read_checkpoint
from scripts.handlers import Checkpointing, ModelEMA, ValidationSchedule

STEPS = 30
Watch = Callable[[SupervisedTrainer, ModelEMA], None]


def network_of(frozen: bool = False) -> nn.Sequential:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 1))
    network[0].requires_grad_(not frozen)
    return network


def train(
    network: nn.Module,
    decay: float | None,
    watch: Watch | None = None,
    folder: Path | None = None,
    epochs: int = 2,
    validates: bool = True,
) -> None:
    generator = torch.Generator().manual_seed(1)
    data = [{key: torch.rand(6, size, generator=generator) for key, size in (("image", 4), ("label", 1))} for _ in range(STEPS)]
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=0.05)
    evaluator = SupervisedEvaluator(
        "cpu",
        data[: 2 * validates],
        network,
        key_val_metric={"score": Average(output_transform=lambda _: evaluator.state.epoch)},
    )
    trainer = SupervisedTrainer("cpu", epochs, data, network, optimizer, nn.MSELoss(), epoch_length=STEPS, decollate=False)
    if validates:
        ValidationSchedule(1, evaluator).attach(trainer)
    objects = {"network": network, "optimizer": optimizer}
    averaged = {}
    if decay is not None:
        ema = ModelEMA(network, evaluator, decay)
        ema.attach(trainer)
        objects["ema"], averaged["averaged"] = ema, ema.averaged
        if watch:
            watch(trainer, ema)
    if folder:
        Checkpointing(folder, objects, trainer, evaluator, resume=False, **averaged).attach()
    trainer.run()


def by_hand(weights: list[torch.Tensor], decay: float) -> torch.Tensor:
    """In float64, of the weights after each step."""
    average = weights[0].double()
    for t, now in enumerate(weights[1:], start=1):
        d = min(decay, (1 + t) / (10 + t))
        average = d * average + (1 - d) * now.double()
    return average


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.99])
def test_the_average_is_the_recurrence_in_float64_by_hand(decay: float) -> None:
    network = network_of()
    after_steps, averages = [], []

    def watch(trainer: Engine, ema: ModelEMA) -> None:
        @trainer.on(Events.ITERATION_COMPLETED)
        def _() -> None:
            after_steps.append(parameters_to_vector(network.parameters()).detach().clone())
            with ema.averaged():
                averages.append(parameters_to_vector(network.parameters()).detach().clone())

    train(network, decay, watch)
    assert len(averages) == 2 * STEPS
    for step, average in enumerate(averages, start=1):
        torch.testing.assert_close(average.double(), by_hand(after_steps[:step], decay), rtol=1e-5, atol=1e-6)
    if decay:
        assert (averages[-1] - after_steps[-1]).abs().max() > 1e-3


def test_training_is_the_same_with_and_without_the_average() -> None:
    with_it, without = network_of(), network_of()
    train(with_it, 0.9)
    train(without, None)
    assert all(torch.equal(value, without.state_dict()[name]) for name, value in with_it.state_dict().items())


def test_the_evaluator_sees_the_average_with_the_buffers_of_the_last_step() -> None:
    network = network_of()
    seen, expected = [], []

    def watch(trainer: Engine, ema: ModelEMA) -> None:
        @ema.evaluator.on(Events.ITERATION_COMPLETED)
        def _() -> None:
            seen.append({name: value.clone() for name, value in network.state_dict().items()})

        @trainer.on(Events.ITERATION_COMPLETED(every=STEPS))
        def _() -> None:
            buffers = {name: value.clone() for name, value in network.named_buffers()}
            with ema.averaged():
                parameters = {name: value.detach().clone() for name, value in network.named_parameters()}
            expected.append(parameters | buffers)

    train(network, 0.9, watch)
    assert len(seen) == 4
    for state, meant in zip(seen[::2], expected, strict=True):
        assert state.keys() == meant.keys()
        assert all(torch.equal(state[name], meant[name]) for name in meant)


def test_what_is_frozen_is_not_held_twice() -> None:
    network = network_of(frozen=True)
    ema = ModelEMA(network, SupervisedEvaluator("cpu", [], network), 0.9)
    held = {name: value for name, value in ema.state_dict().items() if name != "n_averaged"}
    assert [value.shape for value in held.values()] == [p.shape for p in network[1:].parameters()]
    frozen = network[0].weight
    with ema.averaged():
        assert network[0].weight is frozen


def test_a_part_that_is_frozen_for_a_while_keeps_its_weights_bit_for_bit() -> None:
    network = network_of()
    start = network[0].weight.detach().clone()

    def watch(trainer: Engine, ema: ModelEMA) -> None:
        trainer.add_event_handler(Events.STARTED, lambda: network[0].requires_grad_(False))

        @trainer.on(Events.COMPLETED)
        def _() -> None:
            with ema.averaged():
                assert torch.equal(network[0].weight, start)

    train(network, 0.9, watch)
    assert torch.equal(network[0].weight, start)


@pytest.mark.parametrize("validates", [True, False])
@pytest.mark.parametrize("epochs", [1, 2])
def test_model_holds_the_average_and_last_holds_both(tmp_path: Path, validates: bool, epochs: int) -> None:
    network = network_of()
    train(network, 0.9, folder=tmp_path, epochs=epochs, validates=validates)
    model, last = (read_checkpoint(tmp_path / name) for name in ("model.pt", "last.pt"))
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in last["network"].items())
    averages = [last["ema"][f"module.{number}"] for number in range(len([*network.parameters()]))]
    for (name, weight), average in zip(network.named_parameters(), averages, strict=True):
        assert torch.equal(model[name], average)
        assert not torch.equal(model[name], weight)
    for name, buffer in network.named_buffers():
        assert torch.equal(model[name], buffer)
