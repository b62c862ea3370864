"""What a network gives -> its logits, divided by the temperature, and what an ensemble says beside them."""

from collections.abc import Hashable, Mapping, Sequence
from math import isfinite
from typing import Any

import torch
from monai.transforms import Transform


class SplitOutputd(Transform):
    """`pred` (K + N, H, W, D) -> its K logits over the temperature; of the N channels behind them each gets a name.

    Dividing by one temperature (Guo et al., "On calibration of modern neural networks", 2017) changes probabilities alone, and
    no mask: of an ensemble it softens or sharpens the mean of its networks' probabilities.

    Args:
        out_channels: K.
        beside: names of further channels, in their order; a network may give the first of them, or none.
        temperature: above 0, or one for each of the K channels.

    Raises:
        ValueError: for a temperature that is no such number, or for another count of them than of channels; for more channels
            than names.

    Example:
        >>> import torch
        >>> from scripts.data import SplitOutputd
        >>> split = SplitOutputd(2, ["mutual_information"], temperature=2.0)({"pred": torch.ones(3, 8, 8, 4)})
        >>> tuple(split["pred"].shape), split["pred"].max().item(), tuple(split["mutual_information"].shape)
        ((2, 8, 8, 4), 0.5, (1, 8, 8, 4))
    """

    def __init__(self, out_channels: int, beside: Sequence[str] = (), temperature: float | Sequence[float] = 1.0) -> None:
        self.out_channels = out_channels
        self.beside = list(beside)
        self.temperature = [*temperature] if isinstance(temperature, Sequence) else [temperature]
        if not self.temperature or not all(isfinite(one) and one > 0 for one in self.temperature):
            raise ValueError(f"temperature must be a number above 0, or a list of one for each channel, got {temperature!r}")
        if len(self.temperature) not in (1, out_channels):
            raise ValueError(f"temperature has {len(self.temperature)} numbers for {out_channels} channels; give one for each")

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        logits, *others = data["pred"].split([self.out_channels, *[1] * (len(data["pred"]) - self.out_channels)])
        if len(others) > len(self.beside):
            raise ValueError(f"the network gives {len(others)} channels beside its logits, {len(self.beside)} have a name")
        if self.temperature != [1]:
            logits = logits / torch.tensor(self.temperature, dtype=torch.float32, device=logits.device).view(-1, 1, 1, 1)
        return {**data, "pred": logits, **dict(zip(self.beside, others, strict=False))}
