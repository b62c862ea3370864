"""Several things to run -> the median time of each, measured in turns."""

import statistics
import time
from collections.abc import Callable, Mapping

import torch
from tqdm import tqdm


def interleaved_medians(
    runs: Mapping[str, Callable[[], object]], repeats: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Seconds of `clock`, under the names of `runs`; with `time.process_time` those of all cores, and no others' work counts.

    In rounds A B A B, since a machine's speed drifts: what slows one down slows the others too, and ratios hold. A first round
    does not count: it allocates, compiles and picks kernels.
    """
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    with tqdm(total=(1 + repeats) * len(runs), unit="run", leave=False, dynamic_ncols=True) as progress:
        for _ in range(1 + repeats):
            for name, run in runs.items():
                progress.set_description(name)
                seconds[name].append(_seconds(run, clock))
                progress.update()
    return {name: statistics.median(values[1:]) for name, values in seconds.items()}


def _seconds(run: Callable[[], object], clock: Callable[[], float]) -> float:
    _wait_for_the_gpu()
    start = clock()
    run()
    _wait_for_the_gpu()
    return clock() - start


def _wait_for_the_gpu() -> None:
    if torch.cuda.is_initialized():  # its kernels run on after the call that started them
        torch.cuda.synchronize()
