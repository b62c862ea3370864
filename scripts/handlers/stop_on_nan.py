"""A loss that is not a number -> an error that names the cases, before any weight is touched."""

from typing import Any

import torch
from ignite.engine import Engine
from monai.engines.utils import IterationEvents
from monai.utils import CommonKeys


class StopOnNaN:
    """Checks the loss before the backward pass. Checkpoints of earlier epochs stay as they are.

    Raises:
        FloatingPointError: in the run, for a loss that is NaN or infinite; it names the cases of the batch.

    Example:
        >>> import torch
        >>> from monai.data import MetaTensor
        >>> from monai.engines import SupervisedTrainer
        >>> from scripts.handlers import StopOnNaN
        >>> image = MetaTensor(torch.full((1, 4), float("nan")), meta={"filename_or_obj": "scan.nii.gz"})
        >>> network, loader = torch.nn.Linear(4, 1), [{"image": image, "label": torch.rand(1, 1)}]
        >>> optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        >>> trainer = SupervisedTrainer("cpu", 1, loader, network, optimizer, torch.nn.MSELoss())
        >>> StopOnNaN().attach(trainer)
        >>> trainer.run()
        Traceback (most recent call last):
            ...
        FloatingPointError: the loss became nan in epoch 1, iteration 1, on scan.nii.gz...
    """

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(IterationEvents.LOSS_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        state: Any = engine.state  # ignite takes a batch and an output for numbers
        loss = state.output[CommonKeys.LOSS]
        if torch.isfinite(loss):
            return
        files = state.batch[CommonKeys.IMAGE].meta.get("filename_or_obj", "unknown")
        raise FloatingPointError(
            f"the loss became {loss.item()} in epoch {state.epoch}, iteration {state.iteration}, on {files}. "
            "The files of earlier epochs are untouched; look at those cases, and start anew with a lower learning_rate"
        )
