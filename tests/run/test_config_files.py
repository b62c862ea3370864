"""Names of networks, overlays and presets -> config files, and words for names that mean nothing."""

from pathlib import Path

import pytest
from conftest import ROOT

from scripts.run.config_files import network_configs, preset_config, short_name

CONFIGS = ROOT / "configs"


def test_a_name_is_a_network_and_the_overlays_on_top_of_it() -> None:
    assert network_configs("sam3d") == []
    assert network_configs("sam3d+joint_dice+cached") == [
        CONFIGS / "overlays" / "joint_dice.yaml",
        CONFIGS / "overlays" / "cached.yaml",
    ]


def test_a_path_serves_as_a_name_and_is_shortened_in_tables(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("network_def: {_target_: torch.nn.Identity}\n")
    assert network_configs(f"{mine}+joint_dice") == [mine, CONFIGS / "overlays" / "joint_dice.yaml"]
    assert short_name(f"{mine}+joint_dice") == "mine+joint_dice"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("sam3b", "did you mean sam3d"),
        ("zzz", r"'zzz' is none of the networks\. There are sam3d"),
        ("sam3d+cache", "did you mean cached"),
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


def test_a_preset_is_a_file_of_this_folder_or_of_the_bundle_or_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert preset_config("hippocampus") == CONFIGS / "datasets" / "hippocampus.yaml"
    for name in ("mine.yaml", "hippocampus.yaml"):
        (tmp_path / name).write_text("modalities: 1\n")
        assert preset_config(Path(name).stem) == preset_config(name) == tmp_path / name
    with pytest.raises(ValueError, match=r"'mime' is none of the presets; did you mean mine\? There are acdc, .*mine"):
        preset_config("mime")


@pytest.mark.parametrize("text", ["", "# nothing\n", "- 1\n"])
def test_a_file_that_holds_no_ids_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"mine\.yaml must hold ids and their values"):
        preset_config(str(tmp_path / "mine.yaml"))


def test_a_path_of_a_network_may_hold_a_plus(tmp_path: Path) -> None:
    mine = tmp_path / "c++.yaml"
    mine.write_text("network_def: {_target_: torch.nn.Identity}\n")
    assert network_configs(str(mine)) == [mine]
