"""Names of networks -> config files, and words for names that mean nothing."""

from pathlib import Path

import pytest
from conftest import ROOT

from scripts.run.network_configs import network_configs, short_name

CONFIGS = ROOT / "configs"


def test_the_own_network_needs_no_file_and_takes_overlays() -> None:
    assert network_configs("sam3d") == []
    assert network_configs("sam3d+cached") == [CONFIGS / "overlays" / "cached.yaml"]


def test_every_network_of_the_bundle_can_be_named() -> None:
    for path in CONFIGS.rglob("networks/*.yaml"):
        assert network_configs(path.stem) == [path]
        assert network_configs(f"{path.stem}+cached") == [path, CONFIGS / "overlays" / "cached.yaml"]


def test_a_path_serves_as_a_name_and_is_is_shortened_in_tables(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("network_def: {_target_: torch.nn.Identity}\n")
    assert network_configs(f"{mine}+joint_dice") == [mine, CONFIGS / "overlays" / "joint_dice.yaml"]
    assert short_name(f"{mine}+joint_dice") == "mine+joint_dice"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("sam_3d", "did you mean sam3d"),
        ("zzz", "There are sam3d"),
        ("unet+cache", "did you mean cached"),
        ("cached", "none of the networks"),
        ("../overlays/cached", "none of the networks"),
        ("", "none of the networks"),
        ("nowhere/mine.yaml", "no file nowhere/mine.yaml"),
    ],
)
def test_an_unknown_name_is_refused_with_close_ones_and_the_list(name: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        network_configs(name)


def test_a_file_that_cannot_be_read_is_refused_with_its_name_and_line(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("network_def:\n  multiple: [16, 16\n  network: x\n")
    with pytest.raises(ValueError, match=r"mine\.yaml cannot be read: .*line 3"):
        network_configs(str(mine))
