"""An epoch that a resumed run repeats -> stands once in the curves of TensorBoard."""

from ignite.engine import Engine, Events
from torch.utils.tensorboard.writer import SummaryWriter


class PurgeRepeated:
    """TensorBoard hides what earlier files in the folder hold from the first epoch on that this run trains.

    A run that is killed has often written curves of an epoch that `last.pt` does not have, and that is trained again. This is
    the `purge_step` of SummaryWriter, for a run that knows its first epoch only once its checkpoint is read. One writer may
    serve a run: the mark of a second one would hide what the first one wrote.

    Args:
        writer: of this run. Its steps are epochs.

    Example:
        >>> import tempfile
        >>> from ignite.engine import Engine
        >>> from torch.utils.tensorboard import SummaryWriter
        >>> from scripts.handlers import PurgeRepeated
        >>> engine = Engine(lambda engine, batch: None)
        >>> engine.load_state_dict({"epoch": 2, "max_epochs": 4, "epoch_length": 1})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     writer = SummaryWriter(folder)
        ...     PurgeRepeated(writer).attach(engine)
        ...     _ = engine.run([0])
        >>> writer.purge_step
        3
    """

    def __init__(self, writer: SummaryWriter) -> None:
        self.writer = writer

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        self.writer.close()  # the next file that it opens begins with the mark
        self.writer.purge_step = engine.state.epoch + 1
