"""The pace of the epochs so far -> a line after each that says how long the rest will take."""

import logging
import time
from datetime import timedelta

from ignite.engine import Engine, Events

logger = logging.getLogger(__name__)


class TimeLeft:
    """Counts whole epochs, validation and saving included, from the start of this run."""

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def _start(self, engine: Engine) -> None:
        self._started = time.monotonic()
        self._first_epoch = engine.state.epoch

    def __call__(self, engine: Engine) -> None:
        elapsed = time.monotonic() - self._started
        pace = elapsed / (engine.state.epoch - self._first_epoch)
        left = timedelta(seconds=round(pace * (engine.state.max_epochs - engine.state.epoch)))
        logger.info("epoch %d of %d done, %.1f s an epoch, %s left", engine.state.epoch, engine.state.max_epochs, pace, left)
