"""A loss that is not a number -> an error that names the cases, before any weight is touched."""

from typing import Any

import torch
from ignite.engine import Engine
from monai.engines.utils import IterationEvents
from monai.utils import CommonKeys


class StopOnNaN:
    """Checks the loss before the backward pass; raises FloatingPointError. Checkpoints of earlier epochs stay as they are."""

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
            "The last checkpoint is untouched; look at those cases, lower learning_rate, and go on with --resume"
        )
