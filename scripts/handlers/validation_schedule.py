"""Validation every few epochs, and always after the last one."""

from ignite.engine import Engine, Events
from monai.handlers import ValidationHandler


class ValidationSchedule(ValidationHandler):
    """MONAI's handler would skip the last epochs of a run if they are fewer than `interval`: no best checkpoint."""

    def attach(self, engine: Engine) -> None:
        def due(engine: Engine, epoch: int) -> bool:
            return epoch % self.interval == 0 or epoch == engine.state.max_epochs

        engine.add_event_handler(Events.EPOCH_COMPLETED(event_filter=due), self)
