"""A network's channels become logits and what stands beside them; a temperature changes no mask."""

import pytest
import torch
from monai.data import MetaTensor

from scripts.data import SplitOutputd

BESIDE = ["mutual_information", "disagreement"]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_channels_beside_the_logits_get_the_first_names(count: int) -> None:
    output = MetaTensor(torch.rand(3 + count, 4, 5, 6))
    split = SplitOutputd(3, BESIDE)({"pred": output, "other": 1})
    assert torch.equal(split.pop("pred"), output[:3])
    assert split.pop("other") == 1
    assert [*split] == BESIDE[:count]
    for number, name in enumerate(split, 3):
        assert torch.equal(split[name], output[number : number + 1])


def test_one_temperature_keeps_the_order_and_a_list_is_one_for_each_channel() -> None:
    logits = torch.randn(3, 4, 5, 6)
    cooler = SplitOutputd(3, temperature=0.3)({"pred": logits})["pred"]
    torch.testing.assert_close(cooler, logits / 0.3)
    assert torch.equal(cooler.argmax(0), logits.argmax(0))
    each = SplitOutputd(3, temperature=[0.5, 1.0, 2.0])({"pred": logits})["pred"]
    torch.testing.assert_close(each, torch.stack([logits[0] * 2, logits[1], logits[2] / 2]))


def test_what_has_no_name_is_refused() -> None:
    with pytest.raises(ValueError, match="gives 2 channels beside its logits, 1 have a name"):
        SplitOutputd(3, ["mutual_information"])({"pred": torch.rand(5, 2, 2, 2)})


@pytest.mark.parametrize("temperature", [0, -1, torch.inf, torch.nan, [], [1, 0, 1]])
def test_a_temperature_that_is_no_number_above_0_is_refused(temperature: float | list[float]) -> None:
    with pytest.raises(ValueError, match="temperature must be a number above 0, or a list of one for each channel"):
        SplitOutputd(3, temperature=temperature)


def test_temperatures_for_other_channels_are_refused() -> None:
    with pytest.raises(ValueError, match="temperature has 2 numbers for 3 channels"):
        SplitOutputd(3, temperature=[1.0, 2.0])
