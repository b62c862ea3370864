"""Work that must be done before the first epoch, and only then."""

from collections.abc import Callable

from ignite.engine import Engine, Events


class BeforeTraining:
    """Calls `work` once the engine starts, when processes and devices are set up.

    Args:
        work: without arguments.

    Example:
        >>> from ignite.engine import Engine
        >>> from scripts.handlers import BeforeTraining
        >>> engine = Engine(lambda engine, batch: print("step", batch))
        >>> BeforeTraining(lambda: print("filling the cache")).attach(engine)
        >>> _ = engine.run([1, 2])
        filling the cache
        step 1
        step 2
    """

    def __init__(self, work: Callable[[], None]) -> None:
        self.work = work

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self.work)
