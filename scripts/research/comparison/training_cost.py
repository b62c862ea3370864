"""A training run -> cost.json: its steps, seconds, peak of memory, parameters and arithmetic."""

import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from torch import nn

from ...files.atomic_write import write_json

RESET_PEAK = "5"  # to /proc/self/clear_refs: the peak becomes the present resident set (man 5 proc)


class TrainingCost:
    """Writes `output_dir`/cost.json at the end of every epoch, before validation; a resumed run goes on counting.

    A step lasts from the end of the one before, or the epoch's start, to its own end, reading of data included; validation and
    saving belong to no step. `preparation_seconds` is what passed before the first step: filling the embedding cache.
    `peak_memory_bytes` is that of the steps: on CUDA of tensors, else of this process's resident set (null where not Linux).

    network: whose parameters are counted, the frozen ones too.
    crop: (1, M, H, W, D), the size of volume for which `macs` is counted.
    count_macs: something to run -> its multiply-accumulates, and those of its parts.
    """

    def __init__(
        self,
        output_dir: str | Path,
        network: nn.Module,
        crop: Sequence[int],
        count_macs: Callable[[Callable[[], object]], tuple[int, Any]],
    ) -> None:
        self.path = Path(output_dir) / "cost.json"
        self.network = network
        self.crop = list(crop)
        self.count_macs = count_macs
        self.epochs: list[dict[str, Any]] = []

    def attach(self, engine: Engine) -> None:
        self._attached = time.monotonic()
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.EPOCH_STARTED, self._start_epoch)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._complete_step)

    def _start(self, engine: Engine) -> None:
        seconds = time.monotonic() - self._attached
        is_new = engine.state.epoch == 0 and not self.path.exists()
        saved = {"epochs": [], "preparation_seconds": 0.0} if is_new else _read(self.path)
        self.epochs = saved["epochs"][: engine.state.epoch]  # what follows was lost and is trained again
        self.preparation_seconds = saved["preparation_seconds"] + seconds
        self.macs = self._count_macs()
        self._write(engine)

    def _count_macs(self) -> int:
        """In evaluation mode, which leaves running averages and random states alone."""
        was_training = self.network.training
        self.network.eval()
        volume = torch.zeros(*self.crop, device=next(self.network.parameters()).device)
        macs, _ = self.count_macs(lambda: self.network(volume))
        self.network.train(was_training)
        return macs

    def _start_epoch(self, engine: Engine) -> None:
        self._step_seconds: list[float] = []
        state: Any = engine.state
        self._peak_is_reset = _reset_peak(state.device)
        self._last = time.monotonic()

    def _complete_step(self, engine: Engine) -> None:
        state: Any = engine.state  # MONAI's engines add to it
        if state.device.type == "cuda":
            torch.cuda.synchronize(state.device)
        now = time.monotonic()
        self._step_seconds.append(now - self._last)
        self._last = now
        if state.iteration % state.epoch_length == 0:
            peak = _peak(state.device) if self._peak_is_reset else None
            self.epochs.append({"peak_memory_bytes": peak, "step_seconds": self._step_seconds})
            self._write(engine)

    def _write(self, engine: Engine) -> None:
        if idist.get_rank() > 0:
            return
        steps = [seconds for epoch in self.epochs for seconds in epoch["step_seconds"]]
        peaks = [epoch["peak_memory_bytes"] for epoch in self.epochs if epoch["peak_memory_bytes"] is not None]
        trainer: Any = engine
        device = trainer.state.device
        content = {
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
            "parameters": sum(parameter.numel() for parameter in self.network.parameters()),
            "trained_parameters": sum(p.numel() for p in self.network.parameters() if p.requires_grad),
            "crop": self.crop,
            "macs": self.macs,
            "batches": len(trainer.data_loader),
            "steps": len(steps),
            "seconds": sum(steps),
            "median_step_seconds": median(steps[1:]) if len(steps) > 1 else None,  # the first one makes kernels
            "peak_memory_bytes": max(peaks, default=None),
            "preparation_seconds": self.preparation_seconds,
            "epochs": self.epochs,
        }
        write_json(self.path, content)


def _read(path: Path) -> dict[str, Any]:
    """Raises ValueError that names the file: a cost without its first epochs would be another's."""
    try:
        saved = json.loads(path.read_text())
        _ = sum(second for epoch in saved["epochs"] for second in epoch["step_seconds"]) + saved["preparation_seconds"]
        _ = [epoch["peak_memory_bytes"] for epoch in saved["epochs"]]
        return saved
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{path} cannot be read ({type(error).__name__}: {error}), so the cost of the epochs so far is lost; start the "
            "training run anew, or resume it without cost.yaml"
        ) from error


def _reset_peak(device: torch.device) -> bool:
    """False where it cannot be: no such file but on Linux, and not everywhere there."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return True
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text(RESET_PEAK)
        return True
    return False


def _peak(device: torch.device) -> int | None:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), None)  # from kB
