"""train.json: what a training run is made of, what hangs together in it, and what it did."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import ignite.distributed as idist
import pytest
import torch
from ignite.engine import Engine, Events
from monai.data import DataLoader, Dataset, DistributedSampler
from monai.engines import IterationEvents, SupervisedEvaluator, SupervisedTrainer
from monai.inferers import SimpleInferer
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from scripts.data import read_datalist
from scripts.files.checkpoint_file import read_about, read_checkpoint
from scripts.inferers import VolumeInferer
from scripts.networks import SAM3D, ResidualDecoder
from scripts.run.plain_errors import plain_sentence

from .conftest import SETTINGS, Start, names, owners, parts

EPOCHS, STEPS = 7, 2  # of the three training cases two in a batch
WARM_UP = 6
OPTIONS: dict[str, Any] = {
    "seed": 7,
    "val_fraction": 0.5,
    "max_epochs": EPOCHS,
    "batch_size": 2,
    "learning_rate": 0.004,
    "weight_decay": 0.03,
    "warmup_fraction": WARM_UP / (EPOCHS * STEPS),
    "val_interval": 2,
    "early_stopping_patience": 9,
    "supervision_weights": [0.4, 0.3, 0.2, 0.1],
    "crop_pos": 5,
    "crop_neg": 3,
    "skip_bad": True,
}


class Step(NamedTuple):
    epoch: int
    rate: float
    image: torch.Tensor
    loss: float


class Training(NamedTuple):
    """get: id -> what was built for it. validations: of each its epoch and the mask and label of every case."""

    get: Callable[[str], Any]
    folder: Path
    steps: list[Step]
    validations: list[tuple[int, list[tuple[torch.Tensor, torch.Tensor]]]]
    modes: set[tuple[bool, bool, bool]]  # whenever slices are encoded: validates, network in training, with gradients


@pytest.fixture(scope="module")
def training(start: Start, dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Training:
    """A run that was watched."""
    folder = tmp_path_factory.mktemp("training") / "run"
    run = start("training", "train.json", dataset_dir=dataset, output_dir=folder, **OPTIONS)
    get = run.parser.get_parsed_content
    watched = Training(get, folder, [], [], set())
    trainer, evaluator, network = get("train#trainer"), get("validate#evaluator"), get("network_def")
    rates: list[float] = []
    validates = [False]

    @trainer.on(Events.ITERATION_STARTED)
    def _(engine: Engine) -> None:
        rates.append(get("optimizer").param_groups[0]["lr"])

    @trainer.on(IterationEvents.LOSS_COMPLETED)
    def _(engine: Engine) -> None:
        loss = engine.state.output["loss"].item()
        image = engine.state.batch["image"].as_subclass(torch.Tensor).clone()
        watched.steps.append(Step(engine.state.epoch, rates[-1], image, loss))

    @evaluator.on(Events.STARTED)
    def _(engine: Engine) -> None:
        watched.validations.append((trainer.state.epoch, []))
        validates[0] = True

    @evaluator.on(Events.ITERATION_COMPLETED)
    def _(engine: Engine) -> None:
        watched.validations[-1][1].extend((case["pred"].clone(), case["label"].clone()) for case in engine.state.output)

    @evaluator.on(Events.COMPLETED)
    def _(engine: Engine) -> None:
        validates[0] = False

    def note_mode(*_: Any) -> None:
        watched.modes.add((validates[0], network.training, torch.is_grad_enabled()))

    hook = network.encoder.register_forward_hook(note_mode)
    run.run()
    hook.remove()
    return watched


def one_hot(classes: torch.Tensor) -> torch.Tensor:
    """(1, H, W, D) -> (4, H, W, D)"""
    return torch.cat([classes == number for number in range(4)]).float()


def mean_dice(pairs: list[tuple[torch.Tensor, torch.Tensor]]) -> tuple[float, list[float]]:
    """Over the foreground classes, and of each of them; by set sizes."""
    of_cases = []
    for mask, label in (map(one_hot, pair) for pair in pairs):
        both, each = (mask * label).sum((1, 2, 3)), (mask + label).sum((1, 2, 3))
        of_cases.append(2 * both[1:] / each[1:])
    classes = torch.stack(of_cases).double().nanmean(0)
    return classes.nanmean().item(), classes.tolist()


def test_adamw_trains_the_decoder_alone_with_weight_decay(training: Training) -> None:
    optimizer, network = training.get("optimizer"), training.get("network_def")
    (group,) = optimizer.param_groups
    assert isinstance(optimizer, torch.optim.AdamW)
    assert (group["initial_lr"], group["weight_decay"]) == (0.004, 0.03)
    assert {*group["params"]} == {*network.decoder.parameters()}
    assert not any(parameter.requires_grad for parameter in network.encoder.parameters())


def test_the_rate_rises_along_a_line_and_falls_along_half_a_cosine_step_by_step(training: Training) -> None:
    total = EPOCHS * STEPS
    rise = [step / WARM_UP for step in range(WARM_UP)]
    fall = [(1 + math.cos(math.pi * step / (total - WARM_UP))) / 2 for step in range(total - WARM_UP)]
    assert [step.rate for step in training.steps] == pytest.approx([0.004 * factor for factor in rise + fall])


def test_the_network_trains_on_crops_and_validates_in_evaluation_without_gradients(training: Training) -> None:
    assert {step.image.shape for step in training.steps} == {(2, 1, 32, 48, 8), (1, 1, 32, 48, 8)}
    assert training.modes == {(False, True, True), (True, False, False)}


def test_it_validates_at_the_interval_and_after_the_last_epoch_on_all_cases(training: Training) -> None:
    assert [epoch for epoch, _ in training.validations] == [2, 4, 6, 7]
    assert [len(pairs) for _, pairs in training.validations] == [3] * 4
    schedule = training.get("train#handlers")[3]
    assert schedule.validator is training.get("validate#evaluator")


def test_validation_measures_dice_of_classes_without_the_background(training: Training) -> None:
    mean, classes = mean_dice(training.validations[-1][1])
    metrics = training.get("validate#evaluator").state.metrics
    assert metrics["val_mean_dice"] == pytest.approx(mean, abs=1e-6)
    found = [metrics[f"val_dice/{name}"] for name in ("liver", "kidney", "vessel")]
    assert found == pytest.approx(classes, abs=1e-6, nan_ok=True)


def test_masks_of_validation_are_the_likeliest_class(training: Training) -> None:
    logits, label = torch.rand(4, 6, 5, 4), torch.randint(4, (1, 6, 5, 4))
    both = training.get("validate#postprocessing")({"pred": logits, "label": label})
    assert torch.equal(both["pred"], logits.argmax(0, keepdim=True).float())
    assert torch.equal(both["label"], label)


def test_the_best_network_is_that_of_the_best_validation(training: Training) -> None:
    best = max((mean_dice(pairs)[0], -epoch) for epoch, pairs in training.validations)
    last = read_checkpoint(training.folder / "last.pt")
    assert (last["best_metric"], last["best_metric_epoch"]) == (pytest.approx(best[0], abs=1e-6), -best[1])
    assert (last["epoch"], last["epoch_length"], last["max_epochs"], last["complete"]) == (EPOCHS, STEPS, EPOCHS, True)


def test_the_training_metric_is_the_mean_loss_and_the_least_one_is_the_best(training: Training) -> None:
    losses = [sum(step.loss for step in training.steps if step.epoch == n + 1) / STEPS for n in range(EPOCHS)]
    state = training.get("train#trainer").state
    assert state.metrics["train_loss"] == pytest.approx(losses[-1])
    assert (state.key_metric_name, state.best_metric) == ("train_loss", pytest.approx(min(losses)))


def test_the_loss_is_weighted_cross_entropy_and_squared_dice_over_all_classes(training: Training) -> None:
    logits, label = [torch.randn(2, 4, 8, 8, 4) for _ in range(4)], torch.randint(4, (2, 1, 8, 8, 4))
    truth = nn.functional.one_hot(label[:, 0], 4).movedim(-1, 1).float()
    expected = 0.0
    for weight, level in zip((0.4, 0.3, 0.2, 0.1), logits, strict=True):
        found = level.softmax(1)
        overlap, sizes = (found * truth).sum((2, 3, 4)), (found**2 + truth**2).sum((2, 3, 4))
        cross_entropy = -(truth * level.log_softmax(1)).sum(1).mean()
        expected += weight * (cross_entropy + (1 - 2 * overlap / sizes).mean())
    assert training.get("loss")(logits, label).item() == pytest.approx(float(expected), abs=1e-4)


def test_every_epoch_is_seeded_and_every_loss_and_file_is_watched_in_this_order(training: Training) -> None:
    trainer, evaluator = training.get("train#trainer"), training.get("validate#evaluator")
    seed, loader = training.get("train#handlers")[0], training.get("train#dataloader")
    assert (seed.seed, seed.data_loader) == (7, loader)
    assert seed in owners(trainer, Events.EPOCH_STARTED)
    assert "StopOnNaN" in names(owners(trainer, IterationEvents.LOSS_COMPLETED))
    at_the_end = names(owners(trainer, Events.EPOCH_COMPLETED))
    ours = ["TensorBoardStatsHandler", "Checkpointing", "ProgressBar", "EpochLog"]  # validation was before, see `last.pt`
    assert [name for name in at_the_end if name in ours] == ours
    assert names(owners(evaluator, Events.COMPLETED))[-2:] == ["EarlyStopping", "Checkpointing"]
    assert "LrScheduleHandler" in names(owners(trainer, Events.ITERATION_COMPLETED))
    assert not training.get("train#handlers")[2].print_lr  # a line for each step, between those of the epochs
    assert names(training.get("train#handlers")) == [
        *("EpochSeed", "StopOnNaN", "LrScheduleHandler", "ValidationSchedule", "TensorBoardStatsHandler")
    ]


def test_training_ends_early_without_a_better_validation(training: Training) -> None:
    stopping, evaluator = training.get("early_stopping"), training.get("validate#evaluator")
    assert (stopping.patience, stopping.trainer) == (9, training.get("train#trainer"))
    assert stopping.best_score == evaluator.state.best_metric > 0


def test_a_checkpoint_holds_all_that_a_resumed_run_needs(training: Training) -> None:
    checkpointing = training.get("checkpointing")
    ids = {"network": "network_def", **{name: name for name in ("optimizer", "lr_scheduler", "early_stopping")}}
    assert checkpointing.objects == {name: training.get(identifier) for name, identifier in ids.items()}
    assert (checkpointing.trainer, checkpointing.evaluator) == (
        training.get("train#trainer"),
        training.get("validate#evaluator"),
    )
    assert (checkpointing.resume, checkpointing.metric_range) == (False, [0.0, 1.0])
    last = read_checkpoint(training.folder / "last.pt")
    assert last.keys() >= {*ids}
    assert {part: len(cases) for part, cases in last["cases"].items()} == {"training": 3, "validation": 3}
    for file in ("last.pt", "model.pt"):
        about = read_about(training.folder / file)
        assert {key: about.get(key) for key in OPTIONS} == {**OPTIONS, "skip_bad": None}  # which changes nothing
        assert about["encoder_weights"] == "random"


def test_cases_are_split_by_the_seed_and_checked_and_a_bad_one_is_left_out(training: Training, dataset: Path) -> None:
    listed = read_datalist(dataset, val_fraction=0.5, seed=7, labels=SETTINGS["labels"])
    images = {part: [case["image"] for case in found.cases] for part, found in listed.items()}
    assert {part: [case["image"] for case in training.get("cases")[part]] for part in images} == images
    other = read_datalist(dataset, val_fraction=0.5, seed=0)
    assert images["validation"] != [case["image"] for case in other["validation"].cases]
    for part in images:
        assert [
            case["image"] for case in training.get("train" if part == "training" else "validate")["dataset"].data
        ] == images[part]
    entries = json.loads((training.folder / "report.json").read_text())
    assert [entry["status"] for entry in entries].count("accepted") == 6
    assert [entry["status"] for entry in entries].count("refused") == 1
    assert len(json.loads((training.folder / "checked.json").read_text())) > 0


def test_labels_of_the_preset_and_of_the_data_must_agree(dataset: Path) -> None:
    contradiction = {"0": "background", "1": "kidney", "2": "liver", "3": "vessel"}
    for files in (["train.json"], ["train.json", "evaluate.json"]):
        get = parts(*files, dataset_dir=dataset, val_fraction=0.5, labels=contradiction)
        with pytest.raises(RuntimeError) as error:
            get("cases#cases" if len(files) == 1 else "cases")
        assert "its label names must be those of the preset; 'liver' is the value 1 there and 2" in plain_sentence(error.value)


def test_loaders_follow_their_samplers(training: Training) -> None:
    for group, size, shuffled in (("train", 2, True), ("validate", 1, False)):
        dataset, sampler, loader = (training.get(f"{group}#{part}") for part in ("dataset", "sampler", "dataloader"))
        assert (type(dataset), type(sampler), type(loader)) == (Dataset, DistributedSampler, DataLoader)
        assert (loader.dataset, sampler.dataset, loader.sampler) == (dataset, dataset, sampler)
        assert (loader.batch_size, loader.num_workers, sampler.shuffle) == (size, 1, shuffled)
        assert (sampler.num_replicas, sampler.rank, sampler.drop_last) == (1, 0, False)
        assert dataset.transform is training.get(f"{group}#preprocessing")
    assert training.get("train#sampler").seed == 7


def test_engines_are_given_what_belongs_to_them(training: Training) -> None:
    trainer, evaluator, network = (training.get(part) for part in ("train#trainer", "validate#evaluator", "network_def"))
    assert (type(trainer), type(evaluator), type(network)) == (SupervisedTrainer, SupervisedEvaluator, SAM3D)
    assert training.get("network") is training.get("trained_module") is trainer.network is evaluator.network is network
    assert (trainer.data_loader, evaluator.data_loader) == (
        training.get("train#dataloader"),
        training.get("validate#dataloader"),
    )
    assert (trainer.loss_function, trainer.optimizer) == (training.get("loss"), training.get("optimizer"))
    assert trainer.inferer is training.get("train#inferer")
    assert isinstance(trainer.inferer, SimpleInferer)
    assert evaluator.inferer is training.get("inferer")
    assert isinstance(evaluator.inferer, VolumeInferer)
    assert (evaluator.inferer.on_embeddings.roi_depth, evaluator.inferer.on_embeddings.mode) == (8, "windows")
    assert isinstance(trainer.state.batch, dict)  # not a list of cases: the loss is that of a batch
    assert trainer.state.device == evaluator.state.device == idist.device() == training.get("device")
    assert (trainer.amp, evaluator.amp) == (False, False)


def test_the_network_is_a_narrow_encoder_and_a_decoder_of_every_class(training: Training) -> None:
    network = training.get("network_def")
    assert isinstance(network.decoder, ResidualDecoder)
    assert network.eval()(torch.rand(1, 1, 32, 48, 3)).shape == (1, 4, 32, 48, 3)


def test_curves_bar_and_log_show_this_run(training: Training) -> None:
    handlers = training.get("train#handlers")[-1], training.get("validate#handlers")[-1]
    assert names(handlers) == ["TensorBoardStatsHandler"] * 2
    assert [handler.iteration_log for handler in handlers] == [False, False]
    writer, trackers = training.get("tensorboard"), training.get("trackers")
    assert names(trackers) == ["PurgeRepeated", "ValidationImages"]
    assert {handler._writer for handler in handlers} == {tracker.writer for tracker in trackers} == {writer}
    assert Path(writer.log_dir) == training.folder / "events"
    assert (trackers[1].evaluator, trackers[1].num_classes) == (training.get("validate#evaluator"), 4)
    assert trackers[0] in owners(training.get("train#trainer"), Events.STARTED)
    assert handlers[1] in owners(training.get("validate#evaluator"), Events.EPOCH_COMPLETED)
    assert training.get("epoch_log").evaluator is training.get("validate#evaluator")
    (output,) = (
        owner for owner in owners(training.get("train#trainer"), Events.ITERATION_COMPLETED) if "Output" in type(owner).__name__
    )
    assert output.output_transform({"loss": torch.tensor(2.0)}) == {"loss": 2.0}
    bar = training.get("progress_bar")
    assert (bar.tqdm_kwargs["disable"], "{rate_fmt}" in bar.bar_format) == (False, True)


def test_tensorboard_has_loss_rate_pace_dice_and_pictures_of_every_epoch(training: Training) -> None:
    events = EventAccumulator(str(training.folder / "events"), size_guidance={"images": 0}).Reload()
    epochs, validated = [*range(1, EPOCHS + 1)], [2, 4, 6, 7]
    dice = {"val_mean_dice", "val_dice/liver", "val_dice/kidney", "val_dice/vessel"}
    steps = {tag: [event.step for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    assert steps == {
        **dict.fromkeys(("train_loss", "learning_rate", "crops_per_second"), epochs),
        **dict.fromkeys(dice, validated),
    }
    rates = [sum(step.rate for step in training.steps if step.epoch == epoch) / STEPS for epoch in epochs]
    assert [event.value for event in events.Scalars("learning_rate")] == pytest.approx(rates, rel=1e-5)
    assert all(event.value > 0 for event in events.Scalars("crops_per_second"))
    assert training.get("train#additional_metrics")["crops_per_second"]._output_transform({"image": [0, 0]}) == 2
    drawn = {tag: [event.step for event in events.Images(tag)] for tag in events.Tags()["images"]}
    files = [Path(case["image"]).name for case in training.get("cases")["validation"]]
    assert drawn == {f"validation/{number}_{file}": validated for number, file in enumerate(files, start=1)}


def test_the_run_writes_no_more_than_it_says(training: Training) -> None:
    files = {"model.pt", "last.pt", "events", "report.json", "checked.json", ".lock"}
    assert {path.name for path in training.folder.iterdir()} == files


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "already holds a training run"),
        ({"resume": True}, "is complete"),
        ({"resume": True, "learning_rate": 0.005}, "learning_rate was 0.004, now it is 0.005"),
        ({"resume": True, "seed": 8}, "seed was 7, now it is 8"),
    ],
)
def test_a_folder_is_refused_before_the_data_is_read(
    start: Start, training: Training, settings: dict[str, Any], said: str
) -> None:
    run = start("training", "train.json", dataset_dir="none", output_dir=training.folder, **{**OPTIONS, **settings})
    with pytest.raises(RuntimeError) as error:
        run.run()
    assert said in plain_sentence(error.value)


def test_the_seed_alone_decides_the_first_weights(start: Start, dataset: Path, tmp_path: Path) -> None:
    weights = []
    for chance, seed in enumerate((7, 7, 8)):
        torch.manual_seed(chance)
        run = start("training", "train.json", dataset_dir=dataset, output_dir=tmp_path, seed=seed)
        torch.rand(chance + 1)  # what else may draw before the network is used
        weights.append(torch.cat([p.flatten() for p in run.parser.get_parsed_content("network_def").decoder.parameters()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_the_first_weights_are_those_of_init_from_by_class_before_the_data_is_read(
    start: Start, checkpoint: Path, tmp_path: Path
) -> None:
    named = {"0": "background", "2": "vessel", "7": "liver", "8": "new"}
    run = start("training", "train.json", dataset_dir="none", output_dir=tmp_path, init_from=checkpoint, labels=named, seed=8)
    fresh = {name: value.clone() for name, value in run.parser.get_parsed_content("network_def").state_dict().items()}
    with pytest.raises(RuntimeError) as error:
        run.run()
    assert "none/dataset.json" in plain_sentence(error.value)
    found, trained = run.parser.get_parsed_content("network_def").state_dict(), read_checkpoint(checkpoint)
    outputs = {name for name in found if ".heads." in name}
    assert len(outputs) == 8
    assert all(torch.equal(found[name], trained[name]) for name in found.keys() - outputs)
    for name in outputs:  # of background, liver, kidney and vessel
        assert torch.equal(found[name], torch.stack([*trained[name][[0, 3, 1]], fresh[name][3]]))


@pytest.mark.parametrize("settings", [{}, {"resume": "True", "init_from": "none.pt"}])
def test_without_init_from_or_resumed_no_checkpoint_is_read(start: Start, tmp_path: Path, settings: dict[str, Any]) -> None:
    run = start("training", "train.json", dataset_dir="none", output_dir=tmp_path, **settings)
    assert run.parser.get_parsed_content("training#2") is None


def test_an_init_from_that_is_not_there_is_refused_before_the_data_is_read(start: Start, tmp_path: Path) -> None:
    run = start("training", "train.json", dataset_dir="none", output_dir=tmp_path, init_from="none.pt")
    with pytest.raises(RuntimeError) as error:
        run.run()
    assert plain_sentence(error.value).startswith("no checkpoint at none.pt")


def test_of_several_processes_each_has_its_share_and_the_first_one_shows_it(
    monkeypatch: pytest.MonkeyPatch, phantoms: Path, tmp_path: Path
) -> None:
    monkeypatch.setattr(idist, "get_rank", lambda: 1)
    monkeypatch.setattr(idist, "get_world_size", lambda: 2)
    cases = {"cases": {"training": [{}] * 5, "validation": [{}] * 3}}
    get = parts("train.json", output_dir=tmp_path, **cases)
    indices = {group: [*get(f"{group}#sampler")] for group in ("train", "validate")}
    assert len(indices["train"]) == 3  # as many as the other has
    assert indices["validate"] == [1]  # none twice
    assert [names(get(f"{group}#handlers")) for group in ("train", "validate")] == [
        ["EpochSeed", "StopOnNaN", "LrScheduleHandler", "ValidationSchedule"],
        [],
    ]
    assert (get("trackers"), get("tensorboard")) == ([], None)
    assert get("progress_bar").tqdm_kwargs["disable"]
    monkeypatch.setattr(idist, "get_world_size", lambda: 4)
    assert [*parts("train.json", output_dir=tmp_path, **cases)("validate#sampler")] == [0, 1, 2]  # too few to share


def test_mixed_precision_is_for_cuda_and_reaches_both_engines(tmp_path: Path) -> None:
    assert [parts("train.json", device=device)("amp") for device in ("cpu", "cuda", "cuda:1")] == [False, True, True]
    for word, meant in (("true", True), ("False", False)):
        get = parts("train.json", amp=word, cases={"training": [{}], "validation": [{}]}, output_dir=tmp_path, device="cpu")
        assert (get("train#trainer").amp, get("validate#evaluator").amp) == (meant, meant)


def test_an_epoch_may_be_shorter_than_the_data(tmp_path: Path) -> None:
    cases = {"training": [{}] * 8, "validation": [{}]}
    get = parts("train.json", cases=cases, output_dir=tmp_path, batch_size=2, epoch_length=3, max_epochs=5)
    assert (len(get("train#dataloader")), get("train#trainer").state.epoch_length) == (4, 3)
    assert get("lr_scheduler").lr_lambdas[0](5 * 3) == 0


@pytest.mark.parametrize(("word", "meant"), [(True, True), ("True", True), ("false", False)])
def test_words_for_true_and_false_mean_them(word: object, meant: bool) -> None:
    get = parts("train.json", encoder_trainable=word, empty_labels=word)
    assert bool(get("network_def").encoder.trained) == meant
    assert get("deterministic_transforms")[0].empty_labels == meant


def test_without_cases_for_validation_nothing_validates(tmp_path: Path) -> None:
    get = parts("train.json", cases={"training": [{}, {}], "validation": []}, output_dir=tmp_path)
    assert names(get("train#handlers")) == ["EpochSeed", "StopOnNaN", "LrScheduleHandler", "TensorBoardStatsHandler"]
    assert len(get("validate#dataloader")) == 0
    assert not get("checkpointing")._validates
