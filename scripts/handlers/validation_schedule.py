"""Validation every few epochs, and always after the last one."""

from ignite.engine import Engine, Events
from monai.engines import Evaluator
from monai.handlers import ValidationHandler


class ValidationSchedule(ValidationHandler):
    """MONAI's handler, and a validation after the last epoch: a run shorter than `interval` needs a best checkpoint too.

    Args:
        interval: epochs from one validation to the next.
        validator: runs then; None: `set_validator` names it later.

    Example:
        >>> import torch
        >>> from ignite.engine import Engine, Events
        >>> from monai.engines import SupervisedEvaluator
        >>> from scripts.handlers import ValidationSchedule
        >>> evaluator, validated = SupervisedEvaluator("cpu", [{"image": torch.rand(1, 4)}], torch.nn.Linear(4, 1)), []
        >>> _ = evaluator.add_event_handler(Events.COMPLETED, lambda engine: validated.append(engine.state.epoch))
        >>> trainer = Engine(lambda engine, batch: None)
        >>> ValidationSchedule(interval=2, validator=evaluator).attach(trainer)
        >>> _ = trainer.run([0], max_epochs=5)
        >>> validated
        [2, 4, 5]
    """

    def __init__(self, interval: int, validator: Evaluator | None = None) -> None:
        super().__init__(interval, validator)

    def attach(self, engine: Engine) -> None:
        def due(engine: Engine, epoch: int) -> bool:
            return epoch % self.interval == 0 or epoch == engine.state.max_epochs

        engine.add_event_handler(Events.EPOCH_COMPLETED(event_filter=due), self)
