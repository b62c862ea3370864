"""The crops of an epoch -> how many a second."""

from collections.abc import Callable
from typing import Any

from ignite.engine import Engine, Events
from ignite.metrics import Frequency


class Throughput(Frequency):
    """ignite's Frequency of whole epochs, waiting for data included and validation not: a number once an epoch, with decimals.

    Frequency itself gives whole numbers, after every step, for which several processes would wait for each other.

    Args:
        output_transform: the engine's output -> crops in this step. Those of several processes are added up.

    Example:
        >>> from ignite.engine import Engine
        >>> from scripts.handlers import Throughput
        >>> engine = Engine(lambda engine, batch: batch)
        >>> Throughput(output_transform=len).attach(engine, "crops_per_second")
        >>> engine.run([["crop", "crop"], ["crop"]]).metrics["crops_per_second"] > 0
        True
    """

    def __init__(self, output_transform: Callable[[Any], int]) -> None:
        super().__init__(output_transform)

    def attach(self, engine: Engine, name: str, event_name: Events = Events.EPOCH_COMPLETED) -> None:
        super().attach(engine, name, event_name)

    def completed(self, engine: Engine, name: str) -> None:
        engine.state.metrics[name] = self.compute()
