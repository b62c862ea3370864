"""Something to run -> the most memory that it held at once."""

import ctypes
import gc
import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import torch

M_MMAP_THRESHOLD = -3  # of mallopt, from glibc's malloc.h
IS_MMAPPED = 2  # the bit in the word before a block, from glibc's malloc.c
LARGE = 2**16  # bytes
RESET_PEAK = "5"  # to /proc/PID/clear_refs: the peak becomes the present resident set (man 5 proc)


def peak_memory(run: Callable[[], object], warm_up: Callable[[], object] | None = None, device: str = "cpu") -> int:
    """Bytes above those held at the start; what `run` returns is among them, its inputs and weights are not.

    On a CPU the resident set of a process of its own, forked from this one, so anything can be handed in (Linux with glibc).
    It computes in one thread. On CUDA the bytes of tensors.

    warm_up: runs before, so that libraries loaded and kernels made at first use do not count; None: `run` itself. Where `run`
        is long, a smaller run of the same kind.
    """
    return _cuda_peak(run, warm_up or run) if device == "cuda" else _resident_peak(run, warm_up or run)


def _cuda_peak(run: Callable[[], object], warm_up: Callable[[], object]) -> int:
    warm_up()
    gc.collect()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    run()
    return torch.cuda.max_memory_allocated() - before


def _resident_peak(run: Callable[[], object], warm_up: Callable[[], object]) -> int:
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(run, warm_up, sender), daemon=True)
    process.start()
    sender.close()  # the child's copy remains, so its end ends the waiting
    try:
        return receiver.recv()
    except EOFError:
        process.join()
        raise RuntimeError(f"what was measured ended with exit code {process.exitcode}; its error stands above") from None
    finally:
        process.join()


def _measure(run: Callable[[], object], warm_up: Callable[[], object], sender: Connection) -> None:
    torch.set_num_threads(1)  # OpenMP's other threads stayed with the parent: work for them would wait forever
    warm_up()
    gc.collect()  # garbage leaves its blocks now, not to the run
    gc.freeze()
    _give_blocks_their_own_pages()  # after all that may free some: a hole in the heap would serve the run, and not show
    Path("/proc/self/clear_refs").write_text(RESET_PEAK)
    before = _resident("VmRSS")
    result = run()
    sender.send(_resident("VmHWM") - before)
    del result  # held until here: it belongs to the peak


def _give_blocks_their_own_pages() -> None:
    """From now on all larger blocks of memory go back when they are freed, so what is resident is in use."""
    libc = ctypes.CDLL(None)
    libc.malloc.argtypes, libc.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
    libc.free.argtypes, libc.free.restype = [ctypes.c_void_p], None
    libc.mallopt(M_MMAP_THRESHOLD, LARGE)
    # What the parent had freed but kept is preferred to new pages and stays resident after use: take all of it, untouched.
    size = 2**32
    while size >= LARGE:
        block = libc.malloc(size)
        has_own_pages = block is None or ctypes.c_size_t.from_address(block - 8).value & IS_MMAPPED
        if has_own_pages:
            libc.free(block)
            size //= 2


def _resident(field: str) -> int:
    """Bytes, of a field of this process's status in kB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024
