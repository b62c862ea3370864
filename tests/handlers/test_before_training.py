"""What must be done before the first epoch is done then, once."""

from ignite.engine import Engine, Events

from scripts.handlers import BeforeTraining


def test_the_work_is_done_once_before_the_first_epoch() -> None:
    order: list[str] = []
    engine = Engine(lambda *_: order.append("iteration"))
    engine.add_event_handler(Events.EPOCH_STARTED, lambda: order.append("epoch"))
    BeforeTraining(lambda: order.append("work")).attach(engine)
    engine.run([0], max_epochs=2)
    assert order == ["work", "epoch", "iteration", "epoch", "iteration"]
