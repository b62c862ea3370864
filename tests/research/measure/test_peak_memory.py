"""Peaks of memory of runs whose peak is known."""

import os
from functools import partial

import pytest
import torch
from conftest import NARROW

from scripts.networks import SAM3D, DetailPyramid, NoEncoder, ResidualDecoder, SAMSliceEncoder
from scripts.research.measure import peak_memory

MB = 10**6


def peak(*arguments: object, **options: object) -> int:
    """The largest of three: the system may take back pages of libraries meanwhile, which lowers what is resident."""
    return max(peak_memory(*arguments, **options) for _ in range(3))


def block(megabytes: float) -> torch.Tensor:
    return torch.ones(int(megabytes * MB), dtype=torch.uint8)


def one_after_the_other() -> None:
    for _ in range(10):
        block(30)


def both_at_once() -> list[torch.Tensor]:
    return [block(30), block(30)]


def rising_and_falling() -> torch.Tensor:
    held = [block(2) for _ in range(40)]
    del held
    return block(10)


@pytest.mark.parametrize(
    ("run", "megabytes"),
    [(one_after_the_other, 30), pytest.param(both_at_once, 60, marks=pytest.mark.slow), (rising_and_falling, 80)],
)
def test_a_known_peak_is_measured_within_a_tenth(run, megabytes: int) -> None:
    assert peak(run) == pytest.approx(megabytes * MB, rel=0.1)


def test_what_is_held_before_does_not_count() -> None:
    weights = torch.ones(50 * MB // 4)
    assert peak(lambda: weights * 2) == pytest.approx(50 * MB, rel=0.1)


@pytest.mark.parametrize("freed_before", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_what_the_allocator_keeps_after_it_was_freed_does_not_count(freed_before: bool) -> None:
    """glibc serves blocks from its heap once one of that size was freed, and cannot return a hole in the heap."""
    block(25)
    sizes = range(2, 22, 2)

    def make_holes() -> list[torch.Tensor]:
        between = []
        for size in sizes:
            hole = block(size)
            between.append(block(0.01))
            del hole
        return between

    kept = make_holes() if freed_before else []
    assert peak(make_holes, warm_up=lambda: block(1)) == pytest.approx(20 * MB, rel=0.1)
    del kept


def test_what_the_warm_up_gives_back_does_not_serve_the_run() -> None:
    block(25)  # from now on smaller blocks come from the heap
    held = [block(size) for _ in range(20) for size in (2, 0.2)]

    def leave_holes() -> None:
        del held[::2]  # between the others, so it stays in the heap

    assert peak(rising_and_falling, warm_up=leave_holes) == pytest.approx(80 * MB, rel=0.1)


def test_first_use_does_not_count() -> None:
    kept: list[torch.Tensor] = []

    def run() -> None:
        if not kept:
            kept.append(block(50))
        block(20)

    assert peak(run) == pytest.approx(20 * MB, rel=0.1)
    assert kept == []  # this process is left as it was


def test_a_smaller_run_can_warm_up() -> None:
    assert peak(lambda: block(40), warm_up=lambda: block(1)) == pytest.approx(40 * MB, rel=0.1)


def test_matrix_products_after_others_in_this_process_end() -> None:
    """OpenMP's threads are not forked: a child that waited for them would never end."""
    threads, left = torch.get_num_threads(), torch.ones(1500, 2000)
    torch.set_num_threads(2)
    left @ left.T
    try:
        assert peak(lambda: left @ left.T) == pytest.approx(4 * 1500**2, rel=0.3)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("fail", [lambda: os._exit(3), lambda: 1 / 0])
def test_a_run_that_fails_is_an_error(fail, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError, match=r"ended with exit code [13]; its error stands above"):
        peak_memory(fail)


@pytest.mark.parametrize("with_detail", [False, True])
def test_decoding_takes_as_much_as_the_decoder_plans_with(with_detail: bool) -> None:
    """As wide as train.json and networks/detail.yaml have them, K = 4."""
    levels = (16, 32, 64, 128) if with_detail else ()
    options = {"shortcut_kernel": 1, "detail_channels": levels[::-1]} if with_detail else {}
    decoder = ResidualDecoder(0 if with_detail else 256, 4, **options)
    encoder = NoEncoder() if with_detail else SAMSliceEncoder({**NARROW, "depth": 1, "global_attn_indexes": ()})
    network = SAM3D(encoder, decoder, DetailPyramid(1, levels) if with_detail else None).eval()
    with torch.no_grad():
        encoded = network.encode(torch.rand(1, 1, 128, 128, 24))
        taken = peak(partial(network.decode, encoded, (128, 128)))
    assert 0.8 <= taken / (decoder.bytes_per_voxel * 128 * 128 * 24) <= 1.05
