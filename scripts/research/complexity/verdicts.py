"""Exponents and crossings -> a table of common claims about complexity, and where they hold."""

from collections.abc import Mapping
from math import prod

from ..measure import Growth, markdown_section, residual_stage_macs
from .growth import Sweep
from .systems import ALONE, CONVOLUTION, NAIVE, ONE_LAYER, Study, System

TOLERANCE = 0.15  # of an exponent
VAGUE = 0.5  # half the width of a confidence interval that decides nothing


def verdicts(decoders: Mapping[str, System], study: Study, found: list[Sweep]) -> str:
    rows = [
        conv_arithmetic(decoders[CONVOLUTION], found),
        stage_arithmetic(study),
        attention_arithmetic(decoders[ALONE], study, found),
        measured("time of convolution is O(HWD)", found, "seconds", CONVOLUTION, 1),
        measured("memory of convolution is O(T)", found, "bytes", CONVOLUTION, 1),
        measured("time of attention is O((HWD)^2): the layer alone", found, "seconds", ALONE, 2),
        measured("... the decoder with one layer", found, "seconds", ONE_LAYER, 2),
        measured("memory of attention is O(T^2): naive", found, "bytes", NAIVE, 2),
        measured("... fused", found, "bytes", ONE_LAYER, 2),
        *(costs_more(sweep) for sweep in found),
    ]
    return markdown_section(
        "Common claims, and where they hold",
        "Convolution is said to cost O(HWD), attention O((HWD)^2). The exponents are those of the upper part of each sweep, "
        f"with 95 % confidence intervals; a claim holds if both sweeps are within {TOLERANCE} of it. How cost grows does not "
        "say which decoder is cheaper at a given T. The last rows do.",
        ["claim", "found", "holds"],
        rows,
    )


def conv_arithmetic(system: System, found: list[Sweep]) -> list[str]:
    per_token = {system.macs(grid) for sweep in found for grid in sweep.grids}
    words = f"{millions(per_token)} MACs per token at every size"
    return ["arithmetic of convolution is O(HWD)", words, "yes, exactly" if len(per_token) == 1 else "no"]


def stage_arithmetic(study: Study) -> list[str]:
    of_stages = residual_stage_macs(study.in_channels, study.channels)
    words = f"{millions(set(of_stages))} MACs per token and stage, {len(of_stages)} stages"
    return ["each stage costs the same", words, "yes, exactly" if len(set(of_stages)) == 1 else "no"]


def attention_arithmetic(layer: System, study: Study, found: list[Sweep]) -> list[str]:
    """Of one layer: its linear part, its quadratic part, and where they are equal."""
    largest = max((grid for sweep in found for grid in sweep.grids), key=prod)
    quadratic = 2 * study.width * prod(largest)
    linear = layer.macs(largest) - quadratic
    share = quadratic / layer.macs(largest)
    words = (
        f"{linear / 1e6:.3f} M + {2 * study.width} T MACs per token: the part that grows is the smaller one below "
        f"T = {linear / 2 / study.width:,.0f} and {share:.0%} of all at T = {prod(largest):,}"
    )
    return ["arithmetic of attention is O((HWD)^2)", words, "asymptotically"]


def measured(claim: str, found: list[Sweep], quantity: str, system: str, exponent: int) -> list[str]:
    fits = [(sweep, sweep.fit(quantity, system)) for sweep in found]
    words = "; ".join(f"{sweep.name}: T^{fit}, T = {fit.first:,} to {fit.last:,}" for sweep, fit in fits)
    return [claim, words, verdict([fit for _, fit in fits], exponent)]


def verdict(fits: list[Growth], exponent: int) -> str:
    """In both sweeps, in one, or how the exponents differ."""
    if any(fit.high - fit.low > 2 * VAGUE for fit in fits):
        return f"undecided: an exponent is not known to {VAGUE}"
    signs = [0 if abs(fit.exponent - exponent) <= TOLERANCE else 1 if fit.exponent > exponent else -1 for fit in fits]
    if not any(signs):
        return "yes"
    if 0 in signs:
        return "in one of the two sweeps"
    if len(set(signs)) == 2:
        return "no: faster in one sweep, slower in the other"
    return "no: it grows faster" if signs[0] > 0 else "no: it grows more slowly at these sizes"


def millions(values: set[float]) -> str:
    return " to ".join(f"{value / 1e6:.3f} M" for value in sorted({min(values), max(values)}))


def costs_more(sweep: Sweep) -> list[str]:
    at = sweep.crossing("seconds", ONE_LAYER, CONVOLUTION)
    sizes = sweep.curves("seconds")[ONE_LAYER][0]
    claim = f"attention costs more time than convolution: one layer, {sweep.name}"
    if at is None:
        return [claim, f"not reached up to T = {sizes[-1]:,}", "no, at these sizes"]
    if at == sizes[0]:
        return [claim, f"from the smallest size on, T = {sizes[0]:,}", "yes, at these sizes"]
    return [claim, f"from T = {at:,.0f}", f"only above T = {at:,.0f}"]
