"""A pretrained part that is frozen in the first epochs and trained with all the rest, at a smaller rate, in the others."""

import logging
from difflib import get_close_matches

from ignite.engine import Engine, Events
from monai.engines import SupervisedTrainer
from monai.optimizers.lr_scheduler import WarmupCosineSchedule
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer
from torch.optim.lr_scheduler import SequentialLR

logger = logging.getLogger(__name__)


class TwoStage:
    """In the first stage the part is in `eval()` and gets no gradient, so the optimizer passes it over.

    The stage follows from the epoch alone, so resuming needs no state of it.

    Args:
        network: all of it, of which a part is frozen at first.
        part: name of a module of the network, as in `named_modules`.
        first_stage_epochs: in which the part is frozen.

    Raises:
        ValueError: for a part that the network does not have, or in which nothing is trained.

    Example:
        >>> import torch
        >>> from ignite.engine import Engine
        >>> from scripts.handlers import TwoStage
        >>> network = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 1))
        >>> engine = Engine(lambda engine, batch: print(engine.state.epoch, network[0].weight.requires_grad))
        >>> stages = TwoStage(network, part="0", first_stage_epochs=1)
        >>> engine.network = network
        >>> stages.attach(engine)
        >>> _ = engine.run([0], max_epochs=2)
        1 False
        2 True
    """

    def __init__(self, network: nn.Module, part: str, first_stage_epochs: int) -> None:
        modules = {name: module for name, module in network.named_modules() if name}
        if part not in modules:
            upper = [name for name in modules if name.count(".") <= 1 and not name[-1].isdigit()]
            close = get_close_matches(str(part), modules, n=3, cutoff=0.75) or upper
            raise ValueError(
                f"the network has no part {part!r} to freeze in the first stage; did you mean {' or '.join(close)}? "
                "Name a module of it by frozen_part, or leave out --overlay two_stage"
            )
        self.part = part
        self.first_stage_epochs = first_stage_epochs
        self.parameters = [parameter for parameter in modules[part].parameters() if parameter.requires_grad]
        if not self.parameters:
            raise ValueError(
                f"{part} has nothing to train in the second stage; name another frozen_part, leave out --overlay two_stage, or "
                "if it is SAM's encoder set encoder_trainable: true"
            )
        for module in modules[part].modules():  # all, since of some parts only submodules are called
            module.register_forward_pre_hook(self._keep_in_eval)

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, _check_processes)
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        frozen = engine.state.epoch <= self.first_stage_epochs
        for parameter in self.parameters:
            parameter.requires_grad_(not frozen)
        if engine.state.epoch in (1, self.first_stage_epochs + 1):
            logger.info("epoch %d: %s is %s", engine.state.epoch, self.part, "frozen" if frozen else "trained too from now on")

    def _keep_in_eval(self, module: nn.Module, _: object) -> None:
        if not self.parameters[0].requires_grad:
            module.eval()  # the trainer calls `train()` before every iteration


def warm_up_and_cosine_twice(
    optimizer: Optimizer, first_stage_epochs: int, max_epochs: int, iterations: int, warmup_fraction: float, second_rate: float
) -> SequentialLR:
    """In each stage the learning rate rises from 0 along a line and falls to 0 along half a cosine.

    Args:
        optimizer: its learning rate is the peak of the first stage. Those of groups keep their ratios to it in both stages.
        first_stage_epochs: of `max_epochs`; both stages have at least one.
        max_epochs: of both stages.
        iterations: of one epoch.
        warmup_fraction: of each stage.
        second_rate: the peak of the second stage.

    Returns:
        The schedule; step it after every iteration.

    Raises:
        ValueError: if a stage has no epoch.

    Example:
        >>> import torch
        >>> from scripts.handlers import warm_up_and_cosine_twice
        >>> optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        >>> schedule = warm_up_and_cosine_twice(optimizer, 1, 2, iterations=4, warmup_fraction=0.25, second_rate=0.1)
        >>> rates = []
        >>> for _ in range(8):
        ...     rates.append(round(optimizer.param_groups[0]["lr"], 3))
        ...     optimizer.step()
        ...     schedule.step()
        >>> rates
        [0.0, 1.0, 0.75, 0.25, 0.0, 0.1, 0.075, 0.025]
    """
    if not isinstance(first_stage_epochs, int) or not 0 < first_stage_epochs < max_epochs:
        raise ValueError(
            f"each of the two stages needs an epoch: of {max_epochs} epochs the first can have 1 to {max_epochs - 1}, got "
            f"{first_stage_epochs!r}; change first_stage_epochs or max_epochs"
        )
    stages = [epochs * iterations for epochs in (first_stage_epochs, max_epochs - first_stage_epochs)]
    first, second = (WarmupCosineSchedule(optimizer, round(warmup_fraction * length), length) for length in stages)
    second.base_lrs = [second_rate * (rate / optimizer.defaults["lr"]) for rate in second.base_lrs]
    return SequentialLR(optimizer, [first, second], milestones=stages[:1])


def _check_processes(engine: SupervisedTrainer) -> None:
    if isinstance(engine.network, DistributedDataParallel) and not engine.network.find_unused_parameters:
        raise ValueError(
            "several processes would wait for gradients that a frozen part never has; add --network#find_unused_parameters True"
        )
