"""The weights of every step -> their moving average, which is validated and becomes `model.pt`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines import Evaluator
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

Weights = tuple[torch.Tensor, ...] | list[torch.Tensor]  # as torch says it


class ModelEMA:
    """Exponential moving average of what is trained: after step t, `average = d * average + (1 - d) * weights`.

    With d = min(decay, (1 + t) / (10 + t)), as in TensorFlow's ExponentialMovingAverage: early weights, which are far from the
    last ones, are soon forgotten, in short runs too. The first step's weights begin the average.

    Training goes on with the plain weights. While the evaluator runs, the network has the averaged ones, and so it has within
    `averaged()`. Only parameters that need gradients when this is made are averaged and held twice. Buffers, such as the
    statistics of batch normalisation, stay those of the last step. Every process has the same average, since all have the same
    weights.

    Args:
        network: which is trained, on its device.
        evaluator: of the averaged weights.
        decay: d of late steps, from 0 (the plain weights) to below 1.

    Example:
        >>> import torch
        >>> from ignite.engine import Engine
        >>> from monai.engines import SupervisedEvaluator
        >>> from scripts.handlers import ModelEMA
        >>> network = torch.nn.Linear(1, 1, bias=False)
        >>> step = lambda engine, batch: torch.nn.init.constant_(network.weight, batch)
        >>> trainer, ema = Engine(step), ModelEMA(network, SupervisedEvaluator("cpu", [0], network), decay=0.1)
        >>> ema.attach(trainer)
        >>> _ = trainer.run([5.0, 7.0])
        >>> with ema.averaged():
        ...     print(f"{network.weight.item():.1f}")
        6.8
        >>> network.weight.item()
        7.0
    """

    def __init__(self, network: nn.Module, evaluator: Evaluator, decay: float) -> None:
        self.evaluator = evaluator
        self.decay = decay
        self.weights = nn.ParameterList(weight for weight in network.parameters() if weight.requires_grad)
        self.average = AveragedModel(self.weights, multi_avg_fn=self._add)

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._update)
        self.evaluator.add_event_handler(Events.STARTED, self._swap)
        self.evaluator.add_event_handler(Events.EPOCH_COMPLETED, self._swap)  # before anything is saved

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """In which the network has the averaged weights."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def state_dict(self) -> dict[str, Any]:
        return self.average.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.average.load_state_dict(state)

    def _update(self) -> None:
        self.average.update_parameters(self.weights)

    def _add(self, averages: Weights, weights: Weights, steps: torch.Tensor | int) -> None:
        t = int(steps)
        get_ema_multi_avg_fn(min(self.decay, (1 + t) / (10 + t)))(averages, weights, t)

    def _swap(self) -> None:
        for weight, average in zip(self.weights, self.average.parameters(), strict=True):
            weight.data, average.data = average.data, weight.data
