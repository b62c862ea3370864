"""The state of a training run <-> `last.pt`, its best network -> `model.pt`."""

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from monai.engines import Evaluator, Trainer

from ..files.atomic_write import remove_partials
from ..files.checkpoint_file import read_about, read_checkpoint, write_checkpoint
from ..files.own_file import refuse_foreign
from ..run.settings import Changes, chosen, differences

logger = logging.getLogger(__name__)

BEST, LAST = "model.pt", "last.pt"


def require_free(output_dir: str | Path, resume: bool) -> None:
    """The first step of a training run: raises FileExistsError where the folder holds another, or somebody else's model."""
    folder = Path(output_dir)
    if not resume and os.path.lexists(folder / LAST):
        raise FileExistsError(
            f"{folder} already holds a training run ({LAST}); go on with it by --resume, or choose another output folder, or "
            "remove it"
        )
    refuse_foreign(folder / BEST, lambda path: read_about(path) is not None)


class Checkpointing:
    """After every epoch `last.pt`, after every improvement `model.pt` (the network's state dictionary), and resuming.

    `last.pt` holds the state of every object in `objects`, the epoch, and the best metric so far. Together with `EpochSeed`
    that is all: a resumed run ends with the weights of an uninterrupted one. A kill between the two files of an epoch
    leaves a `model.pt` that is an epoch ahead of `last.pt`: resuming repeats that epoch and writes the same `model.pt` again.

    objects: name -> object with `state_dict` and `load_state_dict`; the one called `network` is what `model.pt` holds.
    settings: of this run, which both files carry; a run is resumed with the same ones of network, mask and training only.

    A network with NaN or infinite values is never saved.
    """

    def __init__(
        self,
        output_dir: str | Path,
        objects: Mapping[str, Any],
        trainer: Trainer,
        evaluator: Evaluator,
        resume: bool,
        settings: Mapping[str, Any] = {},
    ) -> None:
        self.folder = Path(output_dir)
        self.objects = dict(objects)
        self.trainer = trainer
        self.evaluator = evaluator
        self.resume = resume
        self.settings = json.loads(json.dumps(settings))  # as it comes back from a file: tuples become lists

    def attach(self) -> None:
        """Attach after validation and its handlers, so that their results of the epoch are part of what is saved."""
        if self.resume:
            self._load()
        if idist.get_rank() == 0:
            remove_partials(self.folder)
            self.evaluator.add_event_handler(Events.COMPLETED, self._save_if_best)
            self.trainer.add_event_handler(Events.EPOCH_COMPLETED, self._save_last)
            self.trainer.add_event_handler(Events.COMPLETED, self._say_where)

    def _save_if_best(self, evaluator: Evaluator) -> None:
        if evaluator.state.best_metric_epoch == evaluator.state.epoch:
            self._save(self.objects["network"].state_dict(), BEST)

    def _save_last(self, trainer: Engine) -> None:
        state: dict[str, Any] = {name: thing.state_dict() for name, thing in self.objects.items()}
        if self.trainer.scaler is not None:
            state["scaler"] = self.trainer.scaler.state_dict()
        state["epoch"] = trainer.state.epoch
        state["epoch_length"] = trainer.state.epoch_length
        state["max_epochs"] = trainer.state.max_epochs
        state["complete"] = trainer.state.epoch == trainer.state.max_epochs or bool(trainer.should_terminate)  # early stop
        state["best_metric"] = float(self.evaluator.state.best_metric)
        state["best_metric_epoch"] = self.evaluator.state.best_metric_epoch
        self._save(state, LAST)

    def _say_where(self, trainer: Engine) -> None:
        best = self.evaluator.state
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
        path = self.folder / LAST
        if not path.is_file():
            raise FileNotFoundError(f"nothing to resume: no {path}; start without --resume, or give the right output folder")
        try:
            about, state = read_about(path), read_checkpoint(path)
        except ValueError as error:
            best = self.folder / BEST
            left = f"{best} still holds the best weights so far; " if best.is_file() else ""
            raise ValueError(f"{error}. {left}a training anew needs another output folder") from error
        self._compare(about, path)
        for name, meaning in (("epoch_length", "iterations an epoch"), ("max_epochs", "epochs in all")):
            if state[name] != (now := getattr(self.trainer.state, name)):
                raise ValueError(
                    f"{path} belongs to a training run of {state[name]} {meaning}, now there are {now}; resume with the same "
                    "data, batch size, number of processes and max_epochs, since the learning rate follows them"
                )
        if state["complete"]:
            raise ValueError(f"{path} belongs to a training run that is complete ({state['epoch']} epochs): nothing to resume")
        for name, thing in self.objects.items():
            thing.load_state_dict(state[name])
        self.trainer.state.epoch = state["epoch"]
        self.trainer.state.iteration = state["epoch"] * state["epoch_length"]
        if "scaler" in state:
            self.trainer.add_event_handler(Events.STARTED, self._load_scaler, state["scaler"])
        self.evaluator.state.best_metric = state["best_metric"]
        self.evaluator.state.best_metric_epoch = state["best_metric_epoch"]
        logger.info("%s: going on after epoch %d of %d", path, state["epoch"], self.trainer.state.max_epochs)

    def _load_scaler(self, trainer: Trainer, state: dict[str, Any]) -> None:
        """Of mixed precision: the trainer makes its scaler when it starts, and none on a CPU."""
        if trainer.scaler is not None:
            trainer.scaler.load_state_dict(state)

    def _compare(self, saved: dict[str, Any] | None, path: Path) -> None:
        kinds = (Changes.NETWORK, Changes.MASK, Changes.TRAINING)
        different = differences(chosen(saved or {}, *kinds), chosen(self.settings, *kinds)) if saved else ()
        if words := "; ".join(different):
            raise ValueError(
                f"{path} belongs to a training run with other settings: {words}; resume with the same ones, or start anew in "
                "another output folder"
            )
