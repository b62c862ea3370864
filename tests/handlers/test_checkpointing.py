"""An interrupted training goes on as if nothing had happened, and the best network so far is never lost."""

import random
import resource
import shutil
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

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

from scripts.basics.case import Case
from scripts.files.checkpoint_file import read_about, read_checkpoint, write_checkpoint
from scripts.handlers import Checkpointing, EpochSeed, ModelEMA, check_run_folder, checkpointing

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
    listed: Mapping[str, Sequence[Case]] = {},
    validates: bool = True,
    decay: float | None = None,
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
        val_data_loader=DataLoader(Dataset(data[: int(validates)]), batch_size=1),
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
            *([ValidationHandler(val_interval, evaluator)] if validates else []),
        ],
        decollate=False,
    )
    early_stopping = EarlyStopping(
        patience=patience, score_function=lambda engine: engine.state.metrics["score"], trainer=trainer
    )
    evaluator.add_event_handler(Events.COMPLETED, early_stopping)
    objects = {"network": network, "optimizer": optimizer, "lr_scheduler": lr_scheduler, "early_stopping": early_stopping}
    averaged = {}
    if decay is not None:
        objects["ema"] = ModelEMA(network, evaluator, decay)
        objects["ema"].attach(trainer)
        averaged["averaged"] = objects["ema"].averaged
    Checkpointing(folder, objects, trainer, evaluator, resume, settings, listed, metric_range=(-5, 1), **averaged).attach()

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


@pytest.mark.parametrize("epoch", [2, 3, 4])
def test_with_averaged_weights_a_resumed_training_ends_as_the_uninterrupted_one(tmp_path: Path, epoch: int) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(whole, decay=0.9)
    train_until_killed(parts, epoch, decay=0.9)
    train(parts, resume=True, decay=0.9)
    for name in ("last.pt", "model.pt"):
        assert_identical(load(parts / name), load(whole / name))


@pytest.mark.parametrize("validates", [True, False])
def test_a_best_network_that_is_gone_is_written_again_with_averaged_weights(tmp_path: Path, validates: bool) -> None:
    """As after a kill between the two files of the first epoch."""
    train_until_killed(tmp_path, 2, decay=0.9, validates=validates)
    before = load(tmp_path / "model.pt")
    (tmp_path / "model.pt").unlink()
    train_until_killed(tmp_path, 2, decay=0.9, validates=validates, resume=True)
    assert_identical(load(tmp_path / "model.pt"), before)


def test_a_training_may_be_interrupted_again_and_again(tmp_path: Path, uninterrupted: Path) -> None:
    train_until_killed(tmp_path, 2)
    train_until_killed(tmp_path, 3, resume=True)
    train_until_killed(tmp_path, 3, resume=True)
    train(tmp_path, resume=True)
    assert_identical(load(tmp_path / "last.pt"), load(uninterrupted / "last.pt"))


def test_a_training_run_in_mixed_precision_is_resumed_where_there_is_none(tmp_path: Path, uninterrupted: Path) -> None:
    train_until_killed(tmp_path, 3)
    state = read_checkpoint(tmp_path / "last.pt")
    write_checkpoint(tmp_path / "last.pt", {**state, "scaler": torch.amp.GradScaler("cpu").state_dict()}, {})
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
    with pytest.raises(FileExistsError, match=r"copy already holds a training run.*--resume"):
        check_run_folder(folder, resume=False)


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
    with pytest.raises(ValueError, match=r"again\. a new training run needs another output folder$"):
        train(tmp_path, resume=True)


def case(image: str, contents: str) -> Case:
    return {"image": image, "contents": contents}


CASES = {"training": [case("a.nii", "1"), case("b.nii", "2")], "validation": [case("c.nii", "3")]}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"training": [case("a.nii", "1"), case("b.nii", "4")]}, "1 of 2 for training differ.* first b.nii"),
        ({"training": [case("b.nii", "2"), case("a.nii", "1")]}, "2 of 2 for training differ, or their order does"),
        ({"training": [case("a.nii", "1")]}, "2 for training, now there are 1"),
        ({"validation": [case("d.nii", "5")]}, "1 of 1 for validation differ.* first d.nii"),
    ],
    ids=["contents", "order", "number", "validation"],
)
def test_a_training_is_resumed_on_the_same_cases_only(tmp_path: Path, changed: Mapping[str, list[Case]], said: str) -> None:
    train_until_killed(tmp_path, 2, listed=CASES)
    before = (tmp_path / "last.pt").read_bytes()
    with pytest.raises(ValueError, match=rf"last\.pt belongs to a training run on other cases: {said}"):
        train(tmp_path, resume=True, listed={**CASES, **changed})
    assert (tmp_path / "last.pt").read_bytes() == before
    elsewhere = {part: [{**case, "image": f"/moved/{case['image']}"} for case in cases] for part, cases in CASES.items()}
    train(tmp_path, resume=True, listed=elsewhere)


def set_to(*keys: object) -> Callable[[dict], None]:
    """keys: down to what is replaced, and the value."""
    *folders, last, value = keys

    def spoil(state: dict) -> None:
        for key in folders:
            state = state[key]
        state[last] = value

    return spoil


def without(key: str) -> Callable[[dict], None]:
    return lambda state: state.pop(key)


MOMENTS = ("optimizer", "state", 0)
IMPOSSIBLE = {
    "epoch 999": (set_to("epoch", 999), "epoch 999 of 4"),
    "epoch 0": (set_to("epoch", 0), "epoch 0 of 4"),
    "epoch in words": (set_to("epoch", "two"), "epoch is 'two', no whole number"),
    "epoch and a half": (set_to("epoch", 1.5), "epoch is 1.5, no whole number"),
    "empty epochs": (set_to("epoch_length", 0), "an epoch has 0 iterations"),
    "no optimizer": (without("optimizer"), "lacks optimizer"),
    "an empty optimizer": (set_to("optimizer", {}), "its optimizer does not fit"),
    "another thing as optimizer": (set_to("optimizer", 7), "its optimizer does not fit"),
    "no moments": (set_to("optimizer", "state", {}), "there are no moments"),
    "NaN among weights": (set_to("network", "0.weight", torch.full((2, 1, 1, 1, 1), torch.nan)), "network#0.weight is NaN"),
    "NaN among moments": (set_to(*MOMENTS, "exp_avg", torch.full((2, 1, 1, 1, 1), torch.nan)), "exp_avg is NaN"),
    "infinite moments": (set_to(*MOMENTS, "exp_avg_sq", torch.full((2, 1, 1, 1, 1), torch.inf)), "exp_avg_sq is NaN or inf"),
    "negative squares": (set_to(*MOMENTS, "exp_avg_sq", -torch.ones(2, 1, 1, 1, 1)), "exp_avg_sq, a mean of squares, is neg"),
    "moments of others": (set_to(*MOMENTS, "exp_avg", torch.ones(3)), r"exp_avg has the shape \(3,\), its parameter \(2, 1"),
    "weights of others": (set_to("network", "0.weight", torch.ones(3)), "its network does not fit"),
    "no scheduler": (set_to("lr_scheduler", None), "its lr_scheduler does not fit"),
    "no counter": (set_to("early_stopping", {}), "its early_stopping does not fit"),
    "a learning rate that is NaN": (set_to("lr_scheduler", "_last_lr", [float("nan")]), "_last_lr#0 is NaN"),
    "best metric too good": (set_to("best_metric", 7.0), "the best metric is 7, metric_range says -5 to 1"),
    "best metric NaN": (set_to("best_metric", float("nan")), "best_metric is NaN"),
    "best metric infinite": (set_to("best_metric", float("inf")), "best_metric is inf"),
    "best metric in words": (set_to("best_metric", "good"), "best_metric is 'good'"),
    "the best to come": (set_to("best_metric_epoch", 3), "the best network is of epoch 3, after 2 epochs"),
    "complete in words": (set_to("complete", "no"), "complete is neither true nor false"),
    "cases of another kind": (set_to("cases", 3), "cases is no dictionary"),
    "no cases": (without("cases"), "another version of the bundle: it lacks cases"),
}


@pytest.mark.parametrize(("spoil", "said"), IMPOSSIBLE.values(), ids=IMPOSSIBLE.keys())
def test_a_state_that_cannot_be_is_refused_with_the_last_good_file(
    tmp_path: Path, spoil: Callable[[dict], object], said: str
) -> None:
    train_until_killed(tmp_path, 3)
    state = read_checkpoint(tmp_path / "last.pt")
    spoil(state)
    write_checkpoint(tmp_path / "last.pt", state)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(ValueError, match=rf"^{tmp_path / 'last.pt'}.*{said}") as error:
        train(tmp_path, resume=True)
    assert f"{tmp_path / 'model.pt'} still holds the best weights so far; a new training run needs" in str(error.value)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_the_best_network_is_no_state_to_resume_from(tmp_path: Path) -> None:
    train_until_killed(tmp_path, 3)
    shutil.copy(tmp_path / "model.pt", tmp_path / "last.pt")
    with pytest.raises(ValueError, match=r"last\.pt is not the state of .*lacks .*optimizer.*model\.pt still holds"):
        train(tmp_path, resume=True)


@pytest.mark.parametrize("name", ["last.pt", "model.pt"])
def test_a_file_saved_anew_by_another_program_is_refused(tmp_path: Path, name: str) -> None:
    train_until_killed(tmp_path, 3)
    torch.save(load(tmp_path / name), tmp_path / name)
    before = (tmp_path / name).read_bytes()
    with pytest.raises(ValueError, match=f"{tmp_path / name} was not written by"):
        train(tmp_path, resume=True)
    assert (tmp_path / name).read_bytes() == before


def test_the_best_network_of_another_run_is_not_overwritten(tmp_path: Path) -> None:
    train_until_killed(tmp_path / "a", 3, settings=SETTINGS)
    train_until_killed(tmp_path / "b", 3, settings={**SETTINGS, "batch_size": 5})
    shutil.copy(tmp_path / "b" / "model.pt", tmp_path / "a" / "model.pt")
    with pytest.raises(ValueError, match=r"a/model\.pt belongs to a training run with other settings: batch_size was 5"):
        train(tmp_path / "a", resume=True, settings=SETTINGS)


@pytest.mark.parametrize("sealed", [True, False])
def test_a_network_that_lies_in_the_folder_is_not_overwritten(tmp_path: Path, sealed: bool) -> None:
    path = tmp_path / "model.pt"
    save = write_checkpoint if sealed else (lambda path, state: torch.save(state, path))
    save(path, {"weight": torch.ones(3)})
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match=rf"{path} is there and no last\.pt beside it"):
        train(tmp_path)
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [before]


@pytest.mark.parametrize("name", ["model.pt", "last.pt", "report.json", "checked.json", "events"])
@pytest.mark.parametrize("resume", [True, False])
def test_what_is_in_the_place_of_a_file_of_the_run_is_named(tmp_path: Path, name: str, resume: bool) -> None:
    (tmp_path / name).touch() if name == "events" else (tmp_path / name).mkdir()
    with pytest.raises(FileExistsError, match=rf"{tmp_path / name} must be a {'folder' if name == 'events' else 'file'}"):
        check_run_folder(tmp_path, resume)


def test_a_kill_between_the_two_files_of_the_first_epoch_is_made_good(
    tmp_path: Path, uninterrupted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = checkpointing.write_checkpoint

    def killed_before_the_best(path: Path, *rest: Any) -> None:
        if path.name == "model.pt":
            raise Killed
        write(path, *rest)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(checkpointing, "write_checkpoint", killed_before_the_best)
        train(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["last.pt"]
    train_until_killed(tmp_path, 2, resume=True)
    assert_identical(load(tmp_path / "model.pt"), load(tmp_path / "last.pt")["network"])
    train(tmp_path, resume=True)
    assert (tmp_path / "model.pt").read_bytes() == (uninterrupted / "model.pt").read_bytes()


def test_a_best_network_that_is_gone_is_said_and_replaced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    train_until_killed(tmp_path, 4, scores=(0.2, 0.6, 0.5))
    (tmp_path / "model.pt").unlink()
    train(tmp_path, scores=(0.2, 0.6, 0.5, 0.1), resume=True)
    assert f"{tmp_path / 'model.pt'} is gone: the best network will be" in caplog.text
    assert_identical(load(tmp_path / "model.pt"), load(tmp_path / "last.pt")["network"])


def test_of_equally_good_epochs_the_first_is_the_best(tmp_path: Path) -> None:
    train_until_killed(tmp_path, 4, scores=(0.2, 0.6, 0.6))
    best = (tmp_path / "model.pt").read_bytes()
    train(tmp_path, scores=(0.2, 0.6, 0.6, 0.6), resume=True)
    assert load(tmp_path / "last.pt")["best_metric_epoch"] == 2
    assert (tmp_path / "model.pt").read_bytes() == best


def test_a_resumed_training_stops_as_early_as_the_uninterrupted_one(tmp_path: Path) -> None:
    early = {"scores": (0.5, 0.1, 0.1, 0.1, 0.1, 0.1), "patience": 3, "max_epochs": 6}
    for epoch in (3, 4):
        train_until_killed(tmp_path / str(epoch), epoch, **early)
        assert load(tmp_path / str(epoch) / "last.pt")["early_stopping"]["counter"] == epoch - 2
        train(tmp_path / str(epoch), resume=True, **early)
        assert load(tmp_path / str(epoch) / "last.pt")["epoch"] == 4


@pytest.mark.parametrize("name", ["last.pt", "model.pt"])
def test_every_flipped_bit_in_a_checkpoint_is_noticed(tmp_path: Path, name: str, uninterrupted: Path) -> None:
    whole, generator = (uninterrupted / name).read_bytes(), random.Random(name)
    for position in (generator.randrange(len(whole)) for _ in range(40)):
        (tmp_path / name).write_bytes(whole[:position] + bytes([whole[position] ^ 1 << position % 8]) + whole[position + 1 :])
        with pytest.raises(ValueError, match="damaged"):
            read_checkpoint(tmp_path / name)


def test_without_validation_the_last_network_is_the_model_and_a_resumed_one_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    network = train(tmp_path / "whole", validates=False)
    assert_identical(load(tmp_path / "whole" / "model.pt"), dict(network.state_dict()))
    assert f"the network of the last epoch, without validation: {tmp_path / 'whole' / 'model.pt'}" in caplog.messages
    train_until_killed(tmp_path / "parts", epoch=3, validates=False)
    assert_identical(load(tmp_path / "parts" / "model.pt"), load(tmp_path / "parts" / "last.pt")["network"])
    (tmp_path / "parts" / "model.pt").unlink()  # as if killed between the two files
    train(tmp_path / "parts", resume=True, validates=False)
    for name in ("model.pt", "last.pt"):
        assert_identical(load(tmp_path / "parts" / name), load(tmp_path / "whole" / name))
