"""A part stays as it is in the first stage, at no cost, and is trained in the second; each stage has its schedule."""

import itertools
import math
from pathlib import Path

import pytest
import torch
from ignite.engine import Engine, Events
from monai.data import DataLoader, Dataset, DistributedSampler
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.handlers import LrScheduleHandler
from monai.utils import set_determinism
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from scripts.handlers import Checkpointing, EpochSeed
from scripts.handlers.two_stage import TwoStage, warm_up_and_cosine_twice

CPU = torch.device("cpu")
FIRST, EPOCHS, ITERATIONS = 2, 4, 3
State = dict[str, torch.Tensor]


class Blocks(nn.Module):
    """A part that is never called as a whole, with layers whose behaviour and statistics depend on the mode."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.Linear(4, 4), nn.Sequential(nn.BatchNorm1d(4), nn.Dropout(0.5))])


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(4, 4)
        self.transformer = Blocks()
        self.head = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 1))
        self.embeddings: list[torch.Tensor] = []  # of the part, one for each forward pass

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = image
        for block in self.transformer.blocks:
            x = block(x)
        self.embeddings.append(x)
        return self.head(x + self.stem(image))


class Interrupted(Exception):
    pass


def train(folder: Path, resume: bool = False, interrupted_after: int = 0) -> tuple[Network, list[State], torch.optim.Optimizer]:
    """The network, its states before the first epoch and after each, and the optimizer as it was at the end."""
    set_determinism(seed=0)
    network = Network()
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.05)
    data = [{"image": torch.rand(4), "label": torch.rand(1)} for _ in range(4 * ITERATIONS)]
    dataset = Dataset(data)
    loader = DataLoader(dataset, batch_size=4, sampler=DistributedSampler(dataset, num_replicas=1, rank=0))
    lr_scheduler = warm_up_and_cosine_twice(optimizer, FIRST, EPOCHS, ITERATIONS, 0.2, second_rate=0.005)
    evaluator = SupervisedEvaluator(device=CPU, val_data_loader=loader, network=network)
    trainer = SupervisedTrainer(
        device=CPU,
        max_epochs=EPOCHS,
        train_data_loader=loader,
        network=network,
        optimizer=optimizer,
        loss_function=nn.MSELoss(),
        train_handlers=[
            EpochSeed(0, loader),
            LrScheduleHandler(lr_scheduler, print_lr=False, epoch_level=False),
            TwoStage(network, "transformer", FIRST),
        ],
        decollate=False,
    )
    objects = {"network": network, "optimizer": optimizer, "lr_scheduler": lr_scheduler}
    Checkpointing(folder, objects, trainer, evaluator, resume).attach()
    states = [{key: value.clone() for key, value in network.state_dict().items()}]

    @trainer.on(Events.EPOCH_COMPLETED)
    def remember(engine: Engine) -> None:
        states.append({key: value.clone() for key, value in network.state_dict().items()})
        if engine.state.epoch == FIRST:
            part = list(network.transformer.parameters())
            assert all(parameter.grad is None for parameter in part)
            assert not set(part) & optimizer.state.keys()
        if engine.state.epoch == interrupted_after:
            raise Interrupted

    if interrupted_after:
        with pytest.raises(Interrupted):
            trainer.run()
    else:
        trainer.run()
    return network, states, optimizer


def test_the_part_stays_bit_for_bit_until_the_switch_and_is_trained_after(tmp_path: Path) -> None:
    """Batch statistics too. The rest is trained from the start."""
    _, states, _ = train(tmp_path)
    for key in states[0]:
        changes = [not torch.equal(before[key], after[key]) for before, after in itertools.pairwise(states)]
        assert changes == [not key.startswith("transformer.")] * FIRST + [True] * (EPOCHS - FIRST), key


def test_while_it_is_frozen_no_graph_is_built_through_the_part_and_it_is_in_evaluation(tmp_path: Path) -> None:
    network, _, optimizer = train(tmp_path)
    switch = FIRST * ITERATIONS
    assert [e.requires_grad for e in network.embeddings] == [i >= switch for i in range(EPOCHS * ITERATIONS)]
    dropped = [bool((e == 0).any()) for e in network.embeddings]
    assert not any(dropped[:switch])
    assert all(dropped[switch:])
    assert {optimizer.state[p]["step"].item() for p in network.transformer.parameters()} == {(EPOCHS - FIRST) * ITERATIONS}
    assert {optimizer.state[p]["step"].item() for p in network.head.parameters()} == {EPOCHS * ITERATIONS}


@pytest.mark.parametrize("epoch", range(1, EPOCHS))
def test_a_training_resumed_in_either_stage_or_at_the_switch_ends_as_the_uninterrupted_one(tmp_path: Path, epoch: int) -> None:
    train(tmp_path / "whole")
    train(tmp_path / "parts", interrupted_after=epoch)
    assert torch.load(tmp_path / "parts/last.pt")["epoch"] == epoch
    train(tmp_path / "parts", resume=True)
    whole, parts = (torch.load(tmp_path / folder / "last.pt") for folder in ("whole", "parts"))
    for got, expected in (
        (parts["network"], whole["network"]),
        (parts["optimizer"]["state"], whole["optimizer"]["state"]),
        (parts["lr_scheduler"], whole["lr_scheduler"]),
    ):
        torch.testing.assert_close(got, expected, rtol=0, atol=0)


def learning_rates(rate: float, *settings: float) -> list[float]:
    """Of every iteration."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(()))], lr=rate)
    schedule = warm_up_and_cosine_twice(optimizer, *settings)
    rates = []
    for _ in range(settings[1] * settings[2]):
        rates += schedule.get_last_lr()
        optimizer.step()
        schedule.step()
    return rates


def test_both_stages_rise_along_a_line_and_fall_along_half_a_cosine_the_second_to_its_own_peak() -> None:
    def stage(peak: float, length: int) -> list[float]:
        warmup = round(0.1 * length)
        rise = [peak * step / warmup for step in range(warmup)]
        return rise + [peak * (1 + math.cos(math.pi * step / (length - warmup))) / 2 for step in range(length - warmup)]

    expected = stage(1e-3, 7 * 5) + stage(1e-5, 13 * 5)
    assert learning_rates(1e-3, 7, 20, 5, 0.1, 1e-5) == pytest.approx(expected, rel=1e-12, abs=1e-18)


@pytest.mark.parametrize("fraction", [0.0, 1.0])
def test_a_stage_may_be_all_warm_up_or_have_none(fraction: float) -> None:
    rates = learning_rates(1.0, 1, 2, 4, fraction, 0.5)
    assert all(math.isfinite(rate) for rate in rates)
    assert (max(rates[:4]), max(rates[4:])) == ((0.75, 0.375) if fraction else (1, 0.5))


@pytest.mark.parametrize("epochs", [0, 4, 5, -1, 1.5, "two"])
def test_both_stages_need_an_epoch(epochs: object) -> None:
    with pytest.raises(ValueError, match=r"of 4 epochs the first can have 1 to 3, got .*first_stage_epochs"):
        learning_rates(1.0, epochs, 4, 3, 0.05, 0.1)


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("transfomer", "no part 'transfomer' .* did you mean transformer"),
        ("transformer.block", "did you mean transformer.blocks"),
        ("xyzzy", "did you mean stem or transformer or .*head"),
        ("", "did you mean stem or transformer or .*head"),
        ("transformer.blocks.1.1", "has nothing to train in the second stage"),
    ],
)
def test_a_part_that_cannot_be_frozen_is_refused_with_what_is_close(part: str, said: str) -> None:
    with pytest.raises(ValueError, match=rf"{said}.*frozen_part"):
        TwoStage(Network(), part, 1)


def test_what_was_frozen_before_stays_frozen_in_the_second_stage() -> None:
    network = Network()
    network.transformer.blocks[0].requires_grad_(False)
    engine = Engine(lambda *_: None)
    TwoStage(network, "transformer", 1).attach(engine)
    engine.network = network
    engine.run([0], max_epochs=2)
    assert [p.requires_grad for p in network.transformer.parameters()] == [False, False, True, True]


@pytest.mark.parametrize("allowed", [False, True])
def test_processes_that_would_wait_for_gradients_of_the_frozen_part_are_refused(allowed: bool) -> None:
    engine = Engine(lambda *_: None)
    engine.network = DistributedDataParallel.__new__(DistributedDataParallel)
    engine.network.__dict__["find_unused_parameters"] = allowed
    TwoStage(Network(), "transformer", 1).attach(engine)
    if allowed:
        engine.run([0])
    else:
        with pytest.raises(ValueError, match="--network#find_unused_parameters True"):
            engine.run([0])
