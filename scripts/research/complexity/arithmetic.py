"""Decoders -> tables and a plot of their multiplications and additions (MACs), by formula and counted."""

from collections.abc import Mapping
from math import prod
from pathlib import Path

from ..measure import Curve, attention_crossing, count_macs, draw_comparison, markdown_section, residual_stage_macs
from .growth import Sweep
from .systems import CONVOLUTION, NAIVE, ONE_LAYER, ORIGINAL, Grid, Study, System, attention_stage_macs, random_embeddings

Count = tuple[int, dict[str, int]]  # in all, and of every module


def count(decoders: Mapping[str, System], study: Study, device: str) -> dict[str, list[Count]]:
    """Of every decoder at `counted_grids`."""

    def of(system: System, grid: Grid) -> Count:
        embeddings = random_embeddings(study, grid, device)
        return count_macs(lambda: system.run(embeddings))

    return {name: [of(s, grid) for grid in study.counted_grids] for name, s in decoders.items() if name != NAIVE}


def arithmetic(decoders: Mapping[str, System], study: Study, counted: Mapping[str, list[Count]]) -> str:
    tokens = [prod(grid) for grid in study.counted_grids]
    rows, furthest = [], 0.0
    for name, counts in counted.items():
        row: list[str | float] = [name, _millions(sum(p.numel() for p in decoders[name].network.parameters()))]
        for grid, (total, _) in zip(study.counted_grids, counts, strict=True):
            formula, found = decoders[name].macs(grid), total / prod(grid)
            furthest = max(furthest, abs(found / formula - 1))
            row += [_millions(formula), _millions(found)]
        rows.append(row)
    grids = ", ".join(f"T = {prod(grid)}: h x w x D = {' x '.join(map(str, grid))}" for grid in study.counted_grids)
    return markdown_section(
        "Arithmetic",
        f"Millions of multiplications and additions (MACs) per token ({grids}), by the formulas in "
        "`scripts/research/measure/macs.py`, and counted by torch's `FlopCounterMode` while the decoder runs. The counter does "
        "not know the fused attention of CPUs; its formula was added. The largest relative difference between the two is "
        f"{furthest:.2g}. Heads are included.",
        ["decoder", "parameters, M", *(f"{how}, T = {t}" for t in tokens for how in ("formula", "counted"))],
        rows,
    )


def stages(study: Study, counted: Mapping[str, list[Count]]) -> str:
    rows = []
    tokens = prod(study.counted_grids[0])
    for name, kernel in ((CONVOLUTION, 3), (ORIGINAL, 1)):
        of_modules = counted[name][0][1]
        formulas = residual_stage_macs(study.in_channels, study.channels, kernel)
        for index, formula in enumerate(formulas):
            found = of_modules[f"ResidualDecoder.stages.{index}"] / tokens
            rows.append([name, index + 1, _millions(formula), _millions(found), f"{formula / sum(formulas):.0%}"])
    return markdown_section(
        "The sum over stages",
        "Millions of MACs per token of the embeddings, without heads. A stage has half the channels of the one before and four "
        "times its positions, so all stages cost the same. Their sum is the first one times the number of stages: O(HWD), with "
        "a constant that is not small.",
        ["decoder", "stage", "formula", "counted", "share"],
        rows,
    )


def mac_crossing(decoders: Mapping[str, System], study: Study, found: list[Sweep], plots: Path) -> str:
    rows = []
    for name, kernel in ((CONVOLUTION, 3), (ORIGINAL, 1)):
        of_stages = sum(residual_stage_macs(study.in_channels, study.channels, kernel))
        whole = decoders[name].macs(study.counted_grids[0]) - attention_stage_macs(study)
        rows.append([name, *(f"{attention_crossing(macs, study.width):,.0f}" for macs in (of_stages, whole))])
    grids = found[0].grids
    curves = {
        name: Curve([prod(grid) for grid in grids], [s.macs(grid) / 1e6 for grid in grids])
        for name, s in decoders.items()
        if name != NAIVE
    }
    crossing = attention_crossing(decoders[CONVOLUTION].macs(grids[0]) - attention_stage_macs(study), study.width)
    panel, path = found[0].name, plots / "complexity_macs.png"
    title = f"Arithmetic (dotted: {ONE_LAYER}, overtakes {CONVOLUTION})"
    draw_comparison(title, "tokens T", "MACs per token, M", {panel: curves}, {panel: crossing}, path)
    return markdown_section(
        "Where attention starts to cost more arithmetic",
        "First column: the T above which one layer of full attention (MLP included) costs more MACs than the convolutions of "
        "all stages. Second column: the T above which the whole decoder with one such layer costs more than the whole "
        f"convolutional decoder, heads included. Below it attention is cheaper.\n\n![MACs per token against T]({path.name})",
        ["against", "layer against stages, T", "decoder against decoder, T"],
        rows,
    )


def _millions(macs: float) -> str:
    return f"{macs / 1e6:.3f}"
