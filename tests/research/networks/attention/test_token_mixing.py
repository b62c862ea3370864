"""TokenMixing against attention over all tokens with a mask of the pairs that a partition allows, written plainly."""

import math
from collections.abc import Callable

import pytest
import torch
from torch.testing import assert_close

from scripts.research.networks.attention.token_mixing import TokenMixing, partition

WINDOW = (2, 4, 3)  # h, w, D tokens


def coordinates(size: tuple[int, int, int]) -> torch.Tensor:
    """(T, 3) of a grid of D x h x w."""
    return torch.cartesian_prod(*(torch.arange(length) for length in size))


def same_line(axis: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """What tokens of one line along `axis` have in common: their other coordinates."""
    return lambda positions: positions[:, [other for other in range(3) if other != axis]]


def same_box(shift: tuple[int, int, int]) -> Callable[[torch.Tensor], torch.Tensor]:
    """The number of the window, D first."""
    return lambda positions: (positions + torch.tensor(shift)) // torch.tensor([WINDOW[2], *WINDOW[:2]])


PARTITIONS = [
    ("full", 0, (3, 4, 5), lambda positions: positions[:, :0]),
    ("axial", 0, (3, 4, 5), same_line(0)),
    ("axial", 1, (3, 4, 5), same_line(1)),
    ("axial", 5, (3, 4, 5), same_line(2)),
    ("windowed", 0, (6, 4, 8), same_box((0, 0, 0))),  # whole windows
    ("windowed", 2, (4, 5, 6), same_box((0, 0, 0))),  # cut at the end
    ("windowed", 1, (6, 4, 8), same_box((1, 1, 2))),  # cut at both ends
    ("windowed", 3, (4, 5, 6), same_box((1, 1, 2))),
    ("windowed", 1, (2, 5, 6), same_box((0, 1, 2))),  # too shallow for two windows: nothing to shift along D
    ("windowed", 1, (1, 1, 1), same_box((0, 0, 0))),
]


@pytest.mark.parametrize(("mixing", "layer", "size", "common"), PARTITIONS)
def test_every_token_attends_to_those_of_its_sequence_and_to_no_other(
    mixing: str, layer: int, size: tuple[int, int, int], common: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    attention = TokenMixing(8, 2, partition(mixing, layer, WINDOW)).double()
    tokens = torch.randn(2, *size, 8, dtype=torch.double)

    shared = common(coordinates(size))
    allowed = (shared[:, None] == shared[None]).all(-1)  # (T, T)
    query, key, value = attention.qkv(tokens.flatten(1, 3)).chunk(3, -1)
    mixed = []
    for head in range(2):
        channels = slice(4 * head, 4 * head + 4)
        scores = query[..., channels] @ key[..., channels].mT / math.sqrt(4)
        mixed.append(scores.masked_fill(~allowed, -math.inf).softmax(-1) @ value[..., channels])
    expected = attention.project(torch.cat(mixed, -1)).view_as(tokens)

    assert_close(attention(tokens), expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize(("mixing", "layers"), [("full", 1), ("axial", 3), ("windowed", 2)])
def test_a_round_of_layers_lets_a_token_reach_its_neighbours_on_every_axis(mixing: str, layers: int) -> None:
    size, start = (4, 4, 4), (1, 1, 1)  # the last token of a window of 2
    reached = torch.zeros(1, *size, 4)
    reached[0, *start] = 1
    for layer in range(layers):
        attention = TokenMixing(4, 1, partition(mixing, layer, (2, 2, 2)))
        torch.nn.init.zeros_(attention.qkv.bias)
        reached = reached + attention(reached)
    assert all(reached[0, *neighbour].any() for neighbour in [(2, 1, 1), (1, 2, 1), (1, 1, 2), (2, 2, 2)])


def test_all_heads_have_the_same_width() -> None:
    with pytest.raises(ValueError, match=r"width must be a multiple of heads, got 8 and 3"):
        TokenMixing(8, 3, partition("full", 0, WINDOW))


@pytest.mark.parametrize(
    ("mixing", "window", "message"),
    [
        ("global", WINDOW, "mixing must be one of full, axial, windowed, got 'global'"),
        ("windowed", (4, 4), r"three numbers of tokens \(h, w, D\).*got \(4, 4\)"),
        ("windowed", (4, 0, 4), r"1 or more, got \(4, 0, 4\)"),
    ],
)
def test_a_wrong_option_is_refused_in_words(mixing: str, window: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        partition(mixing, 0, window)
