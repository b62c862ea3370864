"""An interrupted training goes on as if nothing had happened, and the best network so far is never lost."""

import os
import random
import resource
import shutil
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
import torch
from ignite.engine import Engine, Events
from ignite.handlers import EarlyStopping
from ignite.metrics import Average
from monai.data import DataLoader, Dataset, DistributedSampler
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.handlers import LrScheduleHandler, ValidationHandler
from monai.optimizers import WarmupCosineSchedule
from monai.transforms import RandGaussianNoised
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from scripts.files.checkpoint_file import read_about, read_checkpoint, write_checkpoint
from scripts.handlers import Checkpointing, EpochSeed, require_free

SCORES = (0.2, 0.6, 0.5, 0.7)  # of the validations after epochs 1, 2, 3, 4
CPU = torch.device("cpu")


class Killed(Exception):
    """Stands for whatever ends a process."""


def train(
    folder: Path,
    scores: Sequence[float] = SCORES,
    max_epochs: int = 4,
    cases: int = 4,
    resume: bool = False,
    killed_in: int | None = None,
    val_interval: int = 1,
    patience: int = 9,
    settings: Mapping[str, object] = {},
) -> nn.Module:
    """A training run with the parts of configs/train.json, toy-sized, whose validations have the given scores."""
    torch.manual_seed(int(resume))  # so that whatever is not resumed shows
    network = nn.Sequential(nn.Conv3d(1, 2, 1), nn.Dropout(0.3), nn.Conv3d(2, 1, 1))
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.05)
    generator = torch.Generator().manual_seed(0)
    data = [{key: torch.rand(1, 2, 2, 2, generator=generator) for key in ("image", "label")} for _ in range(cases)]
    dataset = Dataset(data, RandGaussianNoised("image", prob=0.5))
    loader = DataLoader(dataset, batch_size=2, sampler=DistributedSampler(dataset, num_replicas=1, rank=0))
    lr_scheduler = WarmupCosineSchedule(optimizer, warmup_steps=1, t_total=max_epochs * len(loader))
    evaluator = SupervisedEvaluator(
        device=CPU,
        val_data_loader=DataLoader(Dataset(data[:1]), batch_size=1),
        network=network,
        key_val_metric={"score": Average(output_transform=lambda _: float(scores[evaluator.state.epoch - 1]))},
    )
    trainer = SupervisedTrainer(
        device=CPU,
        max_epochs=max_epochs,
        train_data_loader=loader,
        network=network,
        optimizer=optimizer,
        loss_function=nn.MSELoss(),
        train_handlers=[
            EpochSeed(0, loader),
            LrScheduleHandler(lr_scheduler, print_lr=False, epoch_level=False),
            ValidationHandler(val_interval, evaluator),
        ],
        decollate=False,
    )
    early_stopping = EarlyStopping(
        patience=patience, score_function=lambda engine: engine.state.metrics["score"], trainer=trainer
    )
    evaluator.add_event_handler(Events.COMPLETED, early_stopping)
    objects = {"network": network, "optimizer": optimizer, "lr_scheduler": lr_scheduler, "early_stopping": early_stopping}
    Checkpointing(folder, objects, trainer, evaluator, resume, settings).attach()

    @trainer.on(Events.ITERATION_COMPLETED)
    def kill(engine: Engine) -> None:
        if engine.state.epoch == killed_in:
            raise Killed

    trainer.run()
    return network


def train_until_killed(folder: Path, epoch: int, **options: object) -> None:
    with pytest.raises(Killed):
        train(folder, killed_in=epoch, **options)


def load(file: Path) -> dict:
    return torch.load(file, weights_only=True)


def assert_identical(a: object, b: object) -> None:
    """Bit for bit, down to the last number of a nested state."""
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_identical(a[key], b[key])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for one, other in zip(a, b, strict=True):
            assert_identical(one, other)
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    else:
        assert a == b


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("uninterrupted")
    train(folder)
    return folder


def test_the_best_and_the_last_are_written_and_nothing_else(tmp_path: Path) -> None:
    network = train(tmp_path, scores=(0.2, 0.6, 0.5, 0.5))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["last.pt", "model.pt"]
    last = load(tmp_path / "last.pt")
    assert_identical(last["network"], network.state_dict())
    assert (last["epoch"], last["best_metric"], last["best_metric_epoch"]) == (4, 0.6, 2)
    train_until_killed(tmp_path / "until 3", 3, scores=(0.2, 0.6))
    assert_identical(load(tmp_path / "model.pt"), load(tmp_path / "until 3" / "last.pt")["network"])


@pytest.mark.parametrize("epoch", [2, 3, 4])
def test_a_resumed_training_ends_as_the_uninterrupted_one(tmp_path: Path, uninterrupted: Path, epoch: int) -> None:
    train_until_killed(tmp_path, epoch)
    assert load(tmp_path / "last.pt")["epoch"] == epoch - 1
    train(tmp_path, resume=True)
    for name in ("last.pt", "model.pt"):
        assert_identical(load(tmp_path / name), load(uninterrupted / name))


def test_a_training_may_be_interrupted_again_and_again(tmp_path: Path, uninterrupted: Path) -> None:
    train_until_killed(tmp_path, 2)
    train_until_killed(tmp_path, 3, resume=True)
    train_until_killed(tmp_path, 3, resume=True)
    train(tmp_path, resume=True)
    assert_identical(load(tmp_path / "last.pt"), load(uninterrupted / "last.pt"))


def test_a_worse_epoch_after_resuming_leaves_the_best_alone(tmp_path: Path) -> None:
    train_until_killed(tmp_path, 3, scores=(0.2, 0.6))
    best = load(tmp_path / "model.pt")
    train(tmp_path, scores=(0.2, 0.6, 0.3, 0.5), resume=True)
    assert_identical(load(tmp_path / "model.pt"), best)
    assert load(tmp_path / "last.pt")["best_metric_epoch"] == 2


def test_a_better_epoch_after_resuming_becomes_the_best(tmp_path: Path) -> None:
    train_until_killed(tmp_path, 3, scores=(0.2, 0.6))
    network = train(tmp_path, scores=(0.2, 0.6, 0.3, 0.7), resume=True)
    assert_identical(load(tmp_path / "model.pt"), network.state_dict())


def test_epochs_without_validation_can_be_resumed_too(tmp_path: Path) -> None:
    train_until_killed(tmp_path, 2, val_interval=2)
    assert not (tmp_path / "model.pt").exists()
    train(tmp_path, val_interval=2, resume=True, scores=(0, -2.0, 0, -3.0))
    assert load(tmp_path / "last.pt")["best_metric_epoch"] == 2
    assert (tmp_path / "model.pt").exists()


def test_a_new_training_does_not_replace_another(tmp_path: Path, uninterrupted: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(uninterrupted, folder)
    require_free(folder, resume=True)
    with pytest.raises(FileExistsError, match=r"copy already holds a training run.*--resume"):
        require_free(folder, resume=False)
    (folder / "last.pt").unlink()  # as after a kill in the first epoch, between both files
    require_free(folder, resume=False)


def theirs(path: Path) -> None:
    torch.save({"weight": torch.zeros(1)}, path)


def text(path: Path) -> None:
    path.write_text("weights")


def of_ours(path: Path) -> None:
    """Changed after it was sealed."""
    write_checkpoint(path, {"weight": torch.zeros(1)})
    path.write_bytes(path.read_bytes().replace(b"weight", b"height"))


@pytest.mark.parametrize("write", [theirs, text, of_ours, Path.touch, Path.mkdir, os.mkfifo])
@pytest.mark.parametrize("resume", [False, True])
def test_somebody_else_s_model_is_not_overwritten(tmp_path: Path, write: Callable[[Path], object], resume: bool) -> None:
    write(tmp_path / "model.pt")
    with pytest.raises(FileExistsError, match=r"model\.pt is there and was not written by this bundle.*another output folder"):
        require_free(tmp_path, resume)


def test_an_empty_folder_is_free(tmp_path: Path) -> None:
    require_free(tmp_path, resume=False)
    require_free(tmp_path / "to be made", resume=False)


def test_there_must_be_something_to_resume(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing to resume: no .*last\.pt"):
        train(tmp_path, resume=True)


@pytest.mark.parametrize(
    ("changed", "named"),
    [({"max_epochs": 6}, "4 epochs in all, now there are 6"), ({"cases": 6}, "2 iterations an epoch, now there are 3")],
)
def test_another_training_is_not_resumed(tmp_path: Path, changed: dict[str, int], named: str) -> None:
    train_until_killed(tmp_path, 3)
    before = (tmp_path / "last.pt").read_bytes()
    with pytest.raises(ValueError, match=named):
        train(tmp_path, scores=SCORES * 2, resume=True, **changed)
    assert (tmp_path / "last.pt").read_bytes() == before


def test_a_complete_training_is_not_resumed(tmp_path: Path) -> None:
    train(tmp_path)
    with pytest.raises(ValueError, match=r"complete \(4 epochs\)"):
        train(tmp_path, resume=True)


def test_a_training_that_stopped_early_is_complete(tmp_path: Path) -> None:
    early = {"scores": (0.2, 0.1, 0.1, 0.1), "patience": 2}
    train(tmp_path, **early)
    with pytest.raises(ValueError, match=r"complete \(3 epochs\)"):
        train(tmp_path, resume=True, **early)


def test_a_full_disk_leaves_the_previous_checkpoint(tmp_path: Path) -> None:
    train_until_killed(tmp_path, 3)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match=r"last\.pt cannot be written: File too large, .* GB free; make room there"):
            train(tmp_path, resume=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_kill_between_the_two_files_of_an_epoch_is_made_good(
    tmp_path: Path, uninterrupted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise Killed

    train_until_killed(tmp_path, 2)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Checkpointing, "_save_last", killed)
        train(tmp_path, resume=True)
    ahead = (tmp_path / "model.pt").read_bytes()
    train_until_killed(tmp_path, 3, resume=True)
    assert (tmp_path / "model.pt").read_bytes() == ahead
    train(tmp_path, resume=True)
    for name in ("last.pt", "model.pt"):
        assert (tmp_path / name).read_bytes() == (uninterrupted / name).read_bytes()


def test_leftovers_of_a_killed_training_are_removed(tmp_path: Path) -> None:
    train_until_killed(tmp_path, 2)
    left = tmp_path / f".partial.{socket.gethostname()}.{2**22 + 1}.0123abcd.pt"  # beyond Linux' largest process id
    left.write_bytes(b"half a checkpoint")
    train(tmp_path, resume=True)
    assert not left.exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_network_that_is_not_finite_is_never_saved(tmp_path: Path, value: float) -> None:
    train_until_killed(tmp_path, 3)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    def spoil(optimizer: torch.optim.Optimizer, *_: object) -> None:
        optimizer.param_groups[0]["params"][0].data[0] = value

    hook = register_optimizer_step_post_hook(spoil)
    try:
        with pytest.raises(FloatingPointError, match=r"0\.weight of the network became NaN or infinite in epoch 3.*untouched"):
            train(tmp_path, resume=True)
    finally:
        hook.remove()
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


SETTINGS = {"labels": {"0": "background"}, "spacing": (1.0, 1.0, 2.0)}


def test_both_files_carry_what_the_training_is_about(tmp_path: Path) -> None:
    train(tmp_path, settings=SETTINGS)
    for name in ("last.pt", "model.pt"):
        assert read_about(tmp_path / name) == {"labels": {"0": "background"}, "spacing": [1.0, 1.0, 2.0]}


def test_a_training_is_resumed_with_the_same_settings_only(tmp_path: Path) -> None:
    train_until_killed(tmp_path, 2, settings=SETTINGS)
    before = (tmp_path / "last.pt").read_bytes()
    with pytest.raises(ValueError) as error:
        train(tmp_path, resume=True, settings={"spacing": (1.0, 1.0, 3.0), "labels": {"0": "background"}, "axcodes": "RAS"})
    assert (
        "other settings: axcodes was not set, now it is RAS; spacing was [1.0, 1.0, 2.0], now it is [1.0, 1.0, 3.0]; resume"
        in str(error.value)
    )
    assert "with the same ones, or start anew in another output folder" in str(error.value)
    assert (tmp_path / "last.pt").read_bytes() == before
    circumstances = {"num_workers": 7, "inferer": {"memory": 5}, "nsd_tolerance": 3.0}
    train(tmp_path, resume=True, settings={**SETTINGS, **circumstances})


def test_a_damaged_checkpoint_is_refused_by_name_with_what_is_left(tmp_path: Path) -> None:
    train_until_killed(tmp_path, epoch=2)
    path = tmp_path / "last.pt"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=f"{path} cannot be read .*{tmp_path / 'model.pt'} still holds the best"):
        train(tmp_path, resume=True)
    (tmp_path / "model.pt").unlink()
    with pytest.raises(ValueError, match=r"again\. a training anew needs another output folder$"):
        train(tmp_path, resume=True)


@pytest.mark.parametrize("name", ["last.pt", "model.pt"])
def test_every_flipped_bit_in_a_checkpoint_is_noticed(tmp_path: Path, name: str, uninterrupted: Path) -> None:
    whole, generator = (uninterrupted / name).read_bytes(), random.Random(name)
    for position in (generator.randrange(len(whole)) for _ in range(40)):
        (tmp_path / name).write_bytes(whole[:position] + bytes([whole[position] ^ 1 << position % 8]) + whole[position + 1 :])
        with pytest.raises(ValueError, match="damaged"):
            read_checkpoint(tmp_path / name)
