"""(seed, epoch) alone decide the batches of an epoch."""

from collections.abc import Iterator

import pytest
import torch
from ignite.engine import Engine
from monai.data import DataLoader, Dataset, DistributedSampler
from monai.transforms import Compose, RandGaussianNoise, RandShiftIntensity

from scripts.handlers import EpochSeed

EPOCHS = 3
Batches = dict[int, torch.Tensor]  # epoch -> its batches


def batches(
    seed: int, num_workers: int, after_epoch: int = 0, shuffle: bool = True, epoch_length: int | None = None
) -> Batches:
    """What the trainer sees in the epochs after `after_epoch`, with random transforms and noise of its own."""
    transform = Compose([RandGaussianNoise(prob=0.8), RandShiftIntensity(0.3, prob=0.8)])
    dataset = Dataset([torch.full((1, 4), float(i)) for i in range(6)], transform)
    sampler = DistributedSampler(dataset, num_replicas=1, rank=0, shuffle=shuffle, seed=0)
    loader = DataLoader(dataset, batch_size=2, sampler=sampler, num_workers=num_workers)
    seen: dict[int, list[torch.Tensor]] = {}

    def step(engine: Engine, batch: torch.Tensor) -> None:
        seen.setdefault(engine.state.epoch, []).append(batch + torch.rand(()))

    engine = Engine(step)
    EpochSeed(seed, loader).attach(engine)
    engine.load_state_dict({"epoch": after_epoch, "max_epochs": EPOCHS, "epoch_length": epoch_length or len(loader)})
    engine.run(loader)
    return {epoch: torch.cat(found).as_subclass(torch.Tensor).flatten(1) for epoch, found in seen.items()}


@pytest.fixture(scope="module", params=[0, 2], ids=["0 workers", "2 workers"])
def runs(request: pytest.FixtureRequest) -> Iterator[tuple[int, Batches]]:
    """An uninterrupted run, begun with random states that happen to be."""
    yield request.param, batches(seed=7, num_workers=request.param)


def test_a_resumed_epoch_is_the_uninterrupted_one(runs: tuple[int, Batches]) -> None:
    num_workers, whole = runs
    torch.rand(5)
    resumed = batches(seed=7, num_workers=num_workers, after_epoch=1)
    assert list(resumed) == [2, 3]
    for epoch, found in resumed.items():
        assert torch.equal(found, whole[epoch])


def test_epochs_differ(runs: tuple[int, Batches]) -> None:
    _, whole = runs
    assert list(whole) == [1, 2, 3]
    assert all(found.shape == (6, 4) for found in whole.values())
    assert not any(torch.equal(whole[a], whole[b]) for a, b in ((1, 2), (1, 3), (2, 3)))
    orders = {tuple(found.mean(1).argsort().tolist()) for found in whole.values()}
    assert len(orders) == 3


@pytest.mark.parametrize("num_workers", [0, 2])
def test_random_transforms_differ_between_epochs_without_shuffling_too(num_workers: int) -> None:
    whole = batches(seed=7, num_workers=num_workers, shuffle=False)
    assert not any(torch.isclose(whole[a], whole[b]).all(1).any() for a, b in ((1, 2), (1, 3), (2, 3)))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_epoch_shorter_than_the_data_starts_anew(num_workers: int) -> None:
    whole = batches(seed=7, num_workers=num_workers, epoch_length=2)
    resumed = batches(seed=7, num_workers=num_workers, epoch_length=2, after_epoch=1)
    assert torch.equal(resumed[2], whole[2])


def test_seeds_differ(runs: tuple[int, Batches]) -> None:
    num_workers, whole = runs
    other = batches(seed=8, num_workers=num_workers, after_epoch=2)
    assert not torch.equal(other[3], whole[3])


def test_samples_of_one_epoch_have_noise_of_their_own(runs: tuple[int, Batches]) -> None:
    _, whole = runs
    spread = whole[1].std(1)[whole[1].std(1) > 1e-3]
    assert len(spread.unique()) == len(spread) > 2


@pytest.mark.parametrize("num_workers", [0, 2])
def test_processes_draw_other_augmentations_for_the_same_cases(num_workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    first = batches(seed=7, num_workers=num_workers, shuffle=False)
    monkeypatch.setattr("ignite.distributed.get_rank", lambda: 1)
    second = batches(seed=7, num_workers=num_workers, shuffle=False)
    assert not any(torch.isclose(first[epoch], second[epoch]).all(1).any() for epoch in first)


def test_a_loader_whose_order_no_epoch_can_tell_is_refused_in_words() -> None:
    with pytest.raises(TypeError, match="by a DistributedSampler; the loader's sampler is a SequentialSampler"):
        EpochSeed(seed=7, data_loader=DataLoader(Dataset([0, 1])))
