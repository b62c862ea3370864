"""An epoch's loss, validation and pace -> one line in the log."""

import logging
import time
from datetime import timedelta
from typing import Any

import ignite.distributed as idist
from ignite.engine import Engine, Events
from monai.engines import Evaluator

logger = logging.getLogger(__name__)


class EpochLog:
    """`epoch 4 of 100: train_loss 0.7312, val_mean_dice 0.6120 (best so far); 12.3 s an epoch, 0:19:41 left`.

    The metrics are the key metrics of the trainer and the evaluator, under their names in TensorBoard; an epoch without
    validation has the first one only. The pace counts whole epochs, validation included, from the start of this run.
    Of several processes the first one writes. Attach it after what validates, and after the progress bar, which has to be gone
    from the line.

    Args:
        evaluator: whose key metric is shown.

    Example:
        >>> import logging, sys
        >>> import torch
        >>> from ignite.metrics import Average
        >>> from monai.engines import SupervisedEvaluator, SupervisedTrainer
        >>> from scripts.handlers import EpochLog
        >>> network, loader = torch.nn.Linear(4, 1), [{"image": torch.rand(2, 4), "label": torch.rand(2, 1)}]
        >>> optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        >>> metric = {"train_loss": Average(output_transform=lambda output: output["loss"].item())}
        >>> trainer = SupervisedTrainer(
        ...     "cpu", 2, loader, network, optimizer, torch.nn.MSELoss(), decollate=False, key_train_metric=metric
        ... )
        >>> EpochLog(SupervisedEvaluator("cpu", loader, network)).attach(trainer)
        >>> log, shown = logging.getLogger("scripts.handlers"), logging.StreamHandler(sys.stdout)
        >>> log.addHandler(shown)
        >>> level = log.level
        >>> log.setLevel("INFO")
        >>> trainer.run()
        epoch 1 of 2: train_loss ...; ... s an epoch, ... left
        epoch 2 of 2: train_loss ...; ... s an epoch, ... left
        >>> log.removeHandler(shown)
        >>> log.setLevel(level)
    """

    def __init__(self, evaluator: Evaluator) -> None:
        self.evaluator = evaluator

    def attach(self, engine: Engine) -> None:
        if idist.get_rank() == 0:
            engine.add_event_handler(Events.STARTED, self._start)
            engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def _start(self, engine: Engine) -> None:
        self._started = time.monotonic()
        self._first_epoch = engine.state.epoch

    def __call__(self, engine: Engine) -> None:
        epoch, last = engine.state.epoch, engine.state.max_epochs or engine.state.epoch
        metrics = [_key_metric(engine)]
        if self.evaluator.state.epoch == epoch:  # else its metric is that of an earlier epoch
            best = " (best so far)" if self.evaluator.state.best_metric_epoch == epoch else ""
            metrics.append(_key_metric(self.evaluator) + best)
        pace = (time.monotonic() - self._started) / (epoch - self._first_epoch)
        left = "stopped early" if engine.should_terminate else f"{timedelta(seconds=round(pace * (last - epoch)))} left"
        logger.info("epoch %d of %d: %s; %.1f s an epoch, %s", epoch, last, ", ".join(metrics), pace, left)


def _key_metric(engine: Engine) -> str:
    state: Any = engine.state  # MONAI's engines add to it
    return f"{state.key_metric_name} {state.metrics[state.key_metric_name]:.4f}"
