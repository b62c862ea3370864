"""What the complexity study measured -> a page of Markdown and its plots, every sentence with a number made from the number."""

from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

from ..measure import Curve, draw_comparison, markdown_section, three_digits
from .arithmetic import arithmetic, count, mac_crossing, stages
from .growth import AT_LEAST, Sweep, sweeps
from .systems import ALONE, CONVOLUTION, MATCHED, NAIVE, ONE_LAYER, ORIGINAL, PRESETS, Study, System
from .verdicts import verdicts

QUANTITIES = {"seconds": "time, s", "bytes": "peak memory, MB"}
UNIT = {"seconds": 1.0, "bytes": 1e6}


def complexity_page(
    decoders: Mapping[str, System], study: Study, device: str, measured: Mapping[str, Any], command: str, plots: Path
) -> str:
    found = sweeps(study, measured["sizes"])
    counted = count(decoders, study, device)
    sections = [
        introduction(study, measured, command),
        verdicts(decoders, study, found),
        arithmetic(decoders, study, counted),
        stages(study, counted),
        mac_crossing(decoders, study, found, plots),
        *(quantity_section(quantity, study, found, plots) for quantity in QUANTITIES),
        speed(decoders, found),
        growth(found),
    ]
    return "\n".join(sections)


def introduction(study: Study, measured: Mapping[str, Any], command: str) -> str:
    presets = ", ".join(f"`{name}` (`configs/research/networks/{preset}.yaml`)" for name, preset in PRESETS.items())
    return f"""# How convolution and attention grow

The decoder of this bundle mixes tokens by 3 x 3 x 3 convolutions (`scripts/networks/residual_decoder.py`); the comparator
mixes them by self-attention (`scripts/research/networks/attention/attention_decoder.py`) and is pointwise otherwise. Both
turn the same embeddings, T = D h w tokens of 16 x 16 pixels of a slice, into logits of the same size. This page is written by

    {command}

{measured["date"]}; {measured["where"]}. Random weights and embeddings, a batch of 1, K = {study.classes}, forward without
gradients, fp32. Times are medians of {study.repeats}, all decoders of a size in turns after a round that does not count. Memory
is the most above weights and input, logits included; on a CPU it is measured in one thread. What was measured stands in the
JSON file beside this page.

* `{CONVOLUTION}`: the default decoder; `{ORIGINAL}`: `configs/research/networks/original.yaml`.
* `{ONE_LAYER}`: one layer of full attention, MLP ratio 4, then the pointwise stages; `{ALONE}`: without those.
* `{NAIVE}`: the same, with the matrix of all pairs of tokens in memory. All others use torch's fused attention.
* {presets}: as many parameters as `{CONVOLUTION}`.
"""


def quantity_section(quantity: str, study: Study, found: list[Sweep], plots: Path) -> str:
    name, short = QUANTITIES[quantity], "time" if quantity == "seconds" else "memory"
    panels = {
        sweep.name: {
            system: Curve(sizes, [value / UNIT[quantity] for value in values], sweep.fit(quantity, system, UNIT[quantity]))
            for system, (sizes, values) in sweep.curves(quantity).items()
        }
        for sweep in found
    }
    crossings = {sweep.name: at for sweep in found if (at := sweep.crossing(quantity, ONE_LAYER, CONVOLUTION)) is not None}
    path = plots / f"complexity_{short}.png"
    title = f"{short.capitalize()} (dashed: fits to the upper part; dotted: {ONE_LAYER}, overtakes {CONVOLUTION})"
    draw_comparison(title, "tokens T", name, panels, crossings, path)
    systems = list(panels[found[0].name])
    rows = []
    for sweep in found:
        for grid in sweep.grids:
            values = sweep.measured[str(grid)][quantity]
            cells = [values[s] / UNIT[quantity] if s in values else "" for s in systems]
            rows.append([" x ".join(map(str, grid)), prod(grid), *cells])
    return markdown_section(
        f"{name[0].upper()}{name[1:]}",
        f"![{name} against T]({path.name})\n\n{crossing_sentences(quantity, short, found)}\n\nInterpolated between sizes, on "
        f"logarithms. `{NAIVE}` and `{MATCHED}` were run up to T = {study.largest_costly:,}.",
        ["h x w x D", "T", *systems],
        rows,
    )


def crossing_sentences(quantity: str, short: str, found: list[Sweep]) -> str:
    sentences = []
    for sweep in found:
        last = max(map(prod, sweep.grids))
        for other in (CONVOLUTION, ORIGINAL):
            at = sweep.crossing(quantity, ONE_LAYER, other)
            words = f"no more {short} than `{other}` at the largest size, T = {last:,}"
            if at is not None:
                words = f"more {short} than `{other}` from T = {at:,.0f}"
            sentences.append(f"* {sweep.name}: `{ONE_LAYER}` takes {words}.")
    return "\n".join(sentences)


def speed(decoders: Mapping[str, System], found: list[Sweep]) -> str:
    rows = []
    for name, system in decoders.items():
        row: list[str | float] = [name]
        for sweep in found:
            grids = [grid for grid in sweep.grids if name in sweep.measured[str(grid)]["seconds"]]
            for grid in (grids[0], grids[-1]):
                seconds = sweep.measured[str(grid)]["seconds"][name]
                row.append(f"{three_digits(system.macs(grid) * prod(grid) / seconds / 1e9)} (T = {prod(grid):,})")
        rows.append(row)
    return markdown_section(
        "Arithmetic per second",
        "Billions of MACs a second at the smallest and the largest size of each sweep: the times of two decoders cross where "
        "their MACs do if they run equally fast here. Normalisation, softmax, activations and interpolation count as time, not "
        "as MACs.",
        ["decoder", *(f"{sweep.name}, {which}" for sweep in found for which in ("smallest", "largest"))],
        rows,
    )


def growth(found: list[Sweep]) -> str:
    rows = []
    for quantity, name in QUANTITIES.items():
        for sweep in found:
            for system in sweep.curves(quantity):
                upper = sweep.fit(quantity, system)
                everywhere = sweep.fit(quantity, system, upper=False)
                rows.append([name.split(",")[0], sweep.name, system, everywhere, f"{upper.first:,} to {upper.last:,}", upper])
    return markdown_section(
        "Exponents",
        "b of `T^b`, least squares on logarithms, with its 95 % confidence interval (Student's t): over all sizes, and over "
        f"the upper half of them ({AT_LEAST} at least), where constant costs weigh less.",
        ["quantity", "sweep", "decoder", "all sizes", "upper part, T", "upper part"],
        rows,
    )
