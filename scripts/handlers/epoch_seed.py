"""(seed, epoch, rank) -> every random state of an epoch, so that a resumed epoch is the uninterrupted one."""

import random

import ignite.distributed as idist
import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.data import DataLoader, set_rnd
from torch.utils.data import DistributedSampler


class EpochSeed:
    """At the start of every epoch: reseeds Python, NumPy, torch and the random transforms, and tells the sampler the epoch.

    Random states are then never saved: resuming at an epoch's start is enough. Loader workers draw their seeds from torch's
    generator when their iterator is made, so a new iterator follows (keep `persistent_workers` off).

    Args:
        seed: of the training run.
        data_loader: with a DistributedSampler.

    Raises:
        TypeError: for a loader with another sampler.

    Example:
        >>> import torch
        >>> from ignite.engine import Engine
        >>> from monai.data import DataLoader, Dataset, DistributedSampler
        >>> from scripts.handlers import EpochSeed
        >>> dataset = Dataset(list(range(4)))
        >>> loader = DataLoader(dataset, sampler=DistributedSampler(dataset, num_replicas=1, rank=0))
        >>> def drawn():
        ...     numbers = []
        ...     engine = Engine(lambda engine, batch: numbers.append((batch.item(), torch.rand(1).item())))
        ...     EpochSeed(seed=0, data_loader=loader).attach(engine)
        ...     _ = engine.run(loader, max_epochs=2)
        ...     return numbers
        >>> drawn() == drawn()
        True
    """

    def __init__(self, seed: int, data_loader: DataLoader) -> None:
        if not isinstance(data_loader.sampler, DistributedSampler):
            raise TypeError(
                "an epoch's order follows from the seed and the epoch by a DistributedSampler; the loader's sampler is a "
                f"{type(data_loader.sampler).__name__}"
            )
        self.seed = seed
        self.data_loader = data_loader
        self.sampler = data_loader.sampler

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        entropy = np.random.SeedSequence([self.seed, engine.state.epoch, idist.get_rank()])
        for_python, for_numpy, for_torch, for_transforms = (int(n) for n in entropy.generate_state(4))
        random.seed(for_python)
        np.random.seed(for_numpy)
        torch.manual_seed(for_torch)
        set_rnd(self.data_loader.dataset, for_transforms)
        self.sampler.set_epoch(engine.state.epoch)
        engine.set_data(self.data_loader)
