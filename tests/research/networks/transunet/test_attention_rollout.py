"""The rollout is the product that its paper defines, and the picture shows it on the slice and at the place it belongs to."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from monai.data import MetaTensor
from torch import nn
from torch.testing import assert_close

from scripts.research.networks.transunet.attention_rollout import SaveRolloutd, attention_rollout, fullest_slice, upright

LABELS = {"0": "background", "1": "liver", "2": "kidney"}


class Attends(nn.Module):
    """A network of one layer in which each token takes from itself and the token `to`; it keeps what it is asked about."""

    def __init__(self, to: int) -> None:
        super().__init__()
        self.to = to
        self.scale = nn.Parameter(torch.ones(()))
        self.asked: list[torch.Tensor] = []

    def attention_maps(self, slices: torch.Tensor) -> Iterator[torch.Tensor]:
        self.asked.append(slices)
        tokens = slices.shape[2] * slices.shape[3] // 256
        attention = torch.zeros(len(slices), 2, tokens, tokens)
        attention[..., self.to] = 1
        yield attention * self.scale


def case(foreground: tuple[slice, slice, int] | None, shape: tuple[int, int, int] = (48, 32, 5)) -> dict[str, Any]:
    affine = torch.diag(torch.tensor([1.0, 2, 3, 1], dtype=torch.double))
    classes = torch.zeros(1, *shape)
    if foreground is not None:
        classes[(0, *foreground)] = 2
    return {
        "name": "group/case",
        "image": MetaTensor(torch.rand(2, *shape), affine=affine),
        "pred": MetaTensor(classes, affine=affine),
    }


def test_two_layers_by_hand() -> None:
    """Heads are averaged, the identity added, the later layer multiplied from the left."""
    first = torch.tensor([[[1.0, 0], [1, 0]], [[0, 1], [1, 0]]])[None]  # (1, 2 heads, 2, 2)
    second = torch.tensor([[[0.0, 1], [0, 1]], [[0, 1], [0, 1]]])[None]
    # first: mean [[.5, .5], [1, 0]], mixed [[.75, .25], [.5, .5]]; second: mixed [[.5, .5], [0, 1]]
    assert_close(attention_rollout([first, second]), torch.tensor([[[0.625, 0.375], [0.5, 0.5]]]))


def test_every_token_is_put_together_from_shares_that_sum_to_one() -> None:
    rollout = attention_rollout(torch.randn(3, 4, 9, 9).mul(3).softmax(-1) for _ in range(12))
    assert rollout.shape == (3, 9, 9)
    assert (rollout >= 0).all()
    assert_close(rollout.sum(-1), torch.ones(3, 9))


def test_without_layers_there_is_no_rollout() -> None:
    with pytest.raises(ValueError, match="at least one layer"):
        attention_rollout([])


def test_the_slice_with_most_foreground_is_shown_or_the_middle_one() -> None:
    foreground = torch.zeros(8, 8, 7, dtype=torch.bool)
    assert fullest_slice(foreground) == 3
    foreground[:2, :2, 1] = foreground[:3, :3, 5] = True
    assert fullest_slice(foreground) == 5


@pytest.mark.parametrize(("codes", "row", "column"), [((1, 1), 5, 3), ((-1, 1), 5, 0), ((1, -1), 0, 3), ((-1, -1), 0, 0)])
def test_the_patients_right_is_at_the_left_and_the_front_is_up(codes: tuple[int, int], row: int, column: int) -> None:
    """Voxel (0, 0) of planes stored along right or left, front or back."""
    plane = np.zeros((4, 6))
    plane[0, 0] = 1
    shown = upright(plane, torch.diag(torch.tensor([*codes, 1, 1.0])))
    assert np.argwhere(shown == 1).tolist() == [[row, column]]


def test_the_network_is_asked_about_the_slice_shown_with_all_its_channels(tmp_path: Path) -> None:
    network, data = Attends(to=0), case((slice(0, 8), slice(0, 8), 3))
    assert SaveRolloutd(tmp_path, LABELS, network)(data).keys() == data.keys()
    (asked,) = network.asked
    assert_close(asked, data["image"].as_tensor()[..., 3][None], atol=0, rtol=0)
    assert [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()] == [Path("group/case_rollout.png")]
    assert (tmp_path / "group" / "case_rollout.png").read_bytes().startswith(b"\x89PNG")


def shares(tmp_path: Path, network: Attends, data: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """The map that is drawn."""
    drawn: list[np.ndarray] = []
    monkeypatch.setattr(SaveRolloutd, "_draw", lambda *arguments: drawn.append(arguments[-1]))
    SaveRolloutd(tmp_path, LABELS, network)(data)
    return drawn[0]


def test_the_map_is_of_the_tokens_under_the_foreground(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All tokens take half from token 5, the last of 3 x 2, and half from themselves; the foreground lies in token 0 alone."""
    drawn = shares(tmp_path, Attends(to=5), case((slice(2, 9), slice(3, 8), 2)), monkeypatch)
    centres = drawn[8::16, 8::16]
    assert drawn.shape == (48, 32)
    assert centres.argmax() in (0, 5)
    assert drawn[0, 0] == pytest.approx(3)  # half of six shares
    assert drawn[-1, -1] == pytest.approx(3)
    assert drawn[24, 0] == pytest.approx(0, abs=0.2)


def test_without_foreground_the_map_is_of_all_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = shares(tmp_path, Attends(to=5), case(None), monkeypatch)
    assert drawn[0, 0] == pytest.approx(0.5)
    assert drawn[-1, -1] == pytest.approx(3.5)


def test_slices_are_padded_to_whole_tokens_and_the_map_is_cropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = Attends(to=0)
    drawn = shares(tmp_path, network, case((slice(0, 8), slice(0, 8), 3), (40, 30, 5)), monkeypatch)
    assert network.asked[0].shape == (1, 2, 48, 32)
    assert drawn.shape == (40, 30)


def test_the_largest_share_is_drawn_brightest_at_its_place(tmp_path: Path) -> None:
    """Token 0 of 3 x 2 is the patient's left and back: in the picture right and down. Token 5 is opposite."""
    data, pictures = case(None), []
    for token in (0, 5):
        SaveRolloutd(tmp_path, LABELS, Attends(to=token))(data)
        pictures.append(imread(tmp_path / "group" / "case_rollout.png")[..., :3].sum(-1))
    difference = pictures[0] - pictures[1]
    brighter, darker = (np.argwhere(sign * difference > 0.5).mean(0) for sign in (1, -1))
    assert (brighter > darker).all()


def test_a_name_that_leads_out_of_the_output_folder_is_refused(tmp_path: Path) -> None:
    data = {**case(None), "name": "../case"}
    with pytest.raises(ValueError, match="rename the case"):
        SaveRolloutd(tmp_path / "out", LABELS, Attends(to=0))(data)
    assert not (tmp_path / "case_rollout.png").exists()


def test_a_network_without_attention_maps_is_refused_before_any_case(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"drawn of TransUNet; Identity has no attention maps; omit rollout\.yaml"):
        SaveRolloutd(tmp_path, LABELS, nn.Identity())
