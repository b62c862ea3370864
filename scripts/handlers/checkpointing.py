"""The state of a training run <-> `last.pt`, its best network -> `model.pt`."""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from monai.engines import Evaluator, Trainer
from torch.optim import Optimizer

from ..basics.case import Case, file_of
from ..files.atomic_write import remove_partials
from ..files.checkpoint_file import write_checkpoint
from .run_folder import BEST, LAST, check_run_folder, read_state, refuse, refuse_complete

logger = logging.getLogger(__name__)


class Checkpointing:
    """After every epoch `last.pt`, after every improvement `model.pt` (the network's state dictionary), and resuming.

    `last.pt` holds the state of every object in `objects`, the epoch, the best metric so far, and digests of the cases.
    Together with `EpochSeed` that is all: a resumed run ends with the weights of an uninterrupted one. A kill between the two
    files of an epoch leaves a `model.pt` that is an epoch ahead of `last.pt`: resuming repeats that epoch and writes the same
    `model.pt` again. Of the first epoch `last.pt` comes first, so that no `model.pt` is ever alone.

    An evaluator without cases measures nothing: then `model.pt` is the network of the last epoch.

    A network with NaN or infinite values is never saved.

    Args:
        output_dir: of both files.
        objects: name -> object with `state_dict` and `load_state_dict`; the one called `network` is what `model.pt` holds.
        trainer: whose epochs are saved.
        evaluator: whose best metric decides on `model.pt`.
        resume: go on from `last.pt`.
        settings: of this run, which both files carry; a run is resumed with the same ones of network, mask and training only.
        cases: of each part, with their `contents`; a run is resumed with the same ones in the same order only.
        metric_range: in which the key metric of the evaluator lies.
        averaged: gives a context in which the network has the weights that `model.pt` holds; by default those of training.

    Example:
        >>> import os, tempfile
        >>> import torch
        >>> from ignite.metrics import Average
        >>> from monai.engines import SupervisedEvaluator, SupervisedTrainer
        >>> from scripts.handlers import Checkpointing, ValidationSchedule
        >>> network, loader = torch.nn.Linear(4, 1), [{"image": torch.rand(2, 4), "label": torch.rand(2, 1)}]
        >>> optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        >>> score = {"score": Average(output_transform=lambda output: 0.5)}
        >>> evaluator = SupervisedEvaluator("cpu", loader, network, key_val_metric=score)
        >>> trainer = SupervisedTrainer("cpu", 1, loader, network, optimizer, torch.nn.MSELoss(), decollate=False)
        >>> ValidationSchedule(1, evaluator).attach(trainer)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     objects = {"network": network, "optimizer": optimizer}
        ...     Checkpointing(folder, objects, trainer, evaluator, resume=False).attach()
        ...     trainer.run()
        ...     sorted(os.listdir(folder))
        ['last.pt', 'model.pt']
    """

    def __init__(
        self,
        output_dir: str | Path,
        objects: Mapping[str, Any],
        trainer: Trainer,
        evaluator: Evaluator,
        resume: bool,
        settings: Mapping[str, Any] = {},
        cases: Mapping[str, Sequence[Case]] = {},
        metric_range: tuple[float, float] = (-torch.inf, torch.inf),
        averaged: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self.folder = Path(output_dir)
        self.objects = dict(objects)
        self.trainer = trainer
        self.evaluator = evaluator
        self.resume = resume
        self.settings = json.loads(json.dumps(settings))  # as it comes back from a file: tuples become lists
        self.cases = cases
        self.metric_range = metric_range
        self.averaged = averaged

    @property
    def _validates(self) -> bool:
        return self.evaluator.state.epoch_length != 0

    def attach(self) -> None:
        """Attach after validation and its handlers, so that their results of the epoch are part of what is saved.

        Raises:
            FileExistsError: if the folder holds what this run would overwrite.
            FileNotFoundError: if there is nothing to resume.
            ValueError: if what would be resumed is damaged, impossible, complete, of other settings or of other cases.
        """
        if self.resume:
            self._load()
        else:
            check_run_folder(self.folder, resume=False)
        if idist.get_rank() == 0:
            remove_partials(self.folder)
            if self._validates:
                self.evaluator.add_event_handler(Events.COMPLETED, self._save_if_best)
            else:
                self.trainer.add_event_handler(Events.EPOCH_COMPLETED, self._save_model)
            self.trainer.add_event_handler(Events.EPOCH_COMPLETED, self._save_last)
            self.trainer.add_event_handler(Events.COMPLETED, self._say_where)

    def _save_if_best(self, evaluator: Evaluator) -> None:
        if evaluator.state.best_metric_epoch == evaluator.state.epoch:
            self._save_model(evaluator)

    def _save_model(self, engine: Engine) -> None:
        if not (self.folder / LAST).exists():
            self._save({**self._state(), "complete": False}, LAST)
        self._save_network()

    def _save_network(self) -> None:
        with self.averaged():
            self._save(self.objects["network"].state_dict(), BEST)

    def _save_last(self, trainer: Engine) -> None:
        self._save(self._state(), LAST)

    def _state(self) -> dict[str, Any]:
        now = self.trainer.state
        state: dict[str, Any] = {name: thing.state_dict() for name, thing in self.objects.items()}
        if self.trainer.scaler is not None:
            state["scaler"] = self.trainer.scaler.state_dict()
        return {
            **state,
            "epoch": now.epoch,
            "epoch_length": now.epoch_length,
            "max_epochs": now.max_epochs,
            "complete": now.epoch == now.max_epochs or bool(self.trainer.should_terminate),  # early stop
            "best_metric": float(self.evaluator.state.best_metric),
            "best_metric_epoch": self.evaluator.state.best_metric_epoch,
            "cases": {part: [case.get("contents") for case in cases] for part, cases in self.cases.items()},
        }

    def _say_where(self, trainer: Engine) -> None:
        best = self.evaluator.state
        if not self._validates:
            logger.info("the network of the last epoch, without validation: %s", self.folder / BEST)
            return
        logger.info(
            "the best network, %s %.4f in epoch %s: %s",
            *(best.key_metric_name, best.best_metric, best.best_metric_epoch, self.folder / BEST),
        )

    def _save(self, state: dict[str, Any], name: str) -> None:
        for key, tensor in self.objects["network"].state_dict().items():
            if not torch.isfinite(tensor).all():
                raise FloatingPointError(
                    f"{key} of the network became NaN or infinite in epoch {self.trainer.state.epoch}, which is not saved; the "
                    f"files in {self.folder} are of earlier epochs and untouched. Start anew with a lower learning_rate"
                )
        write_checkpoint(self.folder / name, state, self.settings)

    def _load(self) -> None:
        path, best = self.folder / LAST, self.evaluator.state
        state = read_state(self.folder, self.settings, self.objects)
        self._require_the_same_run(state, path)
        for name, thing in self.objects.items():
            try:
                thing.load_state_dict(state[name])
                _require_moments(thing)
            except Exception as error:  # whatever a foreign state triggers
                refuse(path, f"{path}: its {name} does not fit this run ({type(error).__name__}: {error})")
        best.best_metric, best.best_metric_epoch = state["best_metric"], state["best_metric_epoch"]
        self.trainer.state.epoch = state["epoch"]
        if not self._validates and not (self.folder / BEST).exists() and idist.get_rank() == 0:
            self._save_network()
        if best.best_metric_epoch > 0 and not (self.folder / BEST).exists():
            if best.best_metric_epoch < state["epoch"]:
                logger.warning("%s is gone: the best network will be that of an epoch from now on", self.folder / BEST)
                best.best_metric = best.best_metric_epoch = -1
            elif idist.get_rank() == 0:  # killed in the first epoch, between the two files
                self._save_network()
        if state["epoch"] == state["max_epochs"]:
            refuse_complete(path, state)
        self.trainer.state.iteration = state["epoch"] * state["epoch_length"]
        if "scaler" in state:
            self.trainer.add_event_handler(Events.STARTED, self._load_scaler, state["scaler"])
        logger.info("%s: going on after epoch %d of %d", path, state["epoch"], self.trainer.state.max_epochs)

    def _load_scaler(self, trainer: Trainer, state: dict[str, Any]) -> None:
        """Of mixed precision: the trainer makes its scaler when it starts, and none on a CPU."""
        if trainer.scaler is not None:
            trainer.scaler.load_state_dict(state)

    def _require_the_same_run(self, state: Mapping[str, Any], path: Path) -> None:
        low, high = self.metric_range
        if state["best_metric_epoch"] > 0 and not low <= state["best_metric"] <= high:
            found = f"the best metric is {state['best_metric']:g}, metric_range says {low:g} to {high:g}"
            refuse(path, f"{path} holds what cannot be: {found}")
        for part, cases in self.cases.items():
            before, now = state["cases"].get(part, []), [case.get("contents") for case in cases]
            if len(before) != len(now):
                found = f"{len(before)} for {part}, now there are {len(now)}"
            elif different := [case for case, old, new in zip(cases, before, now, strict=True) if old != new]:
                found = f"{len(different)} of {len(now)} for {part} differ, or their order does, first {file_of(different[0])}"
            else:
                continue
            raise ValueError(
                f"{path} belongs to a training run on other cases: {found}; resume with the same images and labels in the same "
                "order, or start anew in another output folder"
            )
        for name, meaning in (("epoch_length", "iterations an epoch"), ("max_epochs", "epochs in all")):
            if state[name] != (now := getattr(self.trainer.state, name)):
                raise ValueError(
                    f"{path} belongs to a training run of {state[name]} {meaning}, now there are {now}; resume with the same "
                    "data, batch size, number of processes and max_epochs, since the learning rate follows them"
                )


def _require_moments(thing: object) -> None:
    """torch takes any: of other parameters, or none."""
    if not isinstance(thing, Optimizer):
        return
    if "betas" in thing.defaults and not thing.state:
        raise ValueError("there are no moments")
    for parameter, moments in thing.state.items():
        for name, moment in moments.items():
            if isinstance(moment, torch.Tensor) and moment.dim() and moment.shape != parameter.shape:
                raise ValueError(f"{name} has the shape {tuple(moment.shape)}, its parameter {tuple(parameter.shape)}")
            if name.endswith("_sq") and (moment < 0).any():
                raise ValueError(f"{name}, a mean of squares, is negative")
